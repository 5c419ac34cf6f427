"""Puts what arrives while the database is busy into one call."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Long against a call that nothing holds up, short against what a shopper waits.
PATIENCE_SECONDS: Final = 0.05


class Batcher(Generic[T, R]):
    """Runs `run` on what has arrived, at most `most` items a call, in the order of arrival.

    The first item waits for nobody; what comes while a call is on its way waits for its end, or until it
    is late: then another one, of at most `lanes` in all, goes past it. `run` returns for each item its result
    or the exception that its caller is to get; what it raises, all of them get. An item whose caller has gone
    before its turn is left out. The queue is bounded by its callers: each waits for its item.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Awaitable[Sequence[R | BaseException]]],
        *,
        most: int,
        lanes: int,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._run = run
        self._most = most
        self._idle = lanes
        self._patience_seconds = patience_seconds
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._woken = False
        # The one call that is not late yet, and that the others wait for.
        self._awaited: object | None = None
        # Of nobody's request: what is logged on the way belongs to all of them.
        self._context = contextvars.Context()
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: T) -> R:
        """Return what became of an item; raises what `run` says."""
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        self._wake()
        return await done

    def _wake(self) -> None:
        if self._idle and self._awaited is None and not self._woken:
            self._woken = True
            # Whatever else is ready in this turn of the loop comes along.
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
                late = asyncio.get_running_loop().call_later(self._patience_seconds, self._pass_by, mine)
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
        except BaseException as problem:  # noqa: BLE001 - the callers', whatever it is: nobody may wait for ever
            results = [problem] * len(batch)
        for (_, done), result in zip(batch, results, strict=True):
            if done.done():
                continue
            if isinstance(result, BaseException):
                done.set_exception(result)
            else:
                done.set_result(result)
