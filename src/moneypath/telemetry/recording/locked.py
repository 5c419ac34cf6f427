"""The same handles under a lock, for builds of CPython without the GIL.

There an increment in place is no longer one step. Counting stays exact at the price of a lock per
handle; on a build with the GIL none of this is used.
"""

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Self

from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, DropReason
from moneypath.telemetry.recording.cells import Bound, BoundCounter, BoundGauge, BoundHistogram, Drops
from moneypath.telemetry.recording.lanes import PaymentLane, PaymentRecord
from moneypath.telemetry.recording.store import CellStore, LiveCells


def is_gil_enabled() -> bool:
    """Tell whether this process runs under the GIL; builds that cannot switch it off always do."""
    ask: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return ask()


class LockedDrops(Drops):
    """Drops under a lock."""

    __slots__ = ("_lock",)

    def __init__(self, store: CellStore) -> None:
        super().__init__(store)
        self._lock = threading.Lock()

    def rearm(self, store: CellStore) -> None:
        """Count on from zero in cells of another store, under a lock that no lost thread holds."""
        super().rearm(store)
        self._lock = threading.Lock()

    def count(self, reason: DropReason) -> None:
        """Count one refused record."""
        with self._lock:
            super().count(reason)


class _UnderLock(Bound):
    """A handle with a lock of its own; a class of it says what is done under it."""

    # A slot here and more of them in a handle would not fit together: `_lock` stands in each class.
    __slots__ = ()
    _lock: AbstractContextManager[object]

    def __init__(self, cells: LiveCells, edges: tuple[float, ...], drops: Drops) -> None:
        super().__init__(cells, edges, drops)
        self._renew_lock()

    def rebind(self, cells: LiveCells) -> None:
        """Record in other cells from now on, under a lock that no lost thread holds."""
        super().rebind(cells)
        self._renew_lock()

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()  # type: ignore[misc]  # each class has the slot


class LockedCounter(_UnderLock, BoundCounter):
    """A counter under a lock."""

    __slots__ = ("_lock",)

    def inc(self, amount: float = 1) -> None:
        """Add `amount`."""
        with self._lock:
            super().inc(amount)


class LockedGauge(_UnderLock, BoundGauge):
    """A gauge under a lock."""

    __slots__ = ("_lock",)

    def set(self, value: float) -> None:
        """Set the value."""
        with self._lock:
            super().set(value)

    def clear(self) -> None:
        """Make the gauge absent."""
        with self._lock:
            super().clear()


class LockedHistogram(_UnderLock, BoundHistogram):
    """A histogram under a lock."""

    __slots__ = ("_lock",)

    def observe(self, seconds: float) -> None:
        """Take one duration in seconds."""
        with self._lock:
            super().observe(seconds)


class LockedLane(PaymentLane):
    """A lane under a lock."""

    __slots__ = ("_lock",)

    def rebind(
        self,
        store: CellStore,
        started: LiveCells,
        lost: LiveCells,
        lock: AbstractContextManager[object],
    ) -> None:
        """Record in other cells from now on."""
        self._lock = lock
        super().rebind(store, started, lost, lock)

    def start(self) -> None:
        """Count a payment that begins."""
        with self._lock:
            super().start()

    def finish(
        self, seconds: float, outcome: str, provider: str = NO_PROVIDER, fee_micro_units: float = 0
    ) -> None:
        """Record how a payment ended."""
        with self._lock:
            super().finish(seconds, outcome, provider, fee_micro_units)

    def drop(self, reason: DropReason) -> None:
        """Count a payment that began and cannot be recorded."""
        with self._lock:
            super().drop(reason)


class LockedPayment(PaymentRecord):
    """A payment record on a locked lane, finished by one thread at a time."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.lane.start()
        clock = self.lane.clock
        self.begun = clock() if self.since is None else self.since
        return self

    def finish(self, outcome: str, provider: str = NO_PROVIDER, fee_micro_units: float = 0) -> None:
        """Record how the operation ended."""
        with self._lock:
            super().finish(outcome, provider, fee_micro_units)
