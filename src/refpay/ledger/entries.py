"""Which lines an entry has; debit positive."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from refpay.ids import mint_id
from refpay.money import Money


class EntryKind(StrEnum):
    """What an entry records."""

    POSTING = "posting"
    REVERSAL = "reversal"


@dataclass(frozen=True, slots=True)
class Line:
    """One leg; the amount is signed and never 0."""

    account: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A balanced set of lines in one currency, for exactly one operation."""

    id: UUID
    kind: EntryKind
    operation_id: UUID
    payment_id: UUID
    posted_at: datetime
    currency: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that a provider moved for a merchant."""

    operation_id: UUID
    payment_id: UUID
    provider: str
    merchant: str
    money: Money


def capture_entry(movement: Movement, now: datetime) -> Entry:
    """Return the posting of a capture: the provider owes us, we owe the merchant."""
    return _entry(EntryKind.POSTING, movement, movement.money.amount_minor, now)


def refund_entry(movement: Movement, now: datetime) -> Entry:
    """Return the reversal of what was refunded."""
    return _entry(EntryKind.REVERSAL, movement, -movement.money.amount_minor, now)


def _entry(kind: EntryKind, movement: Movement, receivable_minor: int, now: datetime) -> Entry:
    return Entry(
        id=mint_id(now),
        kind=kind,
        operation_id=movement.operation_id,
        payment_id=movement.payment_id,
        posted_at=now,
        currency=movement.money.currency,
        lines=(
            Line(f"provider_receivable:{movement.provider}", receivable_minor),
            Line(f"merchant_payable:{movement.merchant}", -receivable_minor),
        ),
    )
