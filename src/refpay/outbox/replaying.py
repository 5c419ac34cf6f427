"""Carries out the requests to replay that wait in the database."""

from typing import Final

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.outbox import dead_letters, replay_requests
from refpay.outbox.replay_requests import ReplayRequest
from refpay.outbox.streams import Queue, Session

_REQUESTS_A_ROUND: Final = 10


async def carry_out_replays(database: Database, clock: Clock, session: Session) -> int:
    """Carry out what is asked for; return how many letters were moved.

    May be killed anywhere and run again: what a request is about is fixed before a letter moves. Raises what
    NATS raises, and DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        requests = await replay_requests.read_open(connection, limit=_REQUESTS_A_ROUND)
    moved = 0
    for request in requests:
        up_to = request.up_to
        if up_to is None:
            up_to = await _begin(database, clock, session, request)
        moved += await dead_letters.replay(session, Queue(request.queue), up_to=up_to)
        async with database.transaction() as connection:
            await replay_requests.finish(connection, request.id, clock.now())
    return moved


async def _begin(database: Database, clock: Clock, session: Session, request: ReplayRequest) -> int:
    seen = await dead_letters.look(session)
    found = sum(depth for (queue, _), depth in seen.depths.items() if queue == request.queue)
    async with database.transaction() as connection:
        await replay_requests.begin(
            connection, request.id, now=clock.now(), up_to=seen.last_sequence, found=found
        )
        # Another worker may have begun it in between; its word holds.
        fixed = await replay_requests.read(connection, request.id)
    return 0 if fixed is None or fixed.up_to is None else fixed.up_to
