"""Publishes what the outbox holds: acknowledged by JetStream first, marked afterwards."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.outbox import repository
from refpay.outbox.repository import Unpublished
from refpay.outbox.streams import ANSWER_SECONDS, EVENTS, MESSAGING_ERRORS, Session

IN_FLIGHT: Final = 128
_BATCHES_A_ROUND: Final = 20
_PRUNE_BATCH: Final = 1000


class Relay:
    """Safe to run twice at once, and to be killed anywhere: JetStream drops what it has by the event's id."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run_once(self, session: Session) -> int:
        """Publish what waits, a bounded number; return how many events were acknowledged.

        Raises what NATS raises, after marking what it did acknowledge, and DatabaseUnavailable.
        """
        total = 0
        for _ in range(_BATCHES_A_ROUND):
            async with self._database.transaction() as connection:
                waiting = await repository.read_unpublished(connection, limit=IN_FLIGHT)
            total += await self._publish(session, waiting)
            if len(waiting) < IN_FLIGHT:
                break
        return total

    async def _publish(self, session: Session, waiting: Sequence[Unpublished]) -> int:
        results = await asyncio.gather(
            *(publish_event(session, event) for event in waiting), return_exceptions=True
        )
        pairs = list(zip(waiting, results, strict=True))
        acknowledged = [event.id for event, problem in pairs if problem is None]
        if acknowledged:
            async with self._database.transaction() as connection:
                await repository.mark_published(connection, acknowledged, self._clock.now())
        failures = [problem for problem in results if problem is not None]
        # What is not NATS's doing is a bug and has to be seen first.
        for problem in sorted(failures, key=lambda problem: isinstance(problem, MESSAGING_ERRORS)):
            raise problem
        return len(acknowledged)


async def publish_event(session: Session, event: Unpublished) -> None:
    """Publish one event and wait until JetStream has it, from this time or an earlier one."""
    await session.stream.publish(
        f"events.{event.type}",
        event.body.encode(),
        timeout=ANSWER_SECONDS,
        stream=EVENTS,
        headers={**event.headers, "Nats-Msg-Id": str(event.id)},
    )


class Pruner:
    """Deletes published events after a while, a bounded number at a time."""

    def __init__(self, database: Database, *, clock: Clock, keep: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep

    async def run_once(self) -> int:
        """Delete one batch; return how many."""
        async with self._database.transaction() as connection:
            before = self._clock.now() - self._keep
            return await repository.prune(connection, published_before=before, limit=_PRUNE_BATCH)
