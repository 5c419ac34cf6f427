"""Where numbers are kept: small flat rows of cells that a record changes in place, without a lock.

A row is a list, or a view of memory that workers share; both take the same `cells[i] += x`. Counts grow by
1.0: shared cells are doubles, and a double is added to one of its kind in less time.

Under CPython's GIL a thread is switched only at a call, a function's start or a backward jump. In
`cells[i] += x` nothing of the kind stands between reading and writing, so no increment is lost as
long as `i` and `x` are computed before: `cells[bisect_left(edges, v)] += 1` calls first and reads
afterwards, `cells[0] = f(cells[0])` would not. A test holds this against a losing control. On a
build without the GIL the same handles work under a lock (see `locked.py`).
"""

import math
from bisect import bisect_left
from time import time
from typing import Final, Protocol

from moneypath.telemetry.catalogue.metric import MetricSpec
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.correlation.context import ACTIVE, Active
from moneypath.telemetry.exposition.samples import KeptExemplars
from moneypath.telemetry.recording import gauges
from moneypath.telemetry.recording.store import DROPS, CellStore, LiveCells

# Sums stay exact far below this, and an absurd value (a timestamp in ns as a duration) shows as a drop.
LARGEST = float(2**63)
# What a caller's value may raise when it is compared, added or hashed: any error there is, and none of them
# may reach a payment.
ANY_ERROR: Final = Exception

# What is active, asked for without a frame of Python in between.
active = ACTIVE.get


class Drops:
    """Count records that were not taken, by reason."""

    __slots__ = ("_cells",)

    def __init__(self, store: CellStore) -> None:
        self._cells: dict[DropReason, LiveCells] = {}
        self.rearm(store)

    def rearm(self, store: CellStore) -> None:
        """Count on from zero in cells of another store."""
        for reason in DropReason:
            self._cells[reason] = store.allocate(DROPS, (reason.value,), (0,)) or [0]

    def count(self, reason: DropReason) -> None:
        """Count one refused record."""
        self._cells[reason][0] += 1

    def count_number(self, value: object) -> None:
        """Count a value that cannot be recorded, under what is wrong with it."""
        reason = DropReason.NOT_A_NUMBER
        try:
            if isinstance(value, int) or (isinstance(value, float) and not math.isnan(value)):
                reason = DropReason.NEGATIVE if value < 0 else DropReason.OUT_OF_RANGE
        except ANY_ERROR:
            pass
        self.count(reason)


class Handle(Protocol):
    """What a family binds to one combination of labels."""

    def __init__(self, cells: LiveCells, edges: tuple[float, ...], drops: Drops) -> None: ...

    def rebind(self, cells: LiveCells) -> None:
        """Record in other cells from now on: those of a forked child, which has them for itself."""


class Bound:
    """Hold the cells of one combination of labels."""

    __slots__ = ("_cells", "_drops")

    def __init__(self, cells: LiveCells, edges: tuple[float, ...], drops: Drops) -> None:  # noqa: ARG002 - one signature
        self._cells = cells
        self._drops = drops

    def rebind(self, cells: LiveCells) -> None:
        """Record in other cells from now on."""
        self._cells = cells


class BoundCounter(Bound):
    """Count on one combination of labels. Cells: the value, the number of records."""

    __slots__ = ()

    def inc(self, amount: float = 1) -> None:
        """Add `amount`, at least 0; anything else is dropped and counted."""
        try:
            if 0 <= amount <= LARGEST:
                cells = self._cells
                cells[0] += amount
                cells[1] += 1.0
                return
        except ANY_ERROR:
            # Not a number of ours: a string, an array, a decimal's NaN, which refuses to be compared.
            pass
        self._drops.count_number(amount)


class BoundGauge(Bound):
    """Set the value of one combination of labels; for its cells see `gauges`."""

    __slots__ = ()

    def set(self, value: float) -> None:
        """Set the value; one that is no finite number is counted as dropped and makes the gauge absent.

        Keeping the last good value instead would let a gauge that has to be 0 go on saying so.
        """
        try:
            if isinstance(value, int | float) and -LARGEST <= value <= LARGEST:
                gauges.write(self._cells, value)
                return
        except ANY_ERROR:
            # Before the first cell was written: `write` computes first.
            pass
        gauges.write(self._cells, None)
        self._drops.count_number(value)

    def clear(self) -> None:
        """Make the gauge absent: its value is not known."""
        gauges.write(self._cells, None)


class BoundHistogram(Bound):
    """Observe durations on one combination of labels. Cells: the sum, then one count a bucket, +Inf last."""

    __slots__ = ("_edges", "exemplars")

    def __init__(self, cells: LiveCells, edges: tuple[float, ...], drops: Drops) -> None:
        super().__init__(cells, edges, drops)
        self._edges = edges
        # By cell, who was last active in a sampled trace; none until then, or every child would pay for it.
        self.exemplars: KeptExemplars | None = None

    def rebind(self, cells: LiveCells) -> None:
        """Record in other cells from now on."""
        super().rebind(cells)
        self.exemplars = None

    def observe(self, seconds: float) -> None:
        """Take one duration in seconds, at least 0; anything else is dropped and counted."""
        try:
            if 0 <= seconds <= LARGEST:
                cells = self._cells
                bucket = bisect_left(self._edges, seconds)
                cells[0] += seconds
                cells[bucket] += 1.0
                context = active()
                if context is not None and context.sampled:
                    self._keep_exemplar(bucket, seconds, context)
                return
        except ANY_ERROR:
            # Not a number of ours: a string, an array, a decimal's NaN, which refuses to be compared.
            pass
        self._drops.count_number(seconds)

    def _keep_exemplar(self, bucket: int, seconds: float, context: Active) -> None:
        kept = self.exemplars
        if kept is None:
            kept = self.exemplars = {}
        kept[bucket] = (context, seconds, time())


def bisect_edges(spec: MetricSpec) -> tuple[float, ...]:
    """Return a histogram's edges behind one of -Inf, so that `bisect_left` gives the cell behind the sum."""
    return (float("-inf"), *spec.buckets)
