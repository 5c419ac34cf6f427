"""Metric families: the label combinations of one metric and the handle for each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from moneypath.telemetry.catalogue.metric import MetricSpec, is_sensitive
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.errors import CatalogueInvalid, LabelsUnknown
from moneypath.telemetry.exposition.samples import Exemplars, LabelValues, collect_exemplars
from moneypath.telemetry.recording.handles import (
    ANY_ERROR,
    BoundCounter,
    BoundGauge,
    BoundHistogram,
    DropCounter,
    Handle,
    bisect_edges,
)
from moneypath.telemetry.recording.store import LivePoint, PointStore
from moneypath.telemetry.recording.undeclared import is_among

# How many orders of label names are cached; a call site always uses the same order.
REMEMBERED_ORDERS = 4

H = TypeVar("H", bound=Handle)


class Family(Generic[H]):
    """All label combinations of one metric: finds the handle for given labels."""

    __slots__ = (
        "_allowed",
        "_drops",
        "_edges",
        "_handle",
        "_handles",
        "_orders",
        "_store",
        "_zero",
        "points",
        "spec",
    )

    def __init__(
        self,
        spec: MetricSpec,
        handle: Callable[[LivePoint, tuple[float, ...], DropCounter], H],
        zero: Sequence[float],
        drops: DropCounter,
        store: PointStore,
    ) -> None:
        self.spec = spec
        self.points = store.points_of(spec.name)
        self._allowed = [dict(zip(values, values, strict=True)) for values in spec.labels.values()]
        self._drops = drops
        self._edges = bisect_edges(spec)
        self._handle = handle
        self._handles: dict[LabelValues, H] = {}
        # Calls with labels in the declared order use the handles directly.
        self._orders: dict[LabelValues, dict[LabelValues, H]] = {tuple(spec.labels): self._handles}
        self._store = store
        self._zero = zero
        if spec.precreate and spec.is_closed:
            for key in spec.combinations():
                store.allocate(spec.name, key, zero)

    def switch_store(self, store: PointStore) -> None:
        """Continue from zero in another store. Handles that were returned earlier follow."""
        known, self._store, self.points = self.points, store, store.points_of(self.spec.name)
        for key in known:
            store.allocate(self.spec.name, key, self._zero)
        for key, handle in self._handles.items():
            handle.rebind(self.points.get(key) or list(self._zero))

    def bind(self, **labels: str) -> H:
        """Return the handle for one label combination.

        Raises LabelsUnknown if the catalogue does not declare it.
        """
        key = self._key(labels)
        if isinstance(key, DropReason):
            declared = ", ".join(f"{name}={list(values)}" for name, values in self.spec.labels.items())
            raise LabelsUnknown(
                f"{self.spec.name}: {key.value}: {labels}.",
                hint=f"Use declared labels: {declared or 'none'}.",
            )
        handle = self._handle_of(key)
        if handle is None:
            raise LabelsUnknown(
                f"{self.spec.name}: the budget of {self.spec.series_budget} series is used up.",
                hint="Bind fewer label combinations, or raise the series_budget.",
            )
        return handle

    def _resolve(self, labels: Mapping[str, str]) -> H | None:
        """Return the handle for the labels of a call; None after counting why there is none."""
        key = self._key(labels)
        if isinstance(key, DropReason):
            self._drops.count(key)
            self._tell_undeclared(labels)
            return None
        handle = self._handle_of(key)
        if handle is None:
            self._drops.count(DropReason.SERIES_BUDGET)
            return None
        order = tuple(labels)
        if order in self._orders or len(self._orders) < REMEMBERED_ORDERS:
            # Cache our own strings: the caller's values may be of any class that compares equal.
            values = dict(zip(self.spec.labels, key, strict=True))
            self._orders.setdefault(order, {})[tuple(values[name] for name in order)] = handle
        return handle

    def _tell_undeclared(self, labels: Mapping[str, str]) -> None:
        tell, name = self._drops.undeclared.tell, self.spec.name
        if labels.keys() != self.spec.labels.keys():
            tell(name, "label set", ", ".join(labels), self.spec.labels)
            return
        for (label, value), allowed in zip(self._in_order(labels), self._allowed, strict=True):
            if not is_among(value, allowed):
                tell(name, label, value, allowed)

    def _in_order(self, labels: Mapping[str, str]) -> list[tuple[str, str]]:
        return [(label, labels[label]) for label in self.spec.labels]

    def _key(self, labels: Mapping[str, str]) -> LabelValues | DropReason:
        names = self.spec.labels
        if len(labels) != len(names) or not all(name in labels for name in names):
            return DropReason.UNKNOWN_LABEL
        try:
            return tuple(allowed[labels[name]] for name, allowed in zip(names, self._allowed, strict=True))
        except ANY_ERROR:
            return DropReason.UNKNOWN_VALUE

    def _handle_of(self, key: LabelValues) -> H | None:
        handle = self._handles.get(key)
        if handle is not None:
            return handle
        point = self.points.get(key)
        if point is None:
            if (len(self.points) + 1) * self.spec.series_per_combination > self.spec.series_budget:
                return None
            point = self._store.allocate(self.spec.name, key, self._zero)
            if point is None:
                return None
        return self._handles.setdefault(key, self._handle(point, self._edges, self._drops))

    def close_label(self, label: str, values: tuple[str, ...]) -> None:
        """Set the values of a label that has none yet.

        If the label has values, check that `values` are among them. Raises CatalogueInvalid for an unknown
        label, for a value that is not declared and for one that looks like a card number or a secret.
        """
        if label not in self.spec.labels:
            raise CatalogueInvalid(f"{self.spec.name} has no label {label}.")
        position = list(self.spec.labels).index(label)
        known = self._allowed[position]
        missing = [value for value in values if value not in known]
        if missing and self.spec.labels[label]:
            raise CatalogueInvalid(
                f"{self.spec.name}: {label}: {missing} are not declared.",
                hint=f"Use declared values: {', '.join(known)}.",
            )
        for value in values:
            if is_sensitive(value):
                raise CatalogueInvalid(
                    f"{self.spec.name}: {label}: {value} looks like a card number or a secret."
                )
        known.update(zip(values, values, strict=True))


class CounterFamily(Family[BoundCounter]):
    """A counter by labels."""

    __slots__ = ()

    def inc(self, amount: float = 1, **labels: str) -> None:
        """Add `amount` to a label combination. Never raises; an invalid call is counted as a drop."""
        handle: BoundCounter | None
        try:
            handle = self._orders[tuple(labels)][tuple(labels.values())]
        except ANY_ERROR:
            handle = self._resolve(labels)
        if handle is not None:
            handle.inc(amount)


class GaugeFamily(Family[BoundGauge]):
    """A gauge by labels. A combination that was never set is absent from the exposition."""

    __slots__ = ()

    def set(self, value: float, **labels: str) -> None:
        """Set the value of a label combination. Never raises; an invalid call is counted as a drop."""
        handle: BoundGauge | None
        try:
            handle = self._orders[tuple(labels)][tuple(labels.values())]
        except ANY_ERROR:
            handle = self._resolve(labels)
        if handle is not None:
            handle.set(value)

    def clear(self, **labels: str) -> None:
        """Remove a label combination from the exposition because its value is unknown."""
        handle: BoundGauge | None
        try:
            handle = self._orders[tuple(labels)][tuple(labels.values())]
        except ANY_ERROR:
            handle = self._resolve(labels)
        if handle is not None:
            handle.clear()


class HistogramFamily(Family[BoundHistogram]):
    """A histogram of durations by labels."""

    __slots__ = ()

    def exemplars(self) -> dict[LabelValues, Exemplars]:
        """Return the last exemplar of each bucket, by label combination."""
        handles = self._handles.copy().items()
        return {key: collect_exemplars(handle.exemplars) for key, handle in handles if handle.exemplars}

    def observe(self, seconds: float, **labels: str) -> None:
        """Observe a duration in seconds. Never raises; an invalid call is counted as a drop."""
        handle: BoundHistogram | None
        try:
            handle = self._orders[tuple(labels)][tuple(labels.values())]
        except ANY_ERROR:
            handle = self._resolve(labels)
        if handle is not None:
            handle.observe(seconds)
