"""What one run of a check found."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from moneypath.checks.amounts import read_amount
from moneypath.path.sql_checks import AmountUnit
from moneypath.telemetry.catalogue.vocabulary import CheckRunOutcome
from moneypath.telemetry.redaction import redact

SUBJECT_CHARACTERS_MAX = 200


class Row(Protocol):
    """A violating row by its columns: subject, amount, currency as text, since as Unix time."""

    def __getitem__(self, column: str) -> object: ...


@dataclass(frozen=True, slots=True)
class Violation:
    """One violating row. `amount_minor` is as signed as the row, and None if it cannot be read or is none.

    `subject` and `currency` are redacted and printable; `since` is Unix time.
    """

    subject: str
    amount_minor: int | None
    currency: str | None
    since: float | None
    is_readable: bool


@dataclass(frozen=True, slots=True)
class RunResult:
    """How one run ended, and what it found if it came to an end.

    `money` has the absolute amounts of all readable rows by currency. `began_at` is Unix time before the
    snapshot; `reason` says why there is no finding, and quotes no row. `violations` are the first ones only.
    """

    check: str
    outcome: CheckRunOutcome
    began_at: float
    seconds: float
    reason: str = ""
    count: int = 0
    unreadable: int = 0
    money: Mapping[str, int] = field(default_factory=dict)
    oldest_since: float | None = None
    violations: tuple[Violation, ...] = ()

    @property
    def is_known(self) -> bool:
        """Tell whether the run found out how things are."""
        return self.outcome in {CheckRunOutcome.SUCCEEDED, CheckRunOutcome.TRUNCATED}


@dataclass(slots=True)
class Tally:
    """Counts violating rows one by one and keeps the first `keep` of them."""

    amount: AmountUnit
    exponents: Mapping[str, int]
    keep: int = 0
    count: int = 0
    unreadable: int = 0
    money: Counter[str] = field(default_factory=Counter)
    oldest_since: float | None = None
    violations: list[Violation] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Count a row, whatever it holds."""
        self.count += 1
        minor, currency = None, None
        if self.amount is not AmountUnit.NONE:
            amount, currency = _text(row["amount"]), _text(row["currency"])
            minor = read_amount(amount, currency, self.amount, self.exponents)
            if minor is None or currency is None:
                self.unreadable += 1
            else:
                self.money[currency] += abs(minor)
        since = row["since"]
        known = since if isinstance(since, float) and math.isfinite(since) else None
        if known is not None:
            self.oldest_since = known if self.oldest_since is None else min(known, self.oldest_since)
        if len(self.violations) < self.keep:
            readable = minor is not None or self.amount is AmountUnit.NONE
            self.violations.append(
                Violation(_shown(_text(row["subject"])) or "", minor, _shown(currency), known, readable)
            )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _shown(text: str | None) -> str | None:
    if text is None:
        return None
    # A terminal must not obey what stands in a ledger.
    return "".join(letter if letter.isprintable() else "?" for letter in redact(text))
