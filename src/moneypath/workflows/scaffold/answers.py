"""What `moneypath init` is told: names and ids, each held to the rule of the file that it goes into."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from moneypath.alerting.recorded import OPERATION_NOUNS
from moneypath.errors import MoneypathError
from moneypath.path.defaults import camel_case, iso_decimals
from moneypath.path.extension import OPERATIONS
from moneypath.path.parts import AlertPrefix, CurrencyCode, Exponent, RoleId, Slug, SnakeId, Title
from moneypath.target.calls import Url
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, Operation

MAX_OPERATION_CHARACTERS: Final = 40
"""Names of objectives, alerts and runbooks are made of an operation's id, and have limits of their own."""
MAX_OWN_OPERATIONS: Final = 4
MAX_PROVIDERS: Final = 20
MAX_ROLES: Final = 20
MAX_CURRENCIES: Final = 40
DEFAULT_SERVICE: Final = "payments"
DEFAULT_ENVIRONMENT: Final = "staging"
DEFAULT_CURRENCY: Final = "EUR"
DEFAULT_PREFIX: Final = "MoneyPath"
DEFAULT_URL: Final = "http://127.0.0.1:8000"
# Environments that nobody breaks on purpose, however the flags are typed.
NEVER_BROKEN: Final = frozenset({"production", "prod", "live"})

_SENTENCES: Final = {
    "--service": "lower-case words joined by -, at most 60 characters, such as wallet-api",
    "--environment": "lower-case words joined by -, at most 60 characters, such as staging",
    "--job": "lower-case words joined by -, at most 60 characters: the label `job` in Prometheus",
}


class InitRefused(MoneypathError):
    """Flags that make no project, or a folder in which it cannot be written."""

    code = "init_refused"
    exit_code = 2


class Ci(StrEnum):
    """The system that runs the checks at each change."""

    GITHUB = "github"
    GITLAB = "gitlab"
    NONE = "none"


class LedgerKind(StrEnum):
    """Where the ledger is kept, as far as its witnesses are written."""

    POSTGRESQL = "postgresql"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Titled:
    """An id with the title that people read; an empty one follows from the id."""

    id: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class PathOperation:
    """An operation, and the words that follow from it; `stem` is its part of the names of series."""

    id: str

    @property
    def stem(self) -> str:
        """Return the part of the operation in the names of its series."""
        return OPERATION_NOUNS.get(self.id, self.id)

    @property
    def slug(self) -> str:
        """Return the part of the operation in ids of objectives and files."""
        return self.stem.replace("_", "-")

    @property
    def subject(self) -> str:
        """Return the operation in the plural, as a sentence begins with it."""
        return f"{self.stem.replace('_', ' ').capitalize()}s"

    @property
    def is_own(self) -> bool:
        """Whether the team adds it to the operations that every money path has."""
        return self.id not in OPERATIONS


@dataclass(frozen=True, slots=True)
class Answers:
    """Everything that the files are filled with; the first operation and role are those of the drill."""

    name: str
    service: str
    environment: str
    job: str
    prefix: str
    url: str
    providers: tuple[Titled, ...]
    operations: tuple[PathOperation, ...]
    currencies: tuple[tuple[str, int], ...]
    roles: tuple[Titled, ...]
    ci: Ci
    ledger: LedgerKind

    @property
    def is_drillable(self) -> bool:
        """Whether the environment may be broken; production never is by a flag alone."""
        return self.environment not in NEVER_BROKEN

    @property
    def on_call(self) -> str:
        """Return the role that is paged."""
        return self.roles[0].id


def read_answers(
    *,
    folder_name: str,
    name: str | None = None,
    service: str | None = None,
    environment: str = DEFAULT_ENVIRONMENT,
    job: str | None = None,
    prefix: str = DEFAULT_PREFIX,
    url: str = DEFAULT_URL,
    providers: Sequence[str] = (),
    operations: Sequence[str] = (),
    currencies: Sequence[str] = (),
    roles: Sequence[str] = (),
    ci: Ci = Ci.GITHUB,
    ledger: LedgerKind = LedgerKind.NONE,
) -> Answers:
    """Return what the flags say, with their defaults; `folder_name` is what the service is called otherwise.

    Raises InitRefused with one sentence for the first flag that cannot be used.
    """
    chosen = _read("--service", service_of(folder_name) if service is None else service, Slug)
    return Answers(
        name=_title("--name", chosen.replace("-", " ").capitalize() if name is None else name),
        service=chosen,
        environment=_read("--environment", environment, Slug),
        job=_read("--job", chosen if job is None else job, Slug),
        prefix=_read("--prefix", prefix, AlertPrefix),
        url=_url("--url", url),
        providers=_titled("--provider", providers, SnakeId, MAX_PROVIDERS, _not_reserved),
        operations=_operations(operations or (Operation.AUTHORIZE.value,)),
        currencies=_currencies(currencies or (DEFAULT_CURRENCY,)),
        roles=_titled("--role", roles or ("eng=Engineering on call",), RoleId, MAX_ROLES),
        ci=ci,
        ledger=ledger,
    )


def service_of(folder_name: str) -> str:
    """Return the id of a service that is called like a folder, or a general one."""
    words = re.findall(r"[a-z0-9]+", folder_name.lower())
    slug = "-".join(words)[:60].rstrip("-")
    return slug if re.match(r"[a-z]", slug) else DEFAULT_SERVICE


def _read(flag: str, given: str, kind: Any) -> str:
    """Return a text that fits the rule of the key that it goes into; raises InitRefused."""
    try:
        value: str = TypeAdapter(kind).validate_python(given)
    except ValidationError:
        allowed = _SENTENCES.get(flag) or _description(kind)
        raise InitRefused(f"{flag}: {given[:80]!r} cannot be used; allowed: {allowed}.") from None
    return value


def _description(kind: Any) -> str:
    """Return what the rule of a key allows, in its own words, and how long it may be."""
    words, most = "another text", 0
    for each in kind.__metadata__:
        if isinstance(each, FieldInfo):
            words = each.description or words
            most = max((getattr(rule, "max_length", 0) for rule in each.metadata), default=0)
    return f"{words}, at most {most} characters" if most else words


def _title(flag: str, given: str) -> str:
    if not given.isprintable() or not given.strip():
        raise InitRefused(f"{flag}: {given[:80]!r} cannot be used; allowed: one line of readable text.")
    return _read(flag, given, Title)


def _url(flag: str, given: str) -> str:
    is_plain = given.isprintable() and not re.search(r"[\s{}]", given)
    if not is_plain or not given.startswith(("http://", "https://")):
        raise InitRefused(
            f"{flag}: {given[:80]!r} cannot be used; allowed: an address that begins with http:// or https://."
        )
    return _read(flag, given, Url)


def _titled(
    flag: str,
    given: Sequence[str],
    kind: Any,
    most: int,
    require: Callable[[str, str], None] | None = None,
) -> tuple[Titled, ...]:
    found: list[Titled] = []
    for text in given:
        name, mark, title = text.partition("=")
        _read(flag, name, kind)
        if require is not None:
            require(flag, name)
        found.append(Titled(name, _title(flag, title) if mark else ""))
    _require_few(flag, [each.id for each in found], most)
    return tuple(found)


def _not_reserved(flag: str, name: str) -> None:
    if name == NO_PROVIDER:
        raise InitRefused(
            f"{flag}: {name} stands for payments that no provider answered; allowed: any other id."
        )


def _require_few(flag: str, names: Sequence[str], most: int) -> None:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise InitRefused(f"{flag}: {twice} stands twice; allowed: each once.")
    if len(names) > most:
        raise InitRefused(f"{flag}: {len(names)} are given; allowed: at most {most}.")


def _operations(given: Sequence[str]) -> tuple[PathOperation, ...]:
    flag = "--operation"
    found = []
    for text in given:
        _read(flag, text, SnakeId)
        if len(text) > MAX_OPERATION_CHARACTERS:
            raise InitRefused(
                f"{flag}: {text} is too long; allowed: at most {MAX_OPERATION_CHARACTERS} characters."
            )
        found.append(PathOperation(text))
    _require_few(flag, [each.id for each in found], len(OPERATIONS) + MAX_OWN_OPERATIONS)
    if sum(each.is_own for each in found) > MAX_OWN_OPERATIONS:
        raise InitRefused(
            f"{flag}: more than {MAX_OWN_OPERATIONS} are your own; allowed: "
            f"at most {MAX_OWN_OPERATIONS} besides {', '.join(OPERATIONS)}."
        )
    taken: dict[str, str] = {}
    for each in found:
        # The availability and the latency of an operation have series and alerts of these names.
        for name in (each.stem, f"{each.stem}_latency"):
            alert = camel_case(name).lower()
            if alert in taken:
                raise InitRefused(
                    f"{flag}: {each.id} and {taken[alert]} would have alerts of one name; "
                    "allowed: ids that differ in more than _."
                )
            taken[alert] = each.id
    return tuple(found)


def _currencies(given: Sequence[str]) -> tuple[tuple[str, int], ...]:
    flag = "--currency"
    found: list[tuple[str, int]] = []
    for text in given:
        code, mark, decimals = text.partition("=")
        _read(flag, code, CurrencyCode)
        if not mark:
            found.append((code, iso_decimals(code)))
            continue
        try:
            found.append((code, TypeAdapter(Exponent).validate_strings(decimals)))
        except ValidationError:
            raise InitRefused(
                f"{flag}: {text[:80]!r} cannot be used; allowed: {_description(Exponent)}, as in EUR=2."
            ) from None
    _require_few(flag, [code for code, _ in found], MAX_CURRENCIES)
    return tuple(found)
