"""Publish events from the outbox: JetStream acknowledges an event before it is marked as published."""

import asyncio
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
_PRUNE = """
    WITH pruned AS (
        DELETE FROM outbox.event WHERE id IN (
            SELECT id FROM outbox.event WHERE published_at < $1 ORDER BY published_at LIMIT $2)
        RETURNING 1)
    SELECT count(*) FROM pruned
"""


async def relay(database: Database, clock: Clock, session: Session) -> int:
    """Publish waiting events, a bounded number; return how many JetStream acknowledged.

    Two processes may run it at once, and it may be killed at any point, because JetStream drops events that
    it has by their id. Raises the errors of NATS, after marking what was acknowledged, and
    DatabaseUnavailable.
    """
    total = 0
    for _ in range(_BATCHES_A_ROUND):
        async with database.transaction() as connection:
            waiting = await repository.read_unpublished(connection, limit=IN_FLIGHT)
        results = await asyncio.gather(
            *(publish_event(session, event) for event in waiting), return_exceptions=True
        )
        pairs = zip(waiting, results, strict=True)
        if acknowledged := [event.id for event, problem in pairs if problem is None]:
            async with database.transaction() as connection:
                await repository.mark_published(connection, acknowledged, clock.now())
        failures = [problem for problem in results if problem is not None]
        # Other errors than those of NATS are bugs and are raised first.
        for problem in sorted(failures, key=lambda problem: isinstance(problem, MESSAGING_ERRORS)):
            raise problem
        total += len(acknowledged)
        if len(waiting) < IN_FLIGHT:
            break
    return total


async def publish_event(session: Session, event: Unpublished) -> None:
    """Publish one event and wait until JetStream has it, from this publication or an earlier one."""
    await session.stream.publish(
        f"events.{event.type}",
        event.body.encode(),
        timeout=ANSWER_SECONDS,
        stream=EVENTS,
        headers={**event.headers, "Nats-Msg-Id": str(event.id)},
    )


async def prune(database: Database, clock: Clock, keep: timedelta) -> int:
    """Delete one batch of events that were published longer than `keep` ago; return how many."""
    async with database.transaction() as connection:
        return int(await connection.fetchval(_PRUNE, clock.now() - keep, _PRUNE_BATCH))
