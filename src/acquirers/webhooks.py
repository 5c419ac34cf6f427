"""Tell the merchant what became of its operations: at least once, from the book, signed, and bounded.

The book is the queue: what is not told yet stands in it, so a killed acquirer goes on where it was.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import aiohttp
from yarl import URL

from acquirers.bookkeeper import Bookkeeper
from acquirers.errors import TemporarilyUnavailable
from acquirers.events import describe_event
from acquirers.faults import WEBHOOK_KINDS, FaultBoard, FaultKind, Operation, Subject
from acquirers.operations import Entry
from acquirers.settings import WebhookSettings
from acquirers.signing import Signer

PENDING_MAX: Final = 1000
_CONNECTIONS_MAX: Final = 32
# What is committed within this time is read at once; what was told is noted this often.
_GATHER_SECONDS: Final = 0.02
_NOTE_SECONDS: Final = 1.0

Sleep = Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class Tally:
    """How many events were answered with a 2xx, were lost on purpose, or given up after all attempts."""

    taken: int = 0
    lost: int = 0
    abandoned: int = 0


class Courier:
    """Sends an event for every entry of the book, in the book's order while all is well."""

    def __init__(
        self,
        *,
        name: str,
        settings: WebhookSettings,
        bookkeeper: Bookkeeper,
        faults: FaultBoard,
        signer: Signer,
        sleep: Sleep = asyncio.sleep,
        random_source: random.Random | None = None,
        pending_max: int = PENDING_MAX,
    ) -> None:
        self._name = name
        self._settings = settings
        self._url = URL(settings.url)
        self._bookkeeper = bookkeeper
        self._faults = faults
        self._signer = signer
        self._sleep = sleep
        # Jitter needs no secrecy.
        self._random = random_source or random.Random()  # noqa: S311
        self._pending_max = pending_max
        self._pending: dict[int, asyncio.Task[None]] = {}
        self._lines = asyncio.Semaphore(_CONNECTIONS_MAX)
        self._room = asyncio.Event()
        self._read_to = self._noted = 0
        # Which event is held back, and what ends it: that something later was told.
        self._held: tuple[int, asyncio.Event] | None = None
        self.tally = Tally()

    @property
    def pending(self) -> int:
        """Return how many events are on their way."""
        return len(self._pending)

    @property
    def told(self) -> int:
        """Return up to which sequence number of the book everything was told and noted."""
        return self._noted

    async def run(self) -> None:
        """Tell until cancelled; what is on its way then is told again by the next run."""
        self._read_to = self._noted = await self._bookkeeper.begin_telling()
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_seconds)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            try:
                while True:
                    self._bookkeeper.committed.clear()
                    await self._begin_new(session)
                    await self._note()
                    await self._await_more()
            finally:
                tasks = list(self._pending.values())
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin_new(self, session: aiohttp.ClientSession) -> None:
        while room := self._pending_max - len(self._pending):
            try:
                entries = await self._bookkeeper.page(self._read_to, room)
            except TemporarilyUnavailable:
                self._bookkeeper.committed.set()  # so that it is tried again soon
                return
            for entry in entries:
                self._read_to = entry.seq
                task = asyncio.create_task(self._tell(session, entry))
                self._pending[entry.seq] = task
                task.add_done_callback(partial(self._end, entry.seq))
            if len(entries) < room:
                return

    def _end(self, seq: int, _: asyncio.Task[None]) -> None:
        del self._pending[seq]
        self._room.set()

    async def _note(self) -> None:
        told = min(self._pending, default=self._read_to + 1) - 1
        if told > self._noted:
            try:
                await self._bookkeeper.note_told(told)
            except TemporarilyUnavailable:
                return  # then it is told again after a restart
            self._noted = told

    async def _await_more(self) -> None:
        """Wait until there is something new and room for it, at most until it is time to note again."""
        awaited = self._bookkeeper.committed
        if len(self._pending) >= self._pending_max:
            awaited = self._room
            awaited.clear()
        try:
            async with asyncio.timeout(None if self._noted == self._read_to else _NOTE_SECONDS):
                await awaited.wait()
            await asyncio.sleep(_GATHER_SECONDS)
        except TimeoutError:
            return

    async def _tell(self, session: aiohttp.ClientSession, entry: Entry) -> None:
        subject = Subject(Operation(entry.kind.value), entry.reference, entry.currency, entry.card_range)
        lease = self._faults.match(subject, WEBHOOK_KINDS)
        if lease is not None:
            lease.hits += 1
            match lease.fault.kind:
                case FaultKind.WEBHOOK_LOST:
                    self.tally.lost += 1
                    return
                case FaultKind.WEBHOOK_LATE:
                    await self._sleep(lease.fault.latency_seconds)
                case FaultKind.WEBHOOK_TWICE:
                    await self._send_until_taken(session, entry)
                case _:
                    await self._hold_back(entry.seq, lease.fault.latency_seconds)
        await self._send_until_taken(session, entry)

    async def _hold_back(self, seq: int, seconds: float) -> None:
        """Wait until something later was told, at most so long; one event at a time is held."""
        if self._held is not None:
            return
        overtaken = asyncio.Event()
        self._held = (seq, overtaken)
        try:
            async with asyncio.timeout(seconds):
                await overtaken.wait()
        except TimeoutError:
            pass
        finally:
            self._held = None

    async def _send_until_taken(self, session: aiohttp.ClientSession, entry: Entry) -> None:
        body = describe_event(self._name, entry)
        for attempt in range(self._settings.attempts_max):
            if attempt:
                most = self._settings.backoff_seconds * 2.0 ** min(attempt - 1, 30)
                await self._sleep(self._random.uniform(0, min(most, self._settings.backoff_cap_seconds)))
            if await self._send(session, body):
                self.tally.taken += 1
                if self._held is not None and self._held[0] < entry.seq:
                    self._held[1].set()
                return
        self.tally.abandoned += 1

    async def _send(self, session: aiohttp.ClientSession, body: bytes) -> bool:
        async with self._lines:
            headers = self._signer.headers("POST", self._url.raw_path_qs, body)
            headers["Content-Type"] = "application/json"
            try:
                async with session.post(
                    self._url, data=body, headers=headers, allow_redirects=False
                ) as response:
                    return 200 <= response.status < 300
            except (aiohttp.ClientError, TimeoutError, OSError):
                return False
