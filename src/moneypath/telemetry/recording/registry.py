"""The registry of a process' metrics, which a scrape reads as a whole."""

import math
from collections.abc import Iterator, Mapping

from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.exposition.samples import DataPoint, Exemplars, LabelValues, MetricSamples
from moneypath.telemetry.recording import gauges, payment_instrument
from moneypath.telemetry.recording.families import CounterFamily, GaugeFamily, HistogramFamily
from moneypath.telemetry.recording.handles import DropCounter
from moneypath.telemetry.recording.payment_instrument import PaymentInstrument, PaymentSnapshot
from moneypath.telemetry.recording.store import DROPS as DROPS_SLOT
from moneypath.telemetry.recording.store import Merged, PointStore, Source

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
        source = Merged(self._store.own()) if merged is None else merged
        snapshot = None if self.payments is None else self.payments.snapshot(source)
        exemplars = {name: family.exemplars() for name, family in self.histograms.items()}
        for spec in self._specs.values():
            if spec.kind is MetricKind.HISTOGRAM:
                yield self._histogram(spec, source, snapshot, exemplars[spec.name])
            elif spec.kind is MetricKind.GAUGE:
                yield self._gauge(spec, source, snapshot)
            else:
                yield self._counter(spec, source, snapshot)

    def _histogram(
        self,
        spec: MetricSpec,
        source: Source,
        snapshot: PaymentSnapshot | None,
        exemplars: dict[LabelValues, Exemplars],
    ) -> MetricSamples:
        samples = source.copy_of(spec.name)
        if snapshot is not None and spec.name == payment_instrument.HISTOGRAM:
            for key, point in snapshot.durations().items():
                samples[key] = _added(samples.get(key), point)
            for key, newest in snapshot.duration_exemplars().items():
                exemplars[key] = {**exemplars.get(key, {}), **newest}
        return MetricSamples(spec, histograms=samples, exemplars=exemplars)

    def _gauge(self, spec: MetricSpec, source: Source, snapshot: PaymentSnapshot | None) -> MetricSamples:
        if snapshot is not None and spec.name == payment_instrument.GAUGE:
            return MetricSamples(spec, values=snapshot.in_flight())
        values = {key: gauges.value_of(point) for key, point in source.copy_of(spec.name).items()}
        # NaN means absent.
        return MetricSamples(
            spec, values={key: value for key, value in values.items() if not math.isnan(value)}
        )

    def _counter(self, spec: MetricSpec, source: Source, snapshot: PaymentSnapshot | None) -> MetricSamples:
        if spec.name == DROPS:
            drops = source.copy_of(DROPS_SLOT)
            return MetricSamples(spec, values={key: int(point[0]) for key, point in drops.items()})
        if spec.name == RECORDS:
            return MetricSamples(spec, values={(): int(sum(self._records(source, snapshot)))})
        values = {key: point[0] for key, point in source.copy_of(spec.name).items()}
        if snapshot is None or spec.name not in (payment_instrument.COUNTER, payment_instrument.COST):
            return MetricSamples(spec, values=values)
        for key, value in (
            snapshot.payments() if spec.name == payment_instrument.COUNTER else snapshot.fees()
        ).items():
            values[key] = values.get(key, 0.0) + value
        exemplars = snapshot.payment_exemplars() if spec.name == payment_instrument.COUNTER else {}
        return MetricSamples(spec, values=values, exemplars=exemplars)

    def _records(self, source: Source, snapshot: PaymentSnapshot | None) -> Iterator[float]:
        # The metrics about rendering are not records of the service.
        for name in (*(self.counters.keys() - OWN_METRICS), *self.gauges):
            # In the data point of a counter or gauge the second number counts the records.
            yield sum(point[1] for point in source.copy_of(name).values())
        for name in self.histograms:
            yield sum(sum(point[1:]) for point in source.copy_of(name).values())
        if snapshot is not None:
            yield snapshot.records()


def _added(known: DataPoint | None, point: DataPoint) -> DataPoint:
    return point if known is None else [a + b for a, b in zip(known, point, strict=True)]
