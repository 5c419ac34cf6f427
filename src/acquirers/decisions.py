"""Decide about an instruction from the book, inside the writing transaction."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from acquirers.book_file import COLUMNS, ORDERED
from acquirers.operations import Entry, Instruction, Kind, Refusal, Status, card_range_of

SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM operation"  # noqa: S608 - our own constant, no input
_DONE: Final = {Kind.CAPTURE: Status.CAPTURED, Kind.REFUND: Status.REFUNDED, Kind.VOID: Status.VOIDED}
# The second condition makes SQLite use the partial index; otherwise it reads the whole book.
_TAKEN: Final = (
    "SELECT coalesce(sum(CASE kind WHEN 'chargeback_reversal' THEN -amount_minor ELSE amount_minor END), 0) "
    "FROM operation WHERE parent = ? AND parent <> '' AND status <> 'refused'"
)
_VOIDED: Final = "SELECT 1 FROM operation WHERE parent = ? AND parent <> '' AND status = 'voided'"


@dataclass(frozen=True, slots=True)
class BookingRequest:
    """An instruction, the issuer's reason to decline it (None if it approves), and the time in Unix seconds.

    If `forgets_key`, a capture or payout whose key is known is booked again, as a second movement.
    """

    instruction: Instruction
    declined: str | None
    at: float
    forgets_key: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The resulting status of a request, and the card range that it is about."""

    status: Status
    reason: str | None
    card_range: str


def decide(connection: sqlite3.Connection, order: BookingRequest, *, lifetime_seconds: float) -> Decision:
    """Decide about a request whose key is new; authorizations expire after `lifetime_seconds`."""
    instruction = order.instruction
    if instruction.kind is Kind.AUTHORIZE:
        status = Status.APPROVED if order.declined is None else Status.DECLINED
        return Decision(status, order.declined, card_range_of(instruction.card_token))
    if instruction.kind is Kind.PAYOUT:
        return Decision(Status.PAID, None, "")
    parent = find_one(connection, "provider_reference = ?", [instruction.parent])
    if instruction.kind is Kind.REFUND:
        refusal = _refuse_refund(connection, instruction, parent)
    else:
        expired = parent is not None and order.at >= parent.at + lifetime_seconds
        refusal = _refuse_under_authorization(connection, instruction, parent, expired=expired)
    card_range = parent.card_range if parent else ""
    if refusal is not None:
        return Decision(Status.REFUSED, refusal, card_range)
    return Decision(_DONE[instruction.kind], None, card_range)


def taken_minor(connection: sqlite3.Connection, parent: str) -> int:
    """Return the minor units used of an authorization (captured, voided) or of a capture (refunded, charged
    back).
    """
    (taken,) = connection.execute(_TAKEN, (parent,)).fetchone()
    return int(taken)


def find_one(connection: sqlite3.Connection, condition: str, values: Iterable[str]) -> Entry | None:
    """Return the newest entry of a merchant's request that meets the condition."""
    query = f"{SELECT} WHERE {condition} AND {ORDERED} ORDER BY movement DESC, seq DESC LIMIT 1"
    row = connection.execute(query, tuple(values)).fetchone()
    return None if row is None else read_entry(row)


def read_entry(row: tuple[object, ...]) -> Entry:
    """Return a row of the book as an entry."""
    values = dict(zip(COLUMNS, row, strict=True))
    values["kind"] = Kind(str(values["kind"]))
    values["status"] = Status(str(values["status"]))
    return Entry(**values)  # type: ignore[arg-type]  # the table's own CHECKs and types guarantee them


def _refuse_under_authorization(
    connection: sqlite3.Connection, instruction: Instruction, parent: Entry | None, *, expired: bool
) -> Refusal | None:
    if parent is None or parent.kind is not Kind.AUTHORIZE:
        return Refusal.UNKNOWN_AUTHORIZATION
    if parent.status is not Status.APPROVED:
        return Refusal.AUTHORIZATION_NOT_APPROVED
    if instruction.currency != parent.currency:
        return Refusal.CURRENCY_DIFFERS
    if connection.execute(_VOIDED, (instruction.parent,)).fetchone() is not None:
        return Refusal.AUTHORIZATION_VOIDED
    left = parent.amount_minor - taken_minor(connection, instruction.parent)
    if instruction.kind is Kind.VOID:
        # The amount must be exact: a merchant that does not know all its captures must not void them.
        # An expired authorization may be voided, because nothing can be captured anyway.
        return Refusal.NOT_WHAT_IS_LEFT if instruction.amount_minor != left else None
    if expired:
        return Refusal.AUTHORIZATION_EXPIRED
    return Refusal.EXCEEDS_AUTHORIZATION if instruction.amount_minor > left else None


def _refuse_refund(
    connection: sqlite3.Connection, instruction: Instruction, parent: Entry | None
) -> Refusal | None:
    if parent is None or parent.kind is not Kind.CAPTURE:
        return Refusal.UNKNOWN_CAPTURE
    if parent.status is not Status.CAPTURED:
        return Refusal.CAPTURE_NOT_CAPTURED
    if instruction.currency != parent.currency:
        return Refusal.CURRENCY_DIFFERS
    if taken_minor(connection, instruction.parent) + instruction.amount_minor > parent.amount_minor:
        return Refusal.EXCEEDS_CAPTURE
    return None
