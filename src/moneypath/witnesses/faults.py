"""What is wrong with single rows of a witness: counted, and the first of them kept with their names."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_KEPT_MAX: Final = 1_000
_SHOWN_MAX: Final = 60


class FaultKind(StrEnum):
    """The ways in which a row says something that the witness file does not declare, or nothing."""

    KIND_UNDECLARED = "kind_undeclared"
    CURRENCY_UNDECLARED = "currency_undeclared"
    WORD_UNDECLARED = "word_undeclared"
    AMOUNT_INVALID = "amount_invalid"
    TIME_INVALID = "time_invalid"
    NAME_MISSING = "name_missing"


@dataclass(frozen=True, slots=True)
class Fault:
    """One row that could not be read as it stands."""

    kind: FaultKind
    witness: str
    subject: str
    detail: str


@dataclass(slots=True)
class Faults:
    """The faults of all witnesses; beyond a thousand they are only counted."""

    kept: list[Fault] = field(default_factory=list)
    counts: Counter[FaultKind] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Return how many there are."""
        return self.counts.total()

    def add(self, kind: FaultKind, witness: str, subject: str | float | None, detail: str) -> None:
        """Add one; `subject` is the row's own name."""
        self.counts[kind] += 1
        if len(self.kept) < _KEPT_MAX:
            self.kept.append(Fault(kind, witness, show(subject), detail))


def show(value: str | float | None) -> str:
    """Return a value of a row as a report may have it."""
    return "nothing" if value is None else f'"{str(value)[:_SHOWN_MAX]}"'
