"""An event loop whose clock is the processor time of its thread, with idle time skipped.

What others do on the machine does not count, so latencies on it can be compared on a busy machine. It has no
sockets: a request is a timer that fires when it is due and starts a task, as a server's transport does.
"""

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable
from time import thread_time


class _Selector(selectors.SelectSelector):
    """Skips the time for which a loop would wait."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return at once, later by the timeout."""
        self.skipped += max(timeout or 0.0, 0.0)
        return super().select(0)


class ProcessorLoop(asyncio.SelectorEventLoop):
    """An event loop that counts processor time. Nothing may run in other threads."""

    def __init__(self) -> None:
        self._waits = _Selector()
        super().__init__(self._waits)

    def time(self) -> float:
        """Return the processor time of this thread, and the idle time that was skipped."""
        return thread_time() + self._waits.skipped


def spend(seconds: float) -> None:
    """Use the processor for so long."""
    done = thread_time() + seconds
    while thread_time() < done:
        pass


def latencies(
    loop: ProcessorLoop,
    seconds: float,
    request: Callable[[], None],
    interval: float,
    scrape: Callable[[], Awaitable[object]] | None,
    scrape_interval: float,
) -> list[float]:
    """Return how long after it was due each request was done, while `scrape` runs at its interval.

    Requests are due at random times, on average one each `interval`. A scrape that is overdue is left out.
    """
    found: list[float] = []
    tasks: set[asyncio.Task[None]] = set()

    async def handle(due: float) -> None:
        request()
        found.append(loop.time() - due)

    def arrive(due: float) -> None:
        task = loop.create_task(handle(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def run() -> None:
        due = now = loop.time()
        end = now + seconds
        while due < end or due == now:
            loop.call_at(due, arrive, due)
            due += interval * random.uniform(0, 2)  # noqa: S311 - no secret
        next_scrape = loop.time()
        while scrape is not None and next_scrape < end:
            await scrape()
            next_scrape = max(next_scrape + scrape_interval, loop.time())
            await asyncio.sleep(next_scrape - loop.time())
        await asyncio.sleep(max(end - loop.time(), 0.0))
        while tasks:
            await asyncio.gather(*tasks)

    loop.run_until_complete(run())
    return found
