"""Handles that record into a data point: a flat row of numbers, changed in place without a lock.

A row is a list, or a view of memory shared between workers; `point[i] += x` works on both. Counts grow by
1.0, not 1: shared numbers are doubles, and adding a double to a double is faster.

CPython with the GIL switches threads only at a call, at the start of a function or at a backward jump.
`point[i] += x` has none of these between reading and writing, so no increment is lost if `i` and `x` are
computed before. `point[bisect_left(edges, v)] += 1` is safe, because it calls first and reads afterwards;
`point[0] = f(point[0])` is not. A test proves both. Builds without the GIL use locks (see `locked.py`).
"""

import math
from bisect import bisect_left
from time import time
from typing import Final, Protocol

from moneypath.telemetry.catalogue.metric import MetricSpec
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.correlation.context import ACTIVE, Active
from moneypath.telemetry.exposition.samples import ExemplarReservoir
from moneypath.telemetry.recording import gauges
from moneypath.telemetry.recording.store import DROPS, LivePoint, PointStore
from moneypath.telemetry.recording.undeclared import UndeclaredLog

# The largest value that is accepted. An implausible one (a timestamp in ns as a duration) is counted as a
# drop.
LARGEST = float(2**63)
# A caller's value may raise any exception when it is compared, added or hashed; none may reach a payment.
ANY_ERROR: Final = Exception

# The active context or span, without the cost of a Python function.
active = ACTIVE.get


class DropCounter:
    """Counts records that were not taken, by reason."""

    __slots__ = ("_counts", "undeclared")

    def __init__(self, store: PointStore) -> None:
        self._counts: dict[DropReason, LivePoint] = {}
        self.undeclared = UndeclaredLog()
        self.switch_store(store)

    def switch_store(self, store: PointStore) -> None:
        """Continue from zero in another store."""
        for reason in DropReason:
            self._counts[reason] = store.allocate(DROPS, (reason.value,), (0,)) or [0]

    def count(self, reason: DropReason) -> None:
        """Count one drop."""
        self._counts[reason][0] += 1

    def count_number(self, value: object) -> None:
        """Count a number that cannot be recorded, under the reason why."""
        reason = DropReason.NOT_A_NUMBER
        try:
            if isinstance(value, int) or (isinstance(value, float) and not math.isnan(value)):
                reason = DropReason.NEGATIVE if value < 0 else DropReason.OUT_OF_RANGE
        except ANY_ERROR:
            pass
        self.count(reason)


class Handle(Protocol):
    """What a family needs of a handle."""

    def __init__(self, point: LivePoint, edges: tuple[float, ...], drops: DropCounter) -> None: ...

    def rebind(self, point: LivePoint) -> None:
        """Record into another data point from now on, as a forked child must."""


class BoundHandle:
    """The data point of one label combination."""

    __slots__ = ("_drops", "_point")

    def __init__(self, point: LivePoint, edges: tuple[float, ...], drops: DropCounter) -> None:  # noqa: ARG002 - one signature
        self._point = point
        self._drops = drops

    def rebind(self, point: LivePoint) -> None:
        """Record into another data point from now on."""
        self._point = point


class BoundCounter(BoundHandle):
    """A counter with fixed labels. Its data point: the value, the number of records."""

    __slots__ = ()

    def inc(self, amount: float = 1) -> None:
        """Add `amount`, which must be at least 0. Anything else is counted as a drop."""
        try:
            if 0 <= amount <= LARGEST:
                point = self._point
                point[0] += amount
                point[1] += 1.0
                return
        except ANY_ERROR:
            # The value is not a number that we accept: a string, an array, a decimal NaN.
            pass
        self._drops.count_number(amount)


class BoundGauge(BoundHandle):
    """A gauge with fixed labels. `gauges` defines its data point."""

    __slots__ = ()

    def set(self, value: float) -> None:
        """Set the value. A value that is not a finite number is counted as a drop and makes the gauge absent.

        If the last good value stayed, a gauge that must be 0 would keep reporting 0.
        """
        try:
            if isinstance(value, int | float) and -LARGEST <= value <= LARGEST:
                gauges.write(self._point, value)
                return
        except ANY_ERROR:
            # Nothing was written yet, because `write` computes first.
            pass
        gauges.write(self._point, None)
        self._drops.count_number(value)

    def clear(self) -> None:
        """Remove the gauge from the exposition because its value is unknown."""
        gauges.write(self._point, None)


class BoundHistogram(BoundHandle):
    """A histogram with fixed labels. Its data point: the sum, then a count for each bucket, +Inf last."""

    __slots__ = ("_edges", "exemplars")

    def __init__(self, point: LivePoint, edges: tuple[float, ...], drops: DropCounter) -> None:
        super().__init__(point, edges, drops)
        self._edges = edges
        # By index in the data point. Made with the first exemplar, to save memory for handles without any.
        self.exemplars: ExemplarReservoir | None = None

    def rebind(self, point: LivePoint) -> None:
        """Record into another data point from now on."""
        super().rebind(point)
        self.exemplars = None

    def observe(self, seconds: float) -> None:
        """Observe a duration in seconds, at least 0. Anything else is counted as a drop."""
        try:
            if 0 <= seconds <= LARGEST:
                point = self._point
                bucket = bisect_left(self._edges, seconds)
                point[0] += seconds
                point[bucket] += 1.0
                context = active()
                if context is not None and context.sampled:
                    self._keep_exemplar(bucket, seconds, context)
                return
        except ANY_ERROR:
            # The value is not a number that we accept: a string, an array, a decimal NaN.
            pass
        self._drops.count_number(seconds)

    def _keep_exemplar(self, bucket: int, seconds: float, context: Active) -> None:
        reservoir = self.exemplars
        if reservoir is None:
            reservoir = self.exemplars = {}
        reservoir[bucket] = (context, seconds, time())


def bisect_edges(spec: MetricSpec) -> tuple[float, ...]:
    """Return the histogram's edges after a leading -Inf.

    `bisect_left` then returns an index of the data point.
    """
    return (float("-inf"), *spec.buckets)
