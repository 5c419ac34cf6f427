"""Collect what arrives while the database is busy into one call."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Much longer than a call takes normally, much shorter than a shopper waits.
SLOW_BATCH_SECONDS: Final = 0.05


class Batcher(Generic[T, R]):
    """Calls `run` with the items that have arrived, at most `most` at a time, in the order of arrival.

    The first item does not wait. Items that arrive during a call wait for its end, or until it has taken
    `slow_after_seconds`: then another call starts beside it, at most `concurrency` in all. `run` returns for
    each item its result, or the exception to raise to its caller; an exception that `run` raises goes to all
    of them. An item whose caller has gone is left out. The queue is bounded by its callers: each waits for
    its item.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Awaitable[Sequence[R | BaseException]]],
        *,
        most: int,
        concurrency: int,
        slow_after_seconds: float = SLOW_BATCH_SECONDS,
    ) -> None:
        self._run = run
        self._most = most
        self._idle = concurrency
        self._slow_after_seconds = slow_after_seconds
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._woken = False
        # The current call while it is not slow; new items wait for it.
        self._awaited: object | None = None
        # An empty context: what a call logs belongs to no single request.
        self._context = contextvars.Context()
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: T) -> R:
        """Return the result of an item, or raise its exception."""
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        self._wake()
        return await done

    def _wake(self) -> None:
        if self._idle and self._awaited is None and not self._woken:
            self._woken = True
            # Items of tasks that are ready in this iteration of the event loop join the call.
            asyncio.get_running_loop().call_soon(self._start, context=self._context)

    def _start(self) -> None:
        self._woken = False
        if self._idle and self._awaited is None and self._waiting:
            self._idle -= 1
            task = asyncio.get_running_loop().create_task(self._work(), context=self._context)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        try:
            while self._awaited is None and (batch := self._take()):
                mine = self._awaited = object()
                late = asyncio.get_running_loop().call_later(self._slow_after_seconds, self._pass_by, mine)
                try:
                    await self._serve(batch)
                finally:
                    late.cancel()
                    self._awaited = None if self._awaited is mine else self._awaited
        finally:
            self._idle += 1

    def _pass_by(self, late: object) -> None:
        if self._awaited is late:
            self._awaited = None
            self._wake()

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while self._waiting and len(batch) < self._most:
            item, done = self._waiting.popleft()
            if not done.done():
                batch.append((item, done))
        return batch

    async def _serve(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        results: Sequence[R | BaseException]
        try:
            results = await self._run([item for item, _ in batch])
        except asyncio.CancelledError:
            for _, done in batch:
                done.cancel()
            raise
        except BaseException as problem:  # noqa: BLE001 - any error goes to the callers, or they would never wake
            results = [problem] * len(batch)
        for (_, done), result in zip(batch, results, strict=True):
            if done.done():
                continue
            if isinstance(result, BaseException):
                done.set_exception(result)
            else:
                done.set_result(result)
