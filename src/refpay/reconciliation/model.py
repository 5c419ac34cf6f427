"""Define both sides of a comparison, and how they may differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from refpay.providers.reports import MovementKind, ReportLine

FINAL_WITHOUT_EFFECT: Final = ("failed", "declined")


class BreakClass(StrEnum):
    """How our ledger and a provider's report disagree about one movement."""

    MISSING_OURS = "missing_ours"
    MISSING_THEIRS = "missing_theirs"
    AMOUNT = "amount"
    CURRENCY = "currency"
    FEE = "fee"
    DUPLICATE = "duplicate"
    STATUS = "status"


class ReportState(StrEnum):
    """The state of a report after it was last fetched."""

    ACCEPTED = "accepted"
    LATE = "late"
    INVALID = "invalid"
    REPLAYED = "replayed"


@dataclass(frozen=True, slots=True)
class LedgerOperation:
    """One of our captures or refunds. `posted_minor` is what the provider owes us for it, by the ledger.

    It is negative for a refund, and None without a ledger entry. `undone` is the status of the operation
    that takes it out of suspense, if there is one.
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
        """Return whether the operation succeeded and is in the ledger."""
        return self.status == "succeeded" and self.posted_minor is not None


@dataclass(frozen=True, slots=True)
class ReportedLine:
    """A line of the revision in force of a report."""

    sequence: int
    position: int
    line: ReportLine

    @property
    def place(self) -> tuple[int, int]:
        """Return the line's report and position."""
        return self.sequence, self.position


@dataclass(frozen=True, slots=True)
class Repair:
    """A refund of a duplicate movement. `key` is that of the charge that was duplicated."""

    movement: str
    key: str
    repair_key: str
    amount_minor: int
    currency: str

    def is_done_by(self, line: ReportLine) -> bool:
        """Return whether a reported line is this refund, of exactly this amount."""
        return (line.key, line.kind, line.amount_minor, line.currency) == (
            self.repair_key,
            MovementKind.REFUND,
            self.amount_minor,
            self.currency,
        )


@dataclass(frozen=True, slots=True)
class BreakId:
    """What identifies a break from round to round."""

    key: str
    break_class: BreakClass
    movement: str = ""
    occurrence: int = 0


@dataclass(frozen=True, slots=True)
class Break:
    """One difference, worth `value_minor` of `currency`. `place` is the line that shows it, or None."""

    id: BreakId
    currency: str
    value_minor: int
    operation_id: UUID | None
    place: tuple[int, int] | None

    @property
    def facts(self) -> tuple[str, int, int | None, UUID | None]:
        """Return what may change while the break is open: currency, value, report and operation."""
        return self.currency, self.value_minor, self.place and self.place[0], self.operation_id


@dataclass(frozen=True, slots=True)
class MatchResult:
    """The result of matching one key. `awaiting` says that our operation has no outcome yet."""

    breaks: Sequence[Break] = ()
    awaiting: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far reconciliation with one provider has come. None means not known yet."""

    run_sequence: int | None
    horizon: datetime | None
    watermark: datetime | None
    next_due: datetime | None
