"""What is compared with what, and how the two may differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from refpay.providers.reports import MovementKind, ReportLine

FINAL_WITHOUT_EFFECT: Final = ("failed", "declined")


class BreakClass(StrEnum):
    """How our ledger and a provider's report disagree about one movement of money."""

    MISSING_OURS = "missing_ours"
    MISSING_THEIRS = "missing_theirs"
    AMOUNT = "amount"
    CURRENCY = "currency"
    FEE = "fee"
    DUPLICATE = "duplicate"
    STATUS = "status"


class ReportState(StrEnum):
    """What became of a report when it was last fetched."""

    ACCEPTED = "accepted"
    LATE = "late"
    INVALID = "invalid"
    REPLAYED = "replayed"


@dataclass(frozen=True, slots=True)
class Ours:
    """A capture or refund of ours; `posted_minor` is what the ledger says that the provider owes us for it.

    A refund's is negative; without an entry in the ledger there is none. `undone` is how what takes it out of
    suspense stands, if anything does.
    """

    operation_id: UUID
    status: str
    provider_reference: str | None
    settle_after: datetime
    settled_at: datetime | None
    posted_minor: int | None
    currency: str
    undone: str | None

    @property
    def posted(self) -> bool:
        """Return whether the money has moved as far as we know."""
        return self.status == "succeeded" and self.posted_minor is not None


@dataclass(frozen=True, slots=True)
class Theirs:
    """A line of the revision in force of one report."""

    sequence: int
    position: int
    line: ReportLine

    @property
    def place(self) -> tuple[int, int]:
        """Return where the line stands."""
        return self.sequence, self.position


@dataclass(frozen=True, slots=True)
class Repair:
    """A refund that takes back a movement that was one too many; `key` is the doubled charge's."""

    movement: str
    key: str
    repair_key: str
    amount_minor: int
    currency: str

    def is_done_by(self, line: ReportLine) -> bool:
        """Return whether a reported movement is this refund, of just this money."""
        return (line.key, line.kind, line.amount_minor, line.currency) == (
            self.repair_key,
            MovementKind.REFUND,
            self.amount_minor,
            self.currency,
        )


@dataclass(frozen=True, slots=True)
class BreakId:
    """What makes a break the same one from round to round."""

    key: str
    break_class: BreakClass
    movement: str = ""
    occurrence: int = 0


@dataclass(frozen=True, slots=True)
class Break:
    """One difference, worth `value_minor` of `currency`; `place` is the line that shows it, if one does."""

    id: BreakId
    currency: str
    value_minor: int
    operation_id: UUID | None
    place: tuple[int, int] | None

    @property
    def facts(self) -> tuple[str, int, int | None, UUID | None]:
        """Return what may change while it stays open: currency, value, report and operation."""
        return self.currency, self.value_minor, self.place and self.place[0], self.operation_id


@dataclass(frozen=True, slots=True)
class Judgement:
    """What comparing one key has shown; `awaiting` says that our side has no outcome yet."""

    breaks: Sequence[Break] = ()
    awaiting: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far we are with one provider; what is not known yet is None."""

    run_sequence: int | None
    horizon: datetime | None
    watermark: datetime | None
    next_due: datetime | None
