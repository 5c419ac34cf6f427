"""Read acknowledged ledger writes back on a new connection, to prove that they are durable."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from refpay.clock import Clock
from refpay.db.errors import DatabaseUnavailable
from refpay.db.pool import Database
from refpay.errors import StartRefused
from refpay.ledger.receipt_log import Receipt, ReceiptReader
from refpay.ledger.repository import read_missing
from refpay.settings import DatabaseSettings

CHECK: Final = "ledger_durability"
NEW_MAXIMUM: Final = 2_000
SAMPLE: Final = 100
REMEMBERED_MAXIMUM: Final = 5_000
MISSING_MAXIMUM: Final = 10_000

_LOG: Final = structlog.get_logger()

Opener = Callable[[], AbstractAsyncContextManager[Database]]


@dataclass(frozen=True, slots=True)
class ProbeRound:
    """The result of one round.

    `missing` counts everything that is missing now, whenever it was first found so.
    """

    at: datetime
    found: int
    missing: int


class DurabilityProbe:
    """Reads back new acknowledgements, a random sample of old ones, and those that were missing.

    Every acknowledgement is read back once, at most `NEW_MAXIMUM` in a round. Then it may enter a uniform
    sample of `REMEMBERED_MOST`, which later rounds draw from. What is missing is looked up again in every
    round until it is there, so that the alert does not resolve by itself.
    """

    def __init__(self, reader: ReceiptReader, open_database: Opener, *, clock: Clock, seed: int) -> None:
        self._reader, self._open_database, self._clock = reader, open_database, clock
        self._random = random.Random(seed)  # noqa: S311 - a sample, not a secret
        self._remembered: list[Receipt] = []
        self._seen = 0
        # Read from the files and not yet looked up, so that a failed round loses none.
        self._new: list[Receipt] = []
        self._missing: list[Receipt] = []

    async def run_once(self) -> ProbeRound:
        """Run one round. Raises DatabaseUnavailable or OSError, and then the round counts for nothing."""
        now = self._clock.now()
        capacity = min(NEW_MAXIMUM, MISSING_MAXIMUM - len(self._missing)) - len(self._new)
        if capacity > 0:
            malformed = self._reader.malformed
            self._new += await asyncio.to_thread(self._reader.read, capacity)
            if self._reader.malformed > malformed:
                _LOG.error("acknowledgements_malformed", lines=self._reader.malformed - malformed)
        asked = list(dict.fromkeys((*self._missing, *self._new, *self._sample())))
        # Opened even if nothing is looked up: a round without the database has to fail.
        async with self._open_database() as database, database.transaction() as connection:
            missing = await read_missing(connection, asked)
        for one in set(missing).difference(self._missing):
            _LOG.error("ledger_write_missing", operation_id=str(one.operation_id), kind=one.kind)
        for one in self._new:
            self._remember(one)
        self._new.clear()
        self._missing = missing[:MISSING_MAXIMUM]
        return ProbeRound(now, found=len(asked) - len(missing), missing=len(missing))

    def _sample(self) -> list[Receipt]:
        return self._random.sample(self._remembered, min(SAMPLE, len(self._remembered)))

    def _remember(self, one: Receipt) -> None:
        # Algorithm R by Vitter: a uniform sample of a stream of unknown length.
        self._seen += 1
        if len(self._remembered) < REMEMBERED_MAXIMUM:
            self._remembered.append(one)
        elif (place := self._random.randrange(self._seen)) < REMEMBERED_MAXIMUM:
            self._remembered[place] = one


def make_database_opener(settings: DatabaseSettings) -> Opener:
    """Return a function that opens one new connection.

    A connection kept open may lead to a server that was demoted.
    """

    @asynccontextmanager
    async def opened() -> AsyncIterator[Database]:
        try:
            database = await Database.connect(settings, most_connections=1)
        except StartRefused as problem:
            raise DatabaseUnavailable(problem.detail) from problem
        try:
            yield database
        finally:
            await database.close()

    return opened
