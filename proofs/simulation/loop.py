"""An event loop with virtual time, which reports when it is idle or blocked."""

import asyncio
import heapq
import itertools
import selectors
import time
from collections.abc import Callable
from contextvars import Context
from random import SystemRandom
from typing import Any, Final, TypeVarTuple, Unpack

Ts = TypeVarTuple("Ts")

# How long a statement may run before the lock monitor checks whether it waits for a lock.
_PATIENCE_SECONDS: Final = 0.002
_JITTER_RATIO: Final = 0.1
_JITTER_SECONDS: Final = 0.01


class _Selector(selectors.DefaultSelector):
    """Never waits for timers. When there is nothing to do, it asks the scheduler for the next step."""

    def __init__(self) -> None:
        super().__init__()
        self.on_idle: Callable[[], None] = _nothing
        self.on_blocked: Callable[[], None] = _nothing
        self.in_flight: set[int] = set()
        # Backends that wait for a lock, and the backends that hold it; valid until a transaction ends.
        self.waiting: dict[int, set[int]] = {}
        self.jittered = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            # Callbacks are ready; new events are handled after them.
            return []
        if self.in_flight:
            events = self._look(0 if self.in_flight <= self.waiting.keys() else _PATIENCE_SECONDS)
            if not events:
                self.on_blocked()
            return events
        events = self._look(0)
        if not events:
            self.on_idle()
        return events

    def _look(self, timeout: float) -> list[tuple[selectors.SelectorKey, int]]:
        if not self.jittered:
            return super().select(timeout)
        # As on a busy machine: answers come late, several at once, and in another order.
        draw = SystemRandom()
        if self.in_flight and draw.random() < _JITTER_RATIO:
            time.sleep(draw.random() * _JITTER_SECONDS)
        events = super().select(timeout)
        draw.shuffle(events)
        return events


class _Timer(asyncio.TimerHandle):
    """Fires in the order of creation among timers of the same time."""

    __slots__ = ("number",)
    number: int

    def __lt__(self, other: Any) -> bool:
        return (self.when(), self.number) < (other.when(), other.number)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Timers fire as soon as `advance` has moved the virtual time to them."""

    def __init__(self) -> None:
        self._virtual = 0.0
        self._timers = itertools.count()
        self.selector = _Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._virtual

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule a callback at a virtual time."""
        timer = _Timer(when, callback, args, self, context)
        timer.number = next(self._timers)
        heapq.heappush(getattr(self, "_scheduled"), timer)  # noqa: B009 - as asyncio's own does
        setattr(timer, "_scheduled", True)  # noqa: B010
        return timer

    def next_timer(self) -> float | None:
        """Return the time of the next timer that is not cancelled."""
        scheduled: Any = getattr(self, "_scheduled")  # noqa: B009 - asyncio has no public view of its timers
        # It is a heap, so the first timer is the next one unless it is cancelled.
        if scheduled and not scheduled[0].cancelled():
            return float(scheduled[0].when())
        return min((handle.when() for handle in scheduled if not handle.cancelled()), default=None)

    def advance(self, until: float) -> None:
        """Move the virtual time forward."""
        self._virtual = max(self._virtual, until)

    def reset(self) -> None:
        """Set the time to zero and cancel every timer, so that a history does not depend on the one
        before.
        """
        for handle in getattr(self, "_scheduled"):  # noqa: B009 - as above
            handle.cancel()
        self._virtual = 0.0


def _nothing() -> None:
    return
