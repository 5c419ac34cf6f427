"""Process an operation between its dialect and the book, including faults."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from acquirers.bookkeeper import Bookkeeper
from acquirers.errors import KeyReused, KeyUnknown, RequestsTooMany, TemporarilyUnavailable
from acquirers.faults import FaultKind, FaultRegistry, Lease, Operation, Subject
from acquirers.http_requests import error_response
from acquirers.issuer import issuer_decline
from acquirers.operations import Entry, Instruction, Kind, card_range_of

# Below the usual limit of 1024 open files: a refusal is clearer than a connection that is not accepted.
IN_FLIGHT_MAX: Final = 800
_CONNECTION_CHECK_SECONDS: Final = 0.25

Render = Callable[[Entry], web.Response]


class OperationService:
    """Serve validated operations: limit their number, apply faults, book them, answer.

    `stopping` ends every artificial wait, so that an acquirer with hanging requests still stops at once.
    """

    def __init__(
        self,
        *,
        name: str,
        bookkeeper: Bookkeeper,
        faults: FaultRegistry,
        decline_rate: float,
        latency_seconds: float,
        stopping: asyncio.Event,
        in_flight_max: int,
    ) -> None:
        self._name = name
        self._bookkeeper = bookkeeper
        self._faults = faults
        self._decline_rate = decline_rate
        self._latency_seconds = latency_seconds
        self._stopping = stopping
        self._free_slots = in_flight_max
        self._received: Counter[str] = Counter()

    @property
    def received(self) -> Mapping[str, int]:
        """Return how many requests of each operation came in, repeated and refused ones too."""
        return dict(self._received)

    async def perform(
        self, request: web.Request, instruction: Instruction, render: Render
    ) -> web.StreamResponse:
        """Book the instruction and answer with its entry, unless a fault prevents that."""
        self._received[instruction.kind.value] += 1
        with self.slot():
            lease = self._match(self._subject_of(instruction))
            kind = None if lease is None else lease.fault.kind
            if lease is not None and kind is FaultKind.DECLINE:
                declined: str | None = lease.fault.decline_code
            elif instruction.kind is Kind.AUTHORIZE:
                declined = issuer_decline(self._name, instruction.reference, self._decline_rate)
            else:
                declined = None
            try:
                applied = await self._bookkeeper.apply(
                    instruction, declined, forgets_key=kind is FaultKind.FORGET
                )
                response = render(applied.entry)
                first = not applied.replayed and applied.entry.movement == 1
            except (KeyReused, TemporarilyUnavailable) as error:
                response, first = error_response(error), False
            return await self._deliver(request, response, lease, first=first)

    async def look_up(self, request: web.Request, key: str, render: Render) -> web.StreamResponse:
        """Answer with the committed entry of a provider key; raises KeyUnknown, which no fault affects."""
        self._received[Operation.QUERY.value] += 1
        with self.slot():
            entry = self._bookkeeper.find(key)
            if entry is None:
                raise KeyUnknown("no operation has this key")
            lease = self._match(Subject(Operation.QUERY, entry.reference, entry.currency, entry.card_range))
            return await self._deliver(request, render(entry), lease)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Occupy one of the limited slots; raises RequestsTooMany."""
        if self._free_slots <= 0:
            raise RequestsTooMany("too many operations are in flight: send this one again later")
        self._free_slots -= 1
        try:
            yield
        finally:
            self._free_slots += 1

    def _subject_of(self, instruction: Instruction) -> Subject:
        if instruction.kind is Kind.AUTHORIZE:
            card_range = card_range_of(instruction.card_token)
        else:
            parent = self._bookkeeper.find_reference(instruction.parent)
            card_range = "" if parent is None else parent.card_range
        return Subject(
            Operation(instruction.kind.value), instruction.reference, instruction.currency, card_range
        )

    def _match(self, subject: Subject) -> Lease | None:
        """Return the fault that hits, and count it; a refusal is raised here, before anything happens."""
        lease = self._faults.match(subject)
        if lease is None:
            return None
        lease.hits += 1
        if lease.fault.kind is FaultKind.REFUSE:
            raise TemporarilyUnavailable("nothing happened: send the same key again later")
        return lease

    async def _deliver(
        self, request: web.Request, response: web.Response, lease: Lease | None, *, first: bool = False
    ) -> web.StreamResponse:
        kind = None if lease is None else lease.fault.kind
        seconds = 0.0 if lease is None else lease.fault.latency_seconds
        if kind in (FaultKind.HANG, FaultKind.DELAY):
            await self._wait_while_connected(request, seconds)
        if kind in (FaultKind.HANG, FaultKind.DROP) or (kind is FaultKind.FORGET and first):
            if request.transport is not None:
                request.transport.close()
            return response  # goes nowhere: the connection is closed
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        return response

    async def _wait_while_connected(self, request: web.Request, seconds: float) -> None:
        """Wait, but stop when the caller disconnects: its slot is needed."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while (left := end - clock()) > 0 and request.transport is not None and not self._stopping.is_set():
            await self._pause(min(left, _CONNECTION_CHECK_SECONDS))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
