"""The witness file: where each record of the money is read, and in which words it is written."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from moneypath.path.durations import Duration
from moneypath.path.problems import DeclarationIssue, DeclarationIssues, repeated
from moneypath.path.source import load_yaml
from moneypath.witnesses.accounts import find_pattern_problem
from moneypath.witnesses.errors import WitnessInvalid
from moneypath.witnesses.vocabulary import KINDS, SIGNS, AccountRole, Kind, Role, Shape, Sign, Unit

_STRICT = ConfigDict(extra="forbid", frozen=True)
Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]*$",
        max_length=60,
        description="a lower-case word with _, such as wallet_rows",
    ),
]
Word = Annotated[str, Field(min_length=1, max_length=200)]
Words = Annotated[tuple[Word, ...], Field(min_length=1, max_length=200)]
Location = Annotated[str, Field(min_length=1, max_length=500, description="a path from this file's folder")]
CurrencyCode = Annotated[
    str, Field(pattern=r"^[A-Z][A-Z0-9]{2,11}$", description="capital letters, such as EUR or USDC")
]
Exponent = Annotated[int, Field(ge=0, le=30, description="digits after the point, from 0 to 30")]


class Amount(BaseModel):
    """How amounts are written."""

    model_config = _STRICT

    unit: Unit = Unit.MINOR
    sign: Sign | None = None


class Witness(BaseModel):
    """One record of the money: a SELECT on a database, or a file of JSON lines."""

    model_config = _STRICT

    id: Name
    role: Role
    dsn_file: Location | None = None
    sql: Location | None = None
    file: Location | None = None
    shape: Shape | None = None
    amount: Amount = Amount()
    kinds: Mapping[Kind, Words]
    accounts: Mapping[AccountRole, Word] = {}
    statuses: Mapping[str, Words] = {}
    outcomes: Mapping[str, Words] = {}
    time_limit: Duration = 600.0
    rows_max: Annotated[int, Field(ge=1, le=1_000_000_000)] = 20_000_000

    @property
    def sign(self) -> Sign:
        """Return what the sign of an amount says; each shape and role has its usual one."""
        return self.amount.sign or self._signs[0]

    @property
    def _signs(self) -> tuple[Sign, ...]:
        return SIGNS[self.shape if self.shape is not None else self.role]

    @model_validator(mode="after")
    def _check(self) -> Self:
        issues = [*self._source(), *self._ledger(), *self._words()]
        if issues:
            raise DeclarationIssues(issues)
        return self

    def _source(self) -> Iterator[DeclarationIssue]:
        if (self.file is None) == (self.sql is None) or (self.sql is None) != (self.dsn_file is None):
            what = f"{self.id} has no one source"
            yield DeclarationIssue(("id",), what, "either dsn_file and sql, or file")

    def _ledger(self) -> Iterator[DeclarationIssue]:
        if self.role is not Role.LEDGER:
            for key, given in (("shape", self.shape), ("accounts", self.accounts)):
                if given:
                    yield DeclarationIssue(
                        (key,), f"a witness of role {self.role} has no {key}", "no such key"
                    )
        elif self.shape is None:
            yield DeclarationIssue(("role",), "a ledger needs a shape", f"shape: {' or '.join(Shape)}")
        elif self.shape is Shape.SINGLE:
            if self.accounts:
                yield DeclarationIssue(("accounts",), "rows of shape single have no accounts", "no such key")
        else:
            yield from self._accounts()

    def _accounts(self) -> Iterator[DeclarationIssue]:
        for needed in (AccountRole.RECEIVABLE, AccountRole.PAYABLE):
            if needed not in self.accounts:
                yield DeclarationIssue(("accounts",), f"no {needed} account", "receivable and payable")
        for role, pattern in self.accounts.items():
            problem = find_pattern_problem(role, pattern)
            if problem:
                yield DeclarationIssue(("accounts", role.value), *problem)

    def _words(self) -> Iterator[DeclarationIssue]:
        sided = self.role is not Role.LEDGER or self.shape is not None
        if sided and self.sign not in self._signs:
            what = f"{self.sign} does not fit"
            yield DeclarationIssue(("amount", "sign"), what, ", ".join(self._signs))
        for kind in self.kinds:
            if kind not in KINDS[self.role]:
                what = f"a witness of role {self.role} has no {kind}"
                yield DeclarationIssue(("kinds", kind.value), what, ", ".join(KINDS[self.role]))
        seen: dict[str, str] = {}
        for kind, words in self.kinds.items():
            for word in words:
                if word in seen:
                    what = f'"{word}" is {seen[word]} already'
                    yield DeclarationIssue(("kinds", kind.value), what, "each word once")
                seen[word] = kind
        yield from _closed("statuses", self.statuses, STATUSES if self.role is Role.BOOK else ())
        yield from _closed("outcomes", self.outcomes, OUTCOMES if self.role is Role.ANSWERS else ())


STATUSES = ("moved", "refused", "pending")
OUTCOMES = ("succeeded", "declined", "failed", "indeterminate", "rejected", "unprocessed", "unknown")


def _closed(key: str, given: Mapping[str, Words], allowed: tuple[str, ...]) -> Iterator[DeclarationIssue]:
    for name in given:
        if name not in allowed:
            yield DeclarationIssue(
                (key, name), f"{name} is no word of this role", ", ".join(allowed) or "none"
            )
    words = [word for each in given.values() for word in each]
    for word in sorted({word for word in words if words.count(word) > 1}):
        yield DeclarationIssue((key,), f'"{word}" stands twice', "each word once")


class Reconciliation(BaseModel):
    """Which witnesses are held against each other; one of the three may be missing."""

    model_config = _STRICT

    id: Name
    ledger: Name | None = None
    books: tuple[Name, ...] = ()
    answers: Name | None = None
    every: Duration = 0.0
    settle: Duration = 0.0
    several_captures: bool = False


class WitnessFile(BaseModel):
    """All witnesses of a team, and which of them are compared. `checks` are not read here."""

    model_config = _STRICT

    currencies: Annotated[
        Mapping[CurrencyCode, Exponent],
        Field(min_length=1, description="codes and their digits after the point, such as {EUR: 2}"),
    ]
    witnesses: Annotated[tuple[Witness, ...], Field(min_length=1, max_length=100)]
    reconcile: Annotated[tuple[Reconciliation, ...], Field(min_length=1, max_length=100)]
    checks: tuple[dict[str, JsonValue], ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        issues = [
            *repeated(("witnesses",), (one.id for one in self.witnesses), "id"),
            *repeated(("reconcile",), (one.id for one in self.reconcile), "id"),
        ]
        for index, one in enumerate(self.reconcile):
            issues += self._joined(index, one)
        if issues:
            raise DeclarationIssues(issues)
        return self

    def _joined(self, index: int, one: Reconciliation) -> Iterator[DeclarationIssue]:
        at = ("reconcile", index)
        roles = {each.id: each.role for each in self.witnesses}
        named = [("ledger", one.ledger, Role.LEDGER), ("answers", one.answers, Role.ANSWERS)]
        named += [("books", book, Role.BOOK) for book in one.books]
        for key, name, role in named:
            if name is not None and roles.get(name) is not role:
                fit = ", ".join(each for each, its in roles.items() if its is role)
                yield DeclarationIssue((*at, key), f'"{name}" is no witness of role {role}', fit or "none")
        if (one.ledger is not None) + bool(one.books) + (one.answers is not None) < 2:
            yield DeclarationIssue((*at, "id"), f"{one.id} compares nothing", "two of ledger, books, answers")

    def find(self, name: str) -> Witness:
        """Return a witness by its id."""
        return next(one for one in self.witnesses if one.id == name)


_VALUE = re.compile(r"\$?\{([a-z][a-z0-9_]{0,39})\}")


def load_witnesses(file: Path) -> WitnessFile:
    """Return the witnesses that `file` declares; raises DeclarationInvalid with every problem found."""
    return load_yaml(file, WitnessFile)


def with_values(declared: WitnessFile, values: Mapping[str, str]) -> WitnessFile:
    """Return the witnesses with `${name}` and `{name}` in their paths replaced by `values`.

    Raises WitnessInvalid for a name without a value.
    """
    placed = [
        one.model_copy(
            update={
                key: _VALUE.sub(lambda found, one=one: _value(one, found[1], values), text)  # type: ignore[misc]
                for key in ("dsn_file", "sql", "file")
                if (text := getattr(one, key)) is not None
            }
        )
        for one in declared.witnesses
    ]
    return declared.model_copy(update={"witnesses": tuple(placed)})


def _value(one: Witness, name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise WitnessInvalid(
            f"witness {one.id}: there is no value for {name}",
            hint=f"Allowed: {', '.join(sorted(values)) or 'none'}.",
        )
    return values[name]
