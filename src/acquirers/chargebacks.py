"""Chargebacks: a card holder reclaims a capture through the issuer, and the merchant may win the case."""

import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace

from acquirers.decisions import SELECT, find_one, read_entry, taken_minor
from acquirers.errors import ChargebackRefused, ChargebackUnknown
from acquirers.operations import Entry, Kind, Status

Insert = Callable[[Entry], Entry]


@dataclass(frozen=True, slots=True)
class ChargebackRequest:
    """The capture to charge back: by its key or, if that is empty, the newest capture of a merchant
    reference.

    Without an amount, all that is left of the capture is charged back.
    """

    key: str
    reference: str
    amount_minor: int | None


@dataclass(frozen=True, slots=True)
class BookingResult:
    """The entry of a request, and whether the book already had it."""

    entry: Entry
    replayed: bool


def identify(prefix: str, name: str, key: str, *, movement: int) -> str:
    """Return the provider reference of a movement of a key."""
    # Keys contain no blank, so a second reference cannot equal the first one of another key.
    again = "" if movement == 1 else " 2"
    return f"{prefix}_{hashlib.sha256(f'{name}/{key}{again}'.encode()).hexdigest()[:24]}"


def open_case(
    connection: sqlite3.Connection, order: ChargebackRequest, name: str, at: float, insert: Insert
) -> BookingResult:
    """Book the chargeback of a capture, once; raises ChargebackUnknown and ChargebackRefused."""
    by, value = ("key", order.key) if order.key else ("reference", order.reference)
    capture = find_one(connection, f"{by} = ? AND status = 'captured'", [value])
    if capture is None:
        raise ChargebackUnknown(f"no capture has this {by}")
    known = _find_case(connection, "parent", capture.provider_reference, Kind.CHARGEBACK)
    if known is not None:
        if order.amount_minor in (None, known.amount_minor):
            return BookingResult(known, replayed=True)
        raise ChargebackRefused(f"the capture was charged back already, over {known.amount_minor}")
    left = capture.amount_minor - taken_minor(connection, capture.provider_reference)
    amount_minor = left if order.amount_minor is None else order.amount_minor
    if not 0 < amount_minor <= left:
        raise ChargebackRefused(f"amount_minor: of the capture {left} minor units are left")
    case = replace(
        capture,
        kind=Kind.CHARGEBACK,
        status=Status.CHARGED_BACK,
        amount_minor=amount_minor,
        provider_reference=identify("chb", name, capture.key, movement=capture.movement),
        parent=capture.provider_reference,
        at=at,
    )
    return BookingResult(insert(case), replayed=False)


def win_case(connection: sqlite3.Connection, movement: str, at: float, insert: Insert) -> BookingResult:
    """Book the reversal of a chargeback, once; raises ChargebackUnknown."""
    known = _find_case(connection, "provider_reference", movement, Kind.CHARGEBACK_REVERSAL)
    if known is not None:
        return BookingResult(known, replayed=True)
    case = _find_case(connection, "provider_reference", movement, Kind.CHARGEBACK)
    if case is None:
        raise ChargebackUnknown("no chargeback has this id")
    won = replace(case, kind=Kind.CHARGEBACK_REVERSAL, status=Status.REVERSED, at=at)
    return BookingResult(insert(won), replayed=False)


def _find_case(connection: sqlite3.Connection, column: str, value: str, kind: Kind) -> Entry | None:
    # The last condition makes SQLite use the partial index.
    query = f"{SELECT} WHERE {column} = ? AND kind = ? AND status IN ('charged_back', 'reversed')"
    row = connection.execute(query, (value, kind)).fetchone()
    return None if row is None else read_entry(row)
