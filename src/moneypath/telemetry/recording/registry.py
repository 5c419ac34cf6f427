"""The registry of a process' metrics, which a scrape reads as a whole."""

import math
from collections.abc import Iterator, Mapping

from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.exposition.samples import DataPoint, Exemplars, LabelValues, MetricSamples
from moneypath.telemetry.recording import gauges, payment_handles, payment_instrument
from moneypath.telemetry.recording.families import CounterFamily, GaugeFamily, HistogramFamily
from moneypath.telemetry.recording.frozen_points import NO_POINTS, Frozen, FrozenPoints, freeze, freeze_slots
from moneypath.telemetry.recording.handles import DropCounter
from moneypath.telemetry.recording.payment_instrument import PaymentInstrument, PaymentSnapshot
from moneypath.telemetry.recording.store import DROPS as DROPS_SLOT
from moneypath.telemetry.recording.store import PointStore

RECORDS = "moneypath_telemetry_records_total"
DROPS = "moneypath_telemetry_drops_total"
RENDER_SECONDS = "moneypath_telemetry_render_seconds_total"
RENDER_BYTES = "moneypath_telemetry_render_bytes_total"
OWN_METRICS = frozenset({RECORDS, DROPS, RENDER_SECONDS, RENDER_BYTES})


class MetricRegistry:
    """All metrics that a service records."""

    __slots__ = ("_specs", "_store", "counters", "drops", "gauges", "histograms", "payments")

    def __init__(self, drops: DropCounter, store: PointStore) -> None:
        self._store = store
        self._specs: dict[str, MetricSpec] = {}
        self.payments: PaymentInstrument | None = None
        self.counters: dict[str, CounterFamily] = {}
        self.drops = drops
        self.gauges: dict[str, GaugeFamily] = {}
        self.histograms: dict[str, HistogramFamily] = {}

    def add(self, family: CounterFamily | GaugeFamily | HistogramFamily) -> None:
        """Add a family."""
        self._specs[family.spec.name] = family.spec
        if isinstance(family, CounterFamily):
            self.counters[family.spec.name] = family
        elif isinstance(family, GaugeFamily):
            self.gauges[family.spec.name] = family
        else:
            self.histograms[family.spec.name] = family

    def switch_store(self, store: PointStore) -> None:
        """Continue from zero in another store."""
        self._store = store
        self.drops.switch_store(store)
        for families in (self.counters, self.gauges, self.histograms):
            for family in families.values():
                family.switch_store(store)
        if self.payments is not None:
            self.payments.switch_store(store)

    @property
    def specs(self) -> Mapping[str, MetricSpec]:
        """Return the declarations of all metrics, by name."""
        return self._specs

    def collect(self, *, own_only: bool = False) -> Iterator[MetricSamples]:
        """Yield the samples of each metric, as they were when the first was asked for.

        All data points are copied then, and what follows from them is computed metric by metric, so that a
        scrape can pause in between.
        """
        merged = None if own_only else self._store.merged()
        for _ in range(0 if merged is None else merged.skipped):
            self.drops.count(DropReason.SHARED_FILE)
        points = freeze(self._store) if merged is None else freeze_slots(merged.slots)
        snapshot = None if self.payments is None else self.payments.snapshot(points)
        exemplars = {name: family.exemplars() for name, family in self.histograms.items()}
        for spec in self._specs.values():
            found = points.get(spec.name, NO_POINTS)
            if spec.kind is MetricKind.HISTOGRAM:
                yield _histogram(spec, found, exemplars[spec.name], snapshot)
            elif spec.kind is MetricKind.GAUGE:
                yield _gauge(spec, found, snapshot)
            elif spec.name == DROPS:
                drops = points.get(DROPS_SLOT, NO_POINTS).column(0)
                yield MetricSamples(spec, values={key: int(count) for key, count in drops.items()})
            elif spec.name == RECORDS:
                yield MetricSamples(spec, values={(): int(sum(self._records(points, snapshot)))})
            else:
                yield _counter(spec, found, snapshot)

    def _records(self, points: Frozen, snapshot: PaymentSnapshot | None) -> Iterator[float]:
        # The metrics about rendering are not records of the service.
        for name in (*(self.counters.keys() - OWN_METRICS), *self.gauges):
            # In the data point of a counter or gauge the second number counts the records.
            yield sum(points.get(name, NO_POINTS).column(1).values())
        for name in self.histograms:
            yield points.get(name, NO_POINTS).total(1)
        if snapshot is not None:
            yield snapshot.records()


def _histogram(
    spec: MetricSpec,
    points: FrozenPoints,
    exemplars: dict[LabelValues, Exemplars],
    snapshot: PaymentSnapshot | None,
) -> MetricSamples:
    if snapshot is None or spec.name != payment_instrument.HISTOGRAM:
        return MetricSamples(spec, histograms=points, exemplars=exemplars)
    samples = dict(points.items())
    for key, point in snapshot.durations().items():
        samples[key] = _added(samples.get(key), point)
    for key, newest in snapshot.duration_exemplars().items():
        exemplars[key] = {**exemplars.get(key, {}), **newest}
    return MetricSamples(spec, histograms=samples, exemplars=exemplars)


def _gauge(spec: MetricSpec, points: FrozenPoints, snapshot: PaymentSnapshot | None) -> MetricSamples:
    if snapshot is not None and spec.name == payment_instrument.GAUGE:
        return MetricSamples(spec, values=snapshot.in_flight())
    values = {key: gauges.value_of(point) for key, point in points.items()}
    # NaN means absent.
    return MetricSamples(spec, values={key: value for key, value in values.items() if not math.isnan(value)})


def _counter(spec: MetricSpec, points: FrozenPoints, snapshot: PaymentSnapshot | None) -> MetricSamples:
    values = points.column(0)
    if snapshot is None or spec.name not in (payment_handles.COUNTER, payment_instrument.COST):
        return MetricSamples(spec, values=values)
    is_counter = spec.name == payment_handles.COUNTER
    for key, value in (snapshot.payments() if is_counter else snapshot.fees()).items():
        values[key] = values.get(key, 0.0) + value
    return MetricSamples(spec, values=values, exemplars=snapshot.payment_exemplars() if is_counter else {})


def _added(known: DataPoint | None, point: DataPoint) -> DataPoint:
    return point if known is None else [a + b for a, b in zip(known, point, strict=True)]
