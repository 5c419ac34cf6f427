"""Carries out the requests to replay that wait in the database."""

from typing import Final

from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.outbox import dead_letters, replay_requests
from refpay.outbox.replay_requests import ReplayRequest
from refpay.outbox.streams import Queue, Session

_REQUESTS_A_ROUND: Final = 10


class Replayer:
    """May be killed anywhere and run again: what a request is about is fixed before a letter moves."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run_once(self, session: Session) -> int:
        """Carry out what is asked for; return how many letters were moved.

        Raises what NATS raises, and DatabaseUnavailable; either way it may be called again.
        """
        async with self._database.transaction() as connection:
            requests = await replay_requests.read_open(connection, limit=_REQUESTS_A_ROUND)
        return sum([await self._carry_out(session, request) for request in requests])

    async def _carry_out(self, session: Session, request: ReplayRequest) -> int:
        queue = Queue(request.queue)
        up_to = request.up_to
        if up_to is None:
            up_to = await self._begin(session, request, queue)
        moved = await dead_letters.replay(session, queue, up_to=up_to)
        async with self._database.transaction() as connection:
            await replay_requests.finish(connection, request.id, self._clock.now())
        return moved

    async def _begin(self, session: Session, request: ReplayRequest, queue: Queue) -> int:
        seen = await dead_letters.look(session)
        found = sum(depth for (name, _), depth in seen.depths.items() if name == queue)
        async with self._database.transaction() as connection:
            await replay_requests.begin(
                connection, request.id, now=self._clock.now(), up_to=seen.last_sequence, found=found
            )
            return await _fixed(connection, request)


async def _fixed(connection: Connection, request: ReplayRequest) -> int:
    # Another worker may have begun it in between; its word holds.
    fixed = await replay_requests.read(connection, request.id)
    return 0 if fixed is None or fixed.up_to is None else fixed.up_to
