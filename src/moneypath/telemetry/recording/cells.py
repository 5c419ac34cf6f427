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
from collections.abc import Callable, Mapping, Sequence
from time import time
from typing import Generic, Protocol, TypeVar

from moneypath.telemetry.catalogue.metric import MetricSpec, is_sensitive
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.correlation.context import ACTIVE, Active
from moneypath.telemetry.errors import CatalogueInvalid, LabelsUnknown
from moneypath.telemetry.exposition.samples import Exemplars, KeptExemplars, Key, ask_for_ids
from moneypath.telemetry.recording import gauges
from moneypath.telemetry.recording.store import DROPS, CellStore, LiveCells

# Sums stay exact far below this, and an absurd value (a timestamp in ns as a duration) shows as a drop.
LARGEST = float(2**63)
# One call site passes its labels in one order; this many orders are remembered, others are looked up anew.
REMEMBERED_ORDERS = 4

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
        if not isinstance(value, int | float) or (isinstance(value, float) and math.isnan(value)):
            self.count(DropReason.NOT_A_NUMBER)
        else:
            self.count(DropReason.NEGATIVE if value < 0 else DropReason.OUT_OF_RANGE)


class Handle(Protocol):
    """What a family binds to one combination of labels."""

    def __init__(self, cells: LiveCells, edges: tuple[float, ...], drops: Drops) -> None: ...

    def rebind(self, cells: LiveCells) -> None:
        """Record in other cells from now on: those of a forked child, which has them for itself."""


H = TypeVar("H", bound=Handle)


class BoundCounter:
    """Count on one combination of labels. Cells: the value, the number of records."""

    __slots__ = ("_cells", "_drops")

    def __init__(self, cells: LiveCells, edges: tuple[float, ...], drops: Drops) -> None:  # noqa: ARG002 - one signature
        self._cells = cells
        self._drops = drops

    def rebind(self, cells: LiveCells) -> None:
        """Record in other cells from now on."""
        self._cells = cells

    def inc(self, amount: float = 1) -> None:
        """Add `amount`, at least 0; anything else is dropped and counted."""
        try:
            if 0 <= amount <= LARGEST:
                cells = self._cells
                cells[0] += amount
                cells[1] += 1.0
                return
        except (TypeError, ValueError, ArithmeticError):
            # Not a number of ours: a string, an array, a decimal's NaN, which refuses to be compared.
            pass
        self._drops.count_number(amount)


class BoundGauge:
    """Set the value of one combination of labels; for its cells see `gauges`."""

    __slots__ = ("_cells", "_drops")

    def __init__(self, cells: LiveCells, edges: tuple[float, ...], drops: Drops) -> None:  # noqa: ARG002 - one signature
        self._cells = cells
        self._drops = drops

    def rebind(self, cells: LiveCells) -> None:
        """Record in other cells from now on."""
        self._cells = cells

    def set(self, value: float) -> None:
        """Set the value; one that is no finite number is counted as dropped and makes the gauge absent.

        Keeping the last good value instead would let a gauge that has to be 0 go on saying so.
        """
        if isinstance(value, int | float) and -LARGEST <= value <= LARGEST:
            gauges.write(self._cells, value)
        else:
            gauges.write(self._cells, None)
            self._drops.count_number(value)

    def clear(self) -> None:
        """Make the gauge absent: its value is not known."""
        gauges.write(self._cells, None)


class BoundHistogram:
    """Observe durations on one combination of labels. Cells: the sum, then one count a bucket, +Inf last."""

    __slots__ = ("_cells", "_drops", "_edges", "exemplars")

    def __init__(self, cells: LiveCells, edges: tuple[float, ...], drops: Drops) -> None:
        self._cells = cells
        self._edges = edges
        self._drops = drops
        # By cell, who was last active in a sampled trace; none until then, or every child would pay for it.
        self.exemplars: KeptExemplars | None = None

    def rebind(self, cells: LiveCells) -> None:
        """Record in other cells from now on."""
        self._cells = cells
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
        except (TypeError, ValueError, ArithmeticError):
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


class Family(Generic[H]):
    """All combinations of one metric: resolves labels to handles and keeps their cells."""

    __slots__ = (
        *("_allowed", "_drops", "_edges", "_handle", "_handles", "_orders", "_store", "_zero"),
        *("cells", "spec"),
    )

    def __init__(
        self,
        spec: MetricSpec,
        handle: Callable[[LiveCells, tuple[float, ...], Drops], H],
        zero: Sequence[float],
        drops: Drops,
        store: CellStore,
    ) -> None:
        self.spec = spec
        self.cells = store.cells_of(spec.name)
        self._allowed = [dict(zip(values, values, strict=True)) for values in spec.labels.values()]
        self._drops = drops
        self._edges = bisect_edges(spec)
        self._handle = handle
        self._handles: dict[Key, H] = {}
        # A call that names its labels in the declared order needs nothing remembered beside the handles.
        self._orders: dict[Key, dict[Key, H]] = {tuple(spec.labels): self._handles}
        self._store = store
        self._zero = zero
        if spec.precreate and spec.is_closed:
            for key in spec.combinations():
                store.allocate(spec.name, key, zero)

    def rearm(self, store: CellStore) -> None:
        """Record on from zero in cells of another store; handles that were given out follow."""
        known, self._store, self.cells = self.cells, store, store.cells_of(self.spec.name)
        for key in known:
            store.allocate(self.spec.name, key, self._zero)
        for key, handle in self._handles.items():
            handle.rebind(self.cells.get(key) or list(self._zero))

    def bind(self, **labels: str) -> H:
        """Return the handle of one combination; raises LabelsUnknown if the catalogue lacks it."""
        key = self._key(labels)
        if isinstance(key, DropReason):
            declared = ", ".join(f"{name}={list(values)}" for name, values in self.spec.labels.items())
            raise LabelsUnknown(
                f"{self.spec.name}: {key.value}: {labels}", hint=f"declared: {declared or 'no labels'}"
            )
        handle = self._handle_of(key)
        if handle is None:
            raise LabelsUnknown(
                f"{self.spec.name}: the budget of {self.spec.series_budget} series is used up"
            )
        return handle

    def _resolve(self, labels: Mapping[str, str]) -> H | None:
        """Find the handle for labels as a call gave them, or count why there is none."""
        key = self._key(labels)
        handle = None if isinstance(key, DropReason) else self._handle_of(key)
        if handle is None:
            self._drops.count(key if isinstance(key, DropReason) else DropReason.SERIES_BUDGET)
        else:
            order = tuple(labels)
            if order in self._orders or len(self._orders) < REMEMBERED_ORDERS:
                self._orders.setdefault(order, {})[tuple(labels.values())] = handle
        return handle

    def _key(self, labels: Mapping[str, str]) -> Key | DropReason:
        names = self.spec.labels
        if len(labels) != len(names) or not all(name in labels for name in names):
            return DropReason.UNKNOWN_LABEL
        try:
            return tuple(allowed[labels[name]] for name, allowed in zip(names, self._allowed, strict=True))
        except (KeyError, TypeError):
            return DropReason.UNKNOWN_VALUE

    def _handle_of(self, key: Key) -> H | None:
        handle = self._handles.get(key)
        if handle is not None:
            return handle
        cells = self.cells.get(key)
        if cells is None:
            if (len(self.cells) + 1) * self.spec.series_per_combination > self.spec.series_budget:
                return None
            cells = self._store.allocate(self.spec.name, key, self._zero)
            if cells is None:
                return None
        return self._handles.setdefault(key, self._handle(cells, self._edges, self._drops))

    def close_label(self, label: str, values: tuple[str, ...]) -> None:
        """Give an open label its values at wiring; those of a label that has them must be among them.

        Raises CatalogueInvalid for an unknown label and for a value that is not declared or reads as a card
        number.
        """
        if label not in self.spec.labels:
            raise CatalogueInvalid(f"{self.spec.name}: has no label {label}")
        position = list(self.spec.labels).index(label)
        known = self._allowed[position]
        missing = [value for value in values if value not in known]
        if missing and self.spec.labels[label]:
            raise CatalogueInvalid(
                f"{self.spec.name}: {label}: {missing} are not declared", hint=f"declared: {', '.join(known)}"
            )
        for value in values:
            if is_sensitive(value):
                raise CatalogueInvalid(f"{self.spec.name}: {label}: {value} is a card number or a secret")
        known.update(zip(values, values, strict=True))


class CounterFamily(Family[BoundCounter]):
    """Count by labels."""

    __slots__ = ()

    def inc(self, amount: float = 1, **labels: str) -> None:
        """Add `amount` on a combination; never raises, what cannot be taken is counted as dropped."""
        handle: BoundCounter | None
        try:
            handle = self._orders[tuple(labels)][tuple(labels.values())]
        except (KeyError, TypeError):
            handle = self._resolve(labels)
        if handle is not None:
            handle.inc(amount)


class GaugeFamily(Family[BoundGauge]):
    """Set by labels; a combination nobody has set is absent from the exposition."""

    __slots__ = ()

    def set(self, value: float, **labels: str) -> None:
        """Set the value of a combination; never raises, what cannot be taken is counted as dropped."""
        handle: BoundGauge | None
        try:
            handle = self._orders[tuple(labels)][tuple(labels.values())]
        except (KeyError, TypeError):
            handle = self._resolve(labels)
        if handle is not None:
            handle.set(value)

    def clear(self, **labels: str) -> None:
        """Make a combination absent: its value is not known."""
        handle: BoundGauge | None
        try:
            handle = self._orders[tuple(labels)][tuple(labels.values())]
        except (KeyError, TypeError):
            handle = self._resolve(labels)
        if handle is not None:
            handle.clear()


class HistogramFamily(Family[BoundHistogram]):
    """Observe durations by labels."""

    __slots__ = ()

    def exemplars(self) -> dict[Key, Exemplars]:
        """Return a copy of the last sampled trace of each bucket, by combination."""
        handles = self._handles.copy().items()
        return {key: ask_for_ids(handle.exemplars) for key, handle in handles if handle.exemplars}

    def observe(self, seconds: float, **labels: str) -> None:
        """Take a duration in seconds; never raises, what cannot be taken is counted as dropped."""
        handle: BoundHistogram | None
        try:
            handle = self._orders[tuple(labels)][tuple(labels.values())]
        except (KeyError, TypeError):
            handle = self._resolve(labels)
        if handle is not None:
            handle.observe(seconds)
