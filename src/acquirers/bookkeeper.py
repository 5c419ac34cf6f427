"""The asynchronous interface of the book: one writing thread, with one commit for all waiting callers."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from acquirers.book import Book, ReportNumbers
from acquirers.chargebacks import BookingResult, ChargebackRequest
from acquirers.decisions import BookingRequest
from acquirers.errors import KeyReused, TemporarilyUnavailable
from acquirers.operations import Entry, Instruction

_BATCH_MAX: Final = 256

Case = TypeVar("Case")


class Bookkeeper:
    """Apply instructions in the order of their arrival; each is committed before it is answered.

    Callers limit how many wait (OperationService does). A caller that goes away does not undo its
    instruction. `committed` is set after every commit.
    """

    def __init__(self, book: Book, *, now: Callable[[], float] = time.time) -> None:
        self._book = book
        self._now = now
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="book")
        self._waiting: list[tuple[BookingRequest, asyncio.Future[BookingResult | KeyReused]]] = []
        self._writing: asyncio.Task[None] | None = None
        self.committed = asyncio.Event()

    async def apply(
        self, instruction: Instruction, declined: str | None, *, forgets_key: bool = False
    ) -> BookingResult:
        """Return the instruction's entry once it is committed.

        Raises KeyReused, or TemporarilyUnavailable if the book refused the write (without effect).
        """
        done: asyncio.Future[BookingResult | KeyReused] = asyncio.get_running_loop().create_future()
        self._waiting.append((BookingRequest(instruction, declined, self._now(), forgets_key), done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        result = await done
        if isinstance(result, KeyReused):
            raise result
        return result

    async def open_chargeback(self, order: ChargebackRequest) -> BookingResult:
        """Return the chargeback once it is committed; raises the errors of the book."""
        return await self._book_case(self._book.open_chargeback, order)

    async def win_chargeback(self, movement: str) -> BookingResult:
        """Return the chargeback's reversal once it is committed; raises the errors of the book."""
        return await self._book_case(self._book.win_chargeback, movement)

    async def begin_delivery(self) -> int:
        """Return the sequence number up to which events were delivered; raises TemporarilyUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._book.begin_delivery)

    async def record_delivered(self, seq: int) -> None:
        """Store the sequence number up to which events are delivered; raises TemporarilyUnavailable."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._book.record_delivered, seq)

    def find(self, key: str) -> Entry | None:
        """Return the newest committed entry of a provider key (a point read, well under a millisecond)."""
        return self._book.find(key)

    def find_reference(self, provider_reference: str) -> Entry | None:
        """Return the committed entry of a provider reference (a point read)."""
        return self._book.find_reference(provider_reference)

    async def page(self, after: int, limit: int) -> list[Entry]:
        """Return a page of the book without waiting for the writer."""
        return await asyncio.to_thread(self._book.page, after, limit)

    def now(self) -> float:
        """Return the time of the book's clock, in Unix seconds."""
        return self._now()

    def reports(self) -> ReportNumbers:
        """Return which reports are closed and which could be closed (a point read)."""
        return self._book.reports(self._now())

    def moved(self, reports: Iterable[int]) -> Iterator[tuple[int, list[Entry]]]:
        """Yield the entries of closed reports. Slow for long reports: do not call it on the event loop's
        thread.
        """
        return self._book.moved(reports)

    async def close_reports(self) -> None:
        """Close due reports after the waiting writes; raises TemporarilyUnavailable."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._book.close_reports, self._now())

    async def probe(self) -> None:
        """Prove that the book can be written; raises TemporarilyUnavailable."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._book.probe, self._now())

    async def close(self) -> None:
        """Finish the waiting writes, then close the book."""
        while self._writing is not None:
            await self._writing
        self._thread.shutdown()
        self._book.close()

    async def _book_case(self, book: Callable[[Case, float], BookingResult], case: Case) -> BookingResult:
        loop = asyncio.get_running_loop()
        applied = await loop.run_in_executor(self._thread, book, case, self._now())
        self.committed.set()
        return applied

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        batch: list[tuple[BookingRequest, asyncio.Future[BookingResult | KeyReused]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_BATCH_MAX], self._waiting[_BATCH_MAX:]
                try:
                    results = await loop.run_in_executor(
                        self._thread, self._book.apply, [order for order, _ in batch]
                    )
                except TemporarilyUnavailable as error:
                    for _, done in batch:
                        if not done.done():
                            done.set_exception(TemporarilyUnavailable(error.detail))
                    continue
                self.committed.set()
                for (_, done), result in zip(batch, results, strict=True):
                    if not done.done():
                        done.set_result(result)
        finally:
            self._writing = None
            # Only after a defect: cancel the waiting callers, or they would wait forever.
            for _, done in (*batch, *self._waiting):
                done.cancel()
