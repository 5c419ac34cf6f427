"""What consuming an event does: one row, however often the event comes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from refpay.db.pool import Connection, columns
from refpay.outbox.events import Event
from refpay.outbox.streams import Queue

Effect = Callable[[Connection, Sequence[Event], datetime], Awaitable[None]]

_NOTIFY: Final = """
    INSERT INTO messages.notification (
        event_id, type, at, operation_id, payment_id, merchant, provider, currency, amount_minor, written_at)
    SELECT event.*, $10::timestamptz FROM unnest(
        $1::uuid[], $2::text[], $3::timestamptz[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[],
        $9::bigint[]) AS event
    ON CONFLICT (event_id) DO NOTHING
"""
# The database numbers, chains and seals.
_LOG: Final = """
    INSERT INTO messages.compliance_entry (event_id, type, body, at, written_at)
    SELECT event.*, $5::timestamptz
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) AS event
    ON CONFLICT (event_id) DO NOTHING
"""


async def notify(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """Write what each merchant is to be told."""
    await connection.execute(_NOTIFY, *columns(events, Event), now)


async def log_for_compliance(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """Append the events to the sealed log."""
    entries = [(event.id, event.type, event.encode(), event.at) for event in events]
    await connection.execute(_LOG, *zip(*entries, strict=True), now)


EFFECTS: Final[Mapping[Queue, Effect]] = {
    Queue.NOTIFICATIONS: notify,
    Queue.COMPLIANCE_LOG: log_for_compliance,
}
