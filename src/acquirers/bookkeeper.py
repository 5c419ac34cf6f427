"""The book's asynchronous front: one writing thread, and whoever waits meanwhile shares the next commit."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from acquirers.book import Book, ReportNumbers
from acquirers.cases import Applied, ChargebackOrder
from acquirers.errors import KeyReused, TemporarilyUnavailable
from acquirers.judge import Order
from acquirers.operations import Entry, Instruction

_BATCH_MAX: Final = 256

Case = TypeVar("Case")


class Bookkeeper:
    """Apply instructions in the order of their arrival, each committed before it is answered.

    Callers bound how many wait (the desk does); a caller that goes away does not undo its instruction.
    `committed` is set whenever something new stands in the book.
    """

    def __init__(self, book: Book, *, now: Callable[[], float] = time.time) -> None:
        self._book = book
        self._now = now
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="book")
        self._waiting: list[tuple[Order, asyncio.Future[Applied | KeyReused]]] = []
        self._writing: asyncio.Task[None] | None = None
        self.committed = asyncio.Event()

    async def apply(
        self, instruction: Instruction, declined: str | None, *, forgetful: bool = False
    ) -> Applied:
        """Return the instruction's entry once it is committed.

        Raises KeyReused, or TemporarilyUnavailable when the book refused the write (no effect).
        """
        done: asyncio.Future[Applied | KeyReused] = asyncio.get_running_loop().create_future()
        self._waiting.append((Order(instruction, declined, self._now(), forgetful), done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        result = await done
        if isinstance(result, KeyReused):
            raise result
        return result

    async def open_chargeback(self, order: ChargebackOrder) -> Applied:
        """Return the chargeback once it is committed; raises what the book raises."""
        return await self._book_case(self._book.open_chargeback, order)

    async def win_chargeback(self, movement: str) -> Applied:
        """Return the chargeback's reversal once it is committed; raises what the book raises."""
        return await self._book_case(self._book.win_chargeback, movement)

    async def begin_telling(self) -> int:
        """Return up to which sequence number the merchant was told; raises TemporarilyUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._book.begin_telling)

    async def note_told(self, seq: int) -> None:
        """Keep up to which sequence number the merchant was told; raises TemporarilyUnavailable."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._book.note_told, seq)

    def find(self, key: str) -> Entry | None:
        """Return the newest committed entry of a provider key (a point read, well under a millisecond)."""
        return self._book.find(key)

    def find_reference(self, provider_reference: str) -> Entry | None:
        """Return the committed entry of a provider reference (a point read)."""
        return self._book.find_reference(provider_reference)

    async def page(self, after: int, limit: int) -> list[Entry]:
        """Return a page of the book, read beside the writer."""
        return await asyncio.to_thread(self._book.page, after, limit)

    def reports(self) -> ReportNumbers:
        """Return which reports are closed and which could be (a point read)."""
        return self._book.reports(self._now())

    def moved(self, reports: Iterable[int]) -> Iterator[tuple[int, list[Entry]]]:
        """Yield the entries of closed reports; slow for long ones, so not for the event loop's thread."""
        return self._book.moved(reports)

    async def close_reports(self) -> None:
        """Close what is due, after what waits to be booked; raises TemporarilyUnavailable."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._book.close_reports, self._now())

    async def probe(self) -> None:
        """Prove that the book can be written; raises TemporarilyUnavailable."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._book.probe, self._now())

    async def close(self) -> None:
        """Finish what waits, then close the book."""
        while self._writing is not None:
            await self._writing
        self._thread.shutdown()
        self._book.close()

    async def _book_case(self, book: Callable[[Case, float], Applied], case: Case) -> Applied:
        loop = asyncio.get_running_loop()
        applied = await loop.run_in_executor(self._thread, book, case, self._now())
        self.committed.set()
        return applied

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        batch: list[tuple[Order, asyncio.Future[Applied | KeyReused]]] = []
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
            # Only after a defect: whoever still waits gets no answer rather than an endless wait.
            for _, done in (*batch, *self._waiting):
                done.cancel()
