"""An event loop whose time stands still until it is moved, and that says when nothing is left to do."""

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

# How long PostgreSQL may think about a statement before anybody asks whether it waits for a lock.
_PATIENCE_SECONDS: Final = 0.002
_SHAKEN_SHARE: Final = 0.1
_SHAKEN_SECONDS: Final = 0.01


class _Selector(selectors.DefaultSelector):
    """Never waits for timers: instead of waiting it asks the loop's owner what comes next."""

    def __init__(self) -> None:
        super().__init__()
        self.on_quiet: Callable[[], None] = _nothing
        self.on_slow: Callable[[], None] = _nothing
        self.in_flight: set[int] = set()
        # Who is known to wait for a lock, and for whom; true until a transaction ends.
        self.waiting: dict[int, set[int]] = {}
        self.shaken = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            # There is something to do already; what comes meanwhile is looked at after it.
            return []
        if self.in_flight:
            events = self._look(0 if self.in_flight <= self.waiting.keys() else _PATIENCE_SECONDS)
            if not events:
                self.on_slow()
            return events
        events = self._look(0)
        if not events:
            self.on_quiet()
        return events

    def _look(self, timeout: float) -> list[tuple[selectors.SelectorKey, int]]:
        if not self.shaken:
            return super().select(timeout)
        # As on a machine with other things to do: answers come late, several at once and in another order.
        draw = SystemRandom()
        if self.in_flight and draw.random() < _SHAKEN_SHARE:
            time.sleep(draw.random() * _SHAKEN_SECONDS)
        events = super().select(timeout)
        draw.shuffle(events)
        return events


class _Timer(asyncio.TimerHandle):
    """Fires in the order of its making among those of one time, whatever other timers there were."""

    __slots__ = ("number",)
    number: int

    def __lt__(self, other: Any) -> bool:
        return (self.when(), self.number) < (other.when(), other.number)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Timers fire when `advance` has moved the time to them, in no time at all."""

    def __init__(self) -> None:
        self._virtual = 0.0
        self._timers = itertools.count()
        self.selector = _Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        """Return the virtual seconds."""
        return self._virtual

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at a virtual time."""
        timer = _Timer(when, callback, args, self, context)
        timer.number = next(self._timers)
        heapq.heappush(getattr(self, "_scheduled"), timer)  # noqa: B009 - as asyncio's own does
        setattr(timer, "_scheduled", True)  # noqa: B010
        return timer

    def next_timer(self) -> float | None:
        """Return when the next timer fires that nobody cancelled."""
        scheduled: Any = getattr(self, "_scheduled")  # noqa: B009 - asyncio has no public view of its timers
        # A heap: the first one is the next one, unless it was cancelled just now.
        if scheduled and not scheduled[0].cancelled():
            return float(scheduled[0].when())
        return min((handle.when() for handle in scheduled if not handle.cancelled()), default=None)

    def advance(self, until: float) -> None:
        """Move the time, never back."""
        self._virtual = max(self._virtual, until)

    def begin_anew(self) -> None:
        """Set the time back to zero and forget every timer: no history knows of the one before."""
        for handle in getattr(self, "_scheduled"):  # noqa: B009 - as above
            handle.cancel()
        self._virtual = 0.0


def _nothing() -> None:
    return
