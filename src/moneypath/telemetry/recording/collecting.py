"""What a scrape takes from the cells: for each metric its samples, copied."""

import math
from collections.abc import Iterator, Mapping

from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.exposition.samples import Cells, MetricSamples
from moneypath.telemetry.recording import gauges, payments
from moneypath.telemetry.recording.cells import Drops
from moneypath.telemetry.recording.families import CounterFamily, GaugeFamily, HistogramFamily
from moneypath.telemetry.recording.payments import FrozenPayments, PaymentBook
from moneypath.telemetry.recording.store import DROPS as DROPS_SLOT
from moneypath.telemetry.recording.store import CellStore, Source

RECORDS = "moneypath_telemetry_records_total"
DROPS = "moneypath_telemetry_drops_total"
RENDER_SECONDS = "moneypath_telemetry_render_seconds_total"
RENDER_BYTES = "moneypath_telemetry_render_bytes_total"
OWN_METRICS = frozenset({RECORDS, DROPS, RENDER_SECONDS, RENDER_BYTES})


class Collection:
    """Hold what a service records, to be read at a scrape."""

    __slots__ = ("_specs", "_store", "book", "counters", "drops", "gauges", "histograms")

    def __init__(self, drops: Drops, store: CellStore) -> None:
        self._store = store
        self._specs: dict[str, MetricSpec] = {}
        self.book: PaymentBook | None = None
        self.counters: dict[str, CounterFamily] = {}
        self.drops = drops
        self.gauges: dict[str, GaugeFamily] = {}
        self.histograms: dict[str, HistogramFamily] = {}

    def add(self, family: CounterFamily | GaugeFamily | HistogramFamily) -> None:
        """Read a family too."""
        self._specs[family.spec.name] = family.spec
        if isinstance(family, CounterFamily):
            self.counters[family.spec.name] = family
        elif isinstance(family, GaugeFamily):
            self.gauges[family.spec.name] = family
        else:
            self.histograms[family.spec.name] = family

    def rearm(self, store: CellStore) -> None:
        """Put everything into cells of another store, at zero."""
        self._store = store
        self.drops.rearm(store)
        for families in (self.counters, self.gauges, self.histograms):
            for family in families.values():
                family.rearm(store)
        if self.book is not None:
            self.book.rearm(store)

    @property
    def specs(self) -> Mapping[str, MetricSpec]:
        """Return what is recorded, by name."""
        return self._specs

    def collect(self, *, own_only: bool = False) -> Iterator[MetricSamples]:
        """Yield the samples of each metric; payments are copied first and at once, so that they agree."""
        merged = None if own_only else self._store.merged()
        for _ in range(0 if merged is None else merged.skipped):
            self.drops.count(DropReason.SHARED_FILE)
        source: Source = self._store if merged is None else merged
        frozen = None if self.book is None else self.book.freeze(source)
        for spec in self._specs.values():
            if spec.kind is MetricKind.HISTOGRAM:
                yield self._histogram(spec, source, frozen)
            elif spec.kind is MetricKind.GAUGE:
                yield self._gauge(spec, source, frozen)
            else:
                yield self._counter(spec, source, frozen)

    def _histogram(self, spec: MetricSpec, source: Source, frozen: FrozenPayments | None) -> MetricSamples:
        family = self.histograms[spec.name]
        samples = source.copy_of(spec.name)
        exemplars = family.exemplars()
        if frozen is not None and spec.name == payments.HISTOGRAM:
            for key, cells in frozen.durations().items():
                samples[key] = _added(samples.get(key), cells)
            for key, kept in frozen.duration_exemplars().items():
                exemplars[key] = {**exemplars.get(key, {}), **kept}
        return MetricSamples(spec, cells=samples, exemplars=exemplars)

    def _gauge(self, spec: MetricSpec, source: Source, frozen: FrozenPayments | None) -> MetricSamples:
        if frozen is not None and spec.name == payments.GAUGE:
            return MetricSamples(spec, values=frozen.in_flight())
        values = {key: gauges.value_of(cells) for key, cells in source.copy_of(spec.name).items()}
        # NaN stands for absent.
        return MetricSamples(
            spec, values={key: value for key, value in values.items() if not math.isnan(value)}
        )

    def _counter(self, spec: MetricSpec, source: Source, frozen: FrozenPayments | None) -> MetricSamples:
        if spec.name == DROPS:
            drops = source.copy_of(DROPS_SLOT)
            return MetricSamples(spec, values={key: int(cells[0]) for key, cells in drops.items()})
        if spec.name == RECORDS:
            return MetricSamples(spec, values={(): int(sum(self._records(source, frozen)))})
        values = {key: cells[0] for key, cells in source.copy_of(spec.name).items()}
        if frozen is None or spec.name not in (payments.COUNTER, payments.COST):
            return MetricSamples(spec, values=values)
        for key, value in (frozen.payments() if spec.name == payments.COUNTER else frozen.fees()).items():
            values[key] = values.get(key, 0.0) + value
        exemplars = frozen.payment_exemplars() if spec.name == payments.COUNTER else {}
        return MetricSamples(spec, values=values, exemplars=exemplars)

    def _records(self, source: Source, frozen: FrozenPayments | None) -> Iterator[float]:
        # What rendering counts of itself is nobody's record.
        for name in (*(self.counters.keys() - OWN_METRICS), *self.gauges):
            # Of counters and of gauges the second cell counts the records.
            yield sum(cells[1] for cells in source.copy_of(name).values())
        for name in self.histograms:
            yield sum(sum(cells[1:]) for cells in source.copy_of(name).values())
        if frozen is not None:
            yield frozen.records()


def _added(known: Cells | None, cells: Cells) -> Cells:
    return cells if known is None else [a + b for a, b in zip(known, cells, strict=True)]
