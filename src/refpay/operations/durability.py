"""The durability probe: reads acknowledged ledger writes back, as a client would who comes only now."""

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
from refpay.ledger.journal import Acknowledgement, AcknowledgementReader
from refpay.ledger.repository import read_missing
from refpay.settings import DatabaseSettings

CHECK: Final = "ledger_durability"
NEW_MOST: Final = 2_000
SAMPLE: Final = 100
REMEMBERED_MOST: Final = 5_000
MISSING_MOST: Final = 10_000

_LOG: Final = structlog.get_logger()

Opener = Callable[[], AbstractAsyncContextManager[Database]]


@dataclass(frozen=True, slots=True)
class ProbeRound:
    """What one round read back; `missing` is all that is missing now, however long ago it was found so."""

    at: datetime
    found: int
    missing: int


class DurabilityProbe:
    """Reads back what is new, a random sample of what is old, and what was missing, on a new connection.

    Every acknowledgement is read back once, at most `NEW_MOST` a round; then it is one of
    `REMEMBERED_MOST` that samples are drawn from, each that was ever read with the same chance. What is
    missing is asked for again in every round until it is there: an alarm must not end by looking away.
    """

    def __init__(
        self, reader: AcknowledgementReader, open_database: Opener, *, clock: Clock, seed: int
    ) -> None:
        self._reader, self._open_database, self._clock = reader, open_database, clock
        self._random = random.Random(seed)  # noqa: S311 - a sample, not a secret
        self._remembered: list[Acknowledgement] = []
        self._seen = 0
        # Read from the files and not yet read back: a round that fails does not lose them.
        self._new: list[Acknowledgement] = []
        self._missing: list[Acknowledgement] = []

    async def run_once(self) -> ProbeRound:
        """Run one round; raises DatabaseUnavailable or OSError, and then nothing was learnt."""
        now = self._clock.now()
        room = min(NEW_MOST, MISSING_MOST - len(self._missing)) - len(self._new)
        if room > 0:
            malformed = self._reader.malformed
            self._new += await asyncio.to_thread(self._reader.read, room)
            if self._reader.malformed > malformed:
                _LOG.error("acknowledgements_malformed", lines=self._reader.malformed - malformed)
        asked = list(dict.fromkeys((*self._missing, *self._new, *self._sample())))
        # Opened even when nothing is asked: a round without the database is no success.
        async with self._open_database() as database, database.transaction() as connection:
            missing = await read_missing(connection, asked)
        for one in set(missing).difference(self._missing):
            _LOG.error("ledger_write_missing", operation_id=str(one.operation_id), kind=one.kind)
        for one in self._new:
            self._remember(one)
        self._new.clear()
        self._missing = missing[:MISSING_MOST]
        return ProbeRound(now, found=len(asked) - len(missing), missing=len(missing))

    def _sample(self) -> list[Acknowledgement]:
        return self._random.sample(self._remembered, min(SAMPLE, len(self._remembered)))

    def _remember(self, one: Acknowledgement) -> None:
        # Vitter's algorithm R: a uniform sample of a stream whose length nobody knows.
        self._seen += 1
        if len(self._remembered) < REMEMBERED_MOST:
            self._remembered.append(one)
        elif (place := self._random.randrange(self._seen)) < REMEMBERED_MOST:
            self._remembered[place] = one


def open_anew(settings: DatabaseSettings) -> Opener:
    """Return what opens one new connection: one kept open may lead to a server that was demoted."""

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
