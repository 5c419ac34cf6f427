"""All combinations of a metric's labels: which of them there are, and the handle that each leads to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from moneypath.telemetry.catalogue.metric import MetricSpec, is_sensitive
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.errors import CatalogueInvalid, LabelsUnknown
from moneypath.telemetry.exposition.samples import Exemplars, Key, ask_for_ids
from moneypath.telemetry.recording.cells import (
    ANY_ERROR,
    BoundCounter,
    BoundGauge,
    BoundHistogram,
    Drops,
    Handle,
    bisect_edges,
)
from moneypath.telemetry.recording.store import CellStore, LiveCells

# One call site passes its labels in one order; this many orders are remembered, others are looked up anew.
REMEMBERED_ORDERS = 4

H = TypeVar("H", bound=Handle)


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
        if isinstance(key, DropReason):
            self._drops.count(key)
            return None
        handle = self._handle_of(key)
        if handle is None:
            self._drops.count(DropReason.SERIES_BUDGET)
            return None
        order = tuple(labels)
        if order in self._orders or len(self._orders) < REMEMBERED_ORDERS:
            # Under our own values: the caller's may be of any class that equals a string.
            values = dict(zip(self.spec.labels, key, strict=True))
            self._orders.setdefault(order, {})[tuple(values[name] for name in order)] = handle
        return handle

    def _key(self, labels: Mapping[str, str]) -> Key | DropReason:
        names = self.spec.labels
        if len(labels) != len(names) or not all(name in labels for name in names):
            return DropReason.UNKNOWN_LABEL
        try:
            return tuple(allowed[labels[name]] for name, allowed in zip(names, self._allowed, strict=True))
        except ANY_ERROR:
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
        except ANY_ERROR:
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
        except ANY_ERROR:
            handle = self._resolve(labels)
        if handle is not None:
            handle.set(value)

    def clear(self, **labels: str) -> None:
        """Make a combination absent: its value is not known."""
        handle: BoundGauge | None
        try:
            handle = self._orders[tuple(labels)][tuple(labels.values())]
        except ANY_ERROR:
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
        except ANY_ERROR:
            handle = self._resolve(labels)
        if handle is not None:
            handle.observe(seconds)
