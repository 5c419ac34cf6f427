"""The same handles with a lock, for builds of CPython without the GIL.

Without the GIL an increment in place is not atomic. Each handle has a lock there, and counts stay exact. On
a build with the GIL none of this is used.
"""

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Self

from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, DropReason
from moneypath.telemetry.recording.handles import (
    BoundCounter,
    BoundGauge,
    BoundHandle,
    BoundHistogram,
    DropCounter,
)
from moneypath.telemetry.recording.observed_calls import StrayCalls
from moneypath.telemetry.recording.payment_handles import PaymentHandle
from moneypath.telemetry.recording.payment_records import ObservedPayment
from moneypath.telemetry.recording.store import LivePoint, PointStore


def is_gil_enabled() -> bool:
    """Return whether this process runs with the GIL; always True on builds that cannot disable it."""
    ask: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return ask()


class LockedDropCounter(DropCounter):
    """A drop counter with a lock."""

    __slots__ = ("_lock",)

    def __init__(self, store: PointStore) -> None:
        super().__init__(store)
        self._lock = threading.Lock()

    def switch_store(self, store: PointStore) -> None:
        """Continue from zero in another store, with a new lock that no lost thread holds."""
        super().switch_store(store)
        self._lock = threading.Lock()

    def count(self, reason: DropReason) -> None:
        """Count one drop."""
        with self._lock:
            super().count(reason)


class _UnderLock(BoundHandle):
    """A handle with a lock. Its subclasses define which operations take it."""

    # `_lock` is a slot of each subclass, because two base classes with slots cannot be combined.
    __slots__ = ()
    _lock: AbstractContextManager[object]

    def __init__(self, point: LivePoint, edges: tuple[float, ...], drops: DropCounter) -> None:
        super().__init__(point, edges, drops)
        self._renew_lock()

    def rebind(self, point: LivePoint) -> None:
        """Record into another data point, with a new lock that no lost thread holds."""
        super().rebind(point)
        self._renew_lock()

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()  # type: ignore[misc]  # each class has the slot


class LockedCounter(_UnderLock, BoundCounter):
    """A counter with a lock."""

    __slots__ = ("_lock",)

    def inc(self, amount: float = 1) -> None:
        """Add `amount`."""
        with self._lock:
            super().inc(amount)


class LockedGauge(_UnderLock, BoundGauge):
    """A gauge with a lock."""

    __slots__ = ("_lock",)

    def set(self, value: float) -> None:
        """Set the value."""
        with self._lock:
            super().set(value)

    def clear(self) -> None:
        """Remove the gauge from the exposition."""
        with self._lock:
            super().clear()


class LockedHistogram(_UnderLock, BoundHistogram):
    """A histogram with a lock."""

    __slots__ = ("_lock",)

    def observe(self, seconds: float) -> None:
        """Observe a duration in seconds."""
        with self._lock:
            super().observe(seconds)


class LockedPaymentHandle(PaymentHandle):
    """A payment handle with a lock."""

    __slots__ = ("_lock",)

    def rebind(
        self,
        store: PointStore,
        started: LivePoint,
        lost: LivePoint,
        lock: AbstractContextManager[object],
    ) -> None:
        """Record into other data points from now on."""
        self._lock = lock
        super().rebind(store, started, lost, lock)

    def start(self) -> None:
        """Count a payment as started."""
        with self._lock:
            super().start()

    def finish(
        self, seconds: float, outcome: str, provider: str = NO_PROVIDER, fee_micro_units: float = 0
    ) -> None:
        """Record how a payment ended."""
        with self._lock:
            super().finish(seconds, outcome, provider, fee_micro_units)

    def drop(self, reason: DropReason) -> None:
        """Count a payment that started and cannot be recorded."""
        with self._lock:
            super().drop(reason)


class LockedPayment(ObservedPayment):
    """A payment record on a locked handle. Only one thread can finish it."""

    __slots__ = ("_lock",)

    def __init__(self, stray: StrayCalls) -> None:
        super().__init__(stray)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.observe_calls()
        self.handle.start()
        clock = self.handle.clock
        self.started_at = clock() if self.since is None else self.since
        return self

    def finish(self, outcome: str, provider: str | None = None, fee_micro_units: float = 0) -> None:
        """Record how the operation ended."""
        with self._lock:
            super().finish(outcome, provider, fee_micro_units)
