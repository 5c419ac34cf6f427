"""Consume a queue: one effect per event, growing delays between redeliveries, and finally a dead letter."""

import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg
import structlog
from nats.aio.msg import Msg

from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason
from moneypath.telemetry.integrations import messages
from moneypath.telemetry.integrations.messages import Handling
from refpay.clock import Clock
from refpay.db.errors import DatabaseUnavailable, TransactionConflicted
from refpay.db.pool import Connection, Database, columns
from refpay.outbox.dead_letters import dead_letter, identify
from refpay.outbox.events import Event, EventMalformed, EventUnknown, decode
from refpay.outbox.nats_connection import backoff_seconds
from refpay.outbox.streams import Queue, Session
from refpay.settings import MessagingSettings

_LOG: Final = structlog.get_logger()
_REDELIVERY_MOST_SECONDS: Final = 60.0
_FAILURES_REMEMBERED: Final = 4096
# Deliveries that end with a database outage or a crash do not count as attempts; this limits them.
DELIVERIES_AN_ATTEMPT: Final = 3

Effect = Callable[[Connection, Sequence[Event], datetime], Awaitable[None]]

_NOTIFY: Final = """
    INSERT INTO messages.notification (
        event_id, type, at, operation_id, payment_id, merchant, provider, currency, amount_minor, written_at)
    SELECT event.*, $10::timestamptz FROM unnest(
        $1::uuid[], $2::text[], $3::timestamptz[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[],
        $9::bigint[]) AS event
    ON CONFLICT (event_id) DO NOTHING
"""
# Triggers number, chain and seal the rows.
_COMPLY: Final = """
    INSERT INTO messages.compliance_entry (event_id, type, body, at, written_at)
    SELECT event.*, $5::timestamptz
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) AS event
    ON CONFLICT (event_id) DO NOTHING
"""


async def notify(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """Write the notifications for merchants."""
    await connection.execute(_NOTIFY, *columns(events, Event), now)


async def log_for_compliance(connection: Connection, events: Sequence[Event], now: datetime) -> None:
    """Append the events to the sealed compliance log."""
    entries = [(event.id, event.type, event.encode(), event.at) for event in events]
    await connection.execute(_COMPLY, *zip(*entries, strict=True), now)


EFFECTS: Final[Mapping[Queue, Effect]] = {
    Queue.NOTIFICATIONS: notify,
    Queue.COMPLIANCE_LOG: log_for_compliance,
}


@dataclass(slots=True)
class Consumer:
    """The consumer of one queue.

    The row that an effect writes, keyed by the event's id, also marks that it happened.
    """

    queue: Queue
    effect: Effect
    database: Database
    settings: MessagingSettings
    clock: Clock
    observed: messages.Consumer
    # When a message first failed, as far as this process saw it.
    first_failures: OrderedDict[str, datetime] = field(default_factory=OrderedDict, init=False)

    async def run_once(self, session: Session) -> int:
        """Fetch and handle what is there; return how many messages were delivered.

        Raises the errors of NATS, and DatabaseUnavailable.
        """
        # An outage of our database must not use up the attempts of good messages.
        await self.database.ping()
        delivered = await session.fetch(self.queue)
        readable = [pair for message in delivered if (pair := await self._read(session, message)) is not None]
        if readable:
            await self._handle(session, readable)
        return len(delivered)

    async def _read(self, session: Session, message: Msg) -> tuple[Msg, Event] | None:
        # So many deliveries without a result: every process that handled it died.
        if message.metadata.num_delivered > DELIVERIES_AN_ATTEMPT * self.settings.attempts_maximum:
            reason = DeadLetterReason.ATTEMPTS_EXHAUSTED
        else:
            try:
                return message, decode(message.data)
            except EventMalformed:
                reason = DeadLetterReason.MALFORMED
            except EventUnknown:
                reason = DeadLetterReason.UNKNOWN_TYPE
        with self.observed.handling(message.headers) as handling:
            await self._dead_letter(session, message, handling, reason)
        return None

    async def _handle(self, session: Session, pairs: Sequence[tuple[Msg, Event]]) -> None:
        try:
            if not await self._handle_together(pairs):
                for message, event in pairs:
                    await self._handle_alone(session, message, event)
        except DatabaseUnavailable:
            # Our own outage: no message becomes a dead letter for it, and the round ends here.
            for message, _ in pairs:
                if not message.is_acked:
                    await self._postpone(message)
            raise

    async def _handle_together(self, pairs: Sequence[tuple[Msg, Event]]) -> bool:
        """Return whether the whole batch was handled in one transaction."""
        if len(pairs) == 1:
            return False
        try:
            with self.observed.handling_together([message.headers for message, _ in pairs]):
                await self._apply([event for _, event in pairs])
        except Exception as problem:
            if isinstance(problem, DatabaseUnavailable) and not isinstance(problem, TransactionConflicted):
                raise
            return False  # handled one by one, the message at fault fails alone
        for message, _ in pairs:
            await self._accept(message)
        return True

    async def _handle_alone(self, session: Session, message: Msg, event: Event) -> None:
        with self.observed.handling(message.headers) as handling:
            try:
                await self._apply([event])
            except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
                await self._dead_letter(session, message, handling, DeadLetterReason.REJECTED)
            except DatabaseUnavailable:
                raise
            except Exception as problem:  # noqa: BLE001 - one event must not stop the queue
                await self._retry(session, message, handling, problem)
            else:
                await self._accept(message)

    async def _apply(self, events: Sequence[Event]) -> None:
        async with self.database.transaction() as connection:
            await self.effect(connection, events, self.clock.now())

    async def _accept(self, message: Msg) -> None:
        self.first_failures.pop(identify(message), None)
        await message.ack()

    async def _retry(self, session: Session, message: Msg, handling: Handling, problem: Exception) -> None:
        attempt = message.metadata.num_delivered
        _LOG.warning(
            "event_not_consumed", queue=self.queue.value, attempt=attempt, problem=type(problem).__name__
        )
        if attempt >= self.settings.attempts_maximum:
            await self._dead_letter(session, message, handling, DeadLetterReason.ATTEMPTS_EXHAUSTED)
        else:
            handling.fail()
            await self._postpone(message)

    async def _postpone(self, message: Msg) -> None:
        self._note_failure(message)
        pause = backoff_seconds(
            message.metadata.num_delivered,
            base_seconds=self.settings.redelivery_seconds,
            cap_seconds=_REDELIVERY_MOST_SECONDS,
            draw=random.random(),  # noqa: S311  # spreads pauses, guards nothing
        )
        await message.nak(delay=pause)

    async def _dead_letter(
        self, session: Session, message: Msg, handling: Handling, reason: DeadLetterReason
    ) -> None:
        first_failed_at = self._note_failure(message)
        if await dead_letter(session, self.queue, message, reason, first_failed_at=first_failed_at):
            handling.set_aside(reason)
            _LOG.error("event_set_aside", queue=self.queue.value, reason=reason.value)
        else:
            # It was stored before, but the process died before it ended the deliveries.
            handling.fail()
        self.first_failures.pop(identify(message), None)

    def _note_failure(self, message: Msg) -> datetime:
        first = self.first_failures.setdefault(identify(message), self.clock.now())
        if len(self.first_failures) > _FAILURES_REMEMBERED:
            self.first_failures.popitem(last=False)
        return first
