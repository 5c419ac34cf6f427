"""Send the merchant an event for each operation: at least once, signed, and with bounded resources.

The book is the queue: an acquirer that was killed continues with the first event that is not delivered.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt
from yarl import URL

from acquirers.bookkeeper import Bookkeeper
from acquirers.errors import TemporarilyUnavailable
from acquirers.events import describe_event
from acquirers.faults import WEBHOOK_KINDS, FaultKind, FaultRegistry, Operation, Subject
from acquirers.operations import Entry
from acquirers.settings import WebhookSettings
from acquirers.signing import Signer
from acquirers.webhook_attacks import ATTACK_KINDS, WebhookAttacker

PENDING_MAX: Final = 1000
_CONNECTIONS_MAX: Final = 32
# Entries committed within this time are read together; progress is recorded at this interval.
_GATHER_SECONDS: Final = 0.02
_NOTE_SECONDS: Final = 1.0

Sleep = Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class DeliveryCounts:
    """The number of events that were accepted with a 2xx, lost by a fault, or abandoned after all
    attempts.
    """

    taken: int = 0
    lost: int = 0
    abandoned: int = 0


class WebhookSender:
    """Sends an event for every entry of the book, in the order of the book if all succeed at once."""

    def __init__(
        self,
        *,
        name: str,
        settings: WebhookSettings,
        bookkeeper: Bookkeeper,
        faults: FaultRegistry,
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
        # Jitter need not be secret.
        self._random = random_source or random.Random()  # noqa: S311
        self._pending_max = pending_max
        self._attacker = WebhookAttacker(self._url)
        self._pending: dict[int, asyncio.Task[None]] = {}
        self._connections = asyncio.Semaphore(_CONNECTIONS_MAX)
        self._capacity = asyncio.Event()
        self._read_to = self._recorded = 0
        # The event that is held back, and the signal that a later one was delivered.
        self._held: tuple[int, asyncio.Event] | None = None
        self.counts = DeliveryCounts()

    @property
    def pending(self) -> int:
        """Return how many events are being delivered."""
        return len(self._pending)

    @property
    def delivered_through(self) -> int:
        """Return the sequence number of the book up to which all events are delivered and recorded."""
        return self._recorded

    async def run(self) -> None:
        """Send events until cancelled; the next run sends unfinished events again."""
        self._read_to = self._recorded = await self._bookkeeper.begin_delivery()
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_seconds)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            try:
                while True:
                    self._bookkeeper.committed.clear()
                    await self._start_deliveries(session)
                    await self._record_progress()
                    await self._await_more()
            finally:
                tasks = list(self._pending.values())
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _start_deliveries(self, session: aiohttp.ClientSession) -> None:
        while capacity := self._pending_max - len(self._pending):
            try:
                entries = await self._bookkeeper.page(self._read_to, capacity)
            except TemporarilyUnavailable:
                self._bookkeeper.committed.set()  # so that it is tried again soon
                return
            for entry in entries:
                self._read_to = entry.seq
                task = asyncio.create_task(self._deliver(session, entry))
                self._pending[entry.seq] = task
                task.add_done_callback(partial(self._finish, entry.seq))
            if len(entries) < capacity:
                return

    def _finish(self, seq: int, _: asyncio.Task[None]) -> None:
        del self._pending[seq]
        self._capacity.set()

    async def _record_progress(self) -> None:
        told = min(self._pending, default=self._read_to + 1) - 1
        if told > self._recorded:
            try:
                await self._bookkeeper.record_delivered(told)
            except TemporarilyUnavailable:
                return  # then the event is sent again after a restart
            self._recorded = told

    async def _await_more(self) -> None:
        """Wait for new entries and for capacity, at most until the progress must be recorded again."""
        awaited = self._bookkeeper.committed
        if len(self._pending) >= self._pending_max:
            awaited = self._capacity
            awaited.clear()
        try:
            async with asyncio.timeout(None if self._recorded == self._read_to else _NOTE_SECONDS):
                await awaited.wait()
            await asyncio.sleep(_GATHER_SECONDS)
        except TimeoutError:
            return

    async def _deliver(self, session: aiohttp.ClientSession, entry: Entry) -> None:
        subject = Subject(Operation(entry.kind.value), entry.reference, entry.currency, entry.card_range)
        lease = self._faults.match(subject, WEBHOOK_KINDS)
        if lease is not None:
            lease.hits += 1
            match lease.fault.kind:
                case FaultKind.WEBHOOK_LOST:
                    self.counts.lost += 1
                    return
                case FaultKind.WEBHOOK_LATE:
                    await self._sleep(lease.fault.latency_seconds)
                case FaultKind.WEBHOOK_TWICE:
                    await self._send_until_accepted(session, entry)
                case FaultKind.WEBHOOK_OUT_OF_ORDER:
                    await self._hold_back(entry.seq, lease.fault.latency_seconds)
                case _:
                    pass
        await self._send_until_accepted(session, entry)
        if lease in self._faults.active() and lease.fault.kind in ATTACK_KINDS:
            await self._attacker.attack(session, lease.fault.kind)

    async def _hold_back(self, seq: int, seconds: float) -> None:
        """Wait until a later event was delivered, at most for this time; one event at a time is held back."""
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

    async def _send_until_accepted(self, session: aiohttp.ClientSession, entry: Entry) -> None:
        accepted: bool = await AsyncRetrying(
            retry=retry_if_result(lambda accepted: not accepted),
            stop=stop_after_attempt(self._settings.attempts_max),
            wait=self._backoff_seconds,
            sleep=self._sleep,
            retry_error_callback=lambda _: False,
        )(self._send, session, describe_event(self._name, entry))
        if not accepted:
            self.counts.abandoned += 1
            return
        self.counts.taken += 1
        if self._held is not None and self._held[0] < entry.seq:
            self._held[1].set()

    def _backoff_seconds(self, state: RetryCallState) -> float:
        """Draw a pause from 0 to an exponentially growing limit ("full jitter")."""
        limit = self._settings.backoff_seconds * 2.0 ** min(state.attempt_number - 1, 30)
        return self._random.uniform(0, min(limit, self._settings.backoff_cap_seconds))

    async def _send(self, session: aiohttp.ClientSession, body: bytes) -> bool:
        async with self._connections:
            headers = self._signer.headers("POST", self._url.raw_path_qs, body)
            headers["Content-Type"] = "application/json"
            try:
                async with session.post(
                    self._url, data=body, headers=headers, allow_redirects=False
                ) as response:
                    accepted = 200 <= response.status < 300
            except (aiohttp.ClientError, TimeoutError, OSError):
                return False
        if accepted:
            self._attacker.overhear(headers, body)
        return accepted
