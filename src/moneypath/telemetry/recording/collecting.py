"""What a scrape takes from the cells: for each metric its samples, copied."""

import math
from collections.abc import Iterator, Mapping

from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec
from moneypath.telemetry.exposition.samples import Cells, MetricSamples
from moneypath.telemetry.recording import payments
from moneypath.telemetry.recording.cells import CounterFamily, Drops, GaugeFamily, HistogramFamily
from moneypath.telemetry.recording.payments import FrozenPayments, PaymentBook

RECORDS = "moneypath_telemetry_records_total"
DROPS = "moneypath_telemetry_drops_total"
RENDER_SECONDS = "moneypath_telemetry_render_seconds_total"
RENDER_BYTES = "moneypath_telemetry_render_bytes_total"
OWN_METRICS = frozenset({RECORDS, DROPS, RENDER_SECONDS, RENDER_BYTES})


class Collection:
    """Hold what a service records, to be read at a scrape."""

    __slots__ = ("_specs", "book", "counters", "drops", "gauges", "histograms")

    def __init__(self, drops: Drops) -> None:
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

    @property
    def specs(self) -> Mapping[str, MetricSpec]:
        """Return what is recorded, by name."""
        return self._specs

    def collect(self) -> Iterator[MetricSamples]:
        """Yield the samples of each metric; payments are copied first and at once, so that they agree."""
        frozen = None if self.book is None else self.book.freeze()
        for spec in self._specs.values():
            if spec.kind is MetricKind.HISTOGRAM:
                yield self._histogram(spec, frozen)
            elif spec.kind is MetricKind.GAUGE:
                yield self._gauge(spec, frozen)
            else:
                yield self._counter(spec, frozen)

    def _histogram(self, spec: MetricSpec, frozen: FrozenPayments | None) -> MetricSamples:
        family = self.histograms[spec.name]
        samples = {key: list(cells) for key, cells in family.cells.copy().items()}
        exemplars = family.exemplars()
        if frozen is not None and spec.name == payments.HISTOGRAM:
            for key, cells in frozen.durations().items():
                samples[key] = _added(samples.get(key), cells)
            for key, kept in frozen.duration_exemplars().items():
                exemplars[key] = {**exemplars.get(key, {}), **kept}
        return MetricSamples(spec, cells=samples, exemplars=exemplars)

    def _gauge(self, spec: MetricSpec, frozen: FrozenPayments | None) -> MetricSamples:
        if frozen is not None and spec.name == payments.GAUGE:
            return MetricSamples(spec, values=frozen.in_flight())
        values = {key: cells[0] for key, cells in self.gauges[spec.name].cells.copy().items()}
        # NaN stands for absent.
        return MetricSamples(
            spec, values={key: value for key, value in values.items() if not math.isnan(value)}
        )

    def _counter(self, spec: MetricSpec, frozen: FrozenPayments | None) -> MetricSamples:
        if spec.name == DROPS:
            return MetricSamples(spec, values=self.drops.totals())
        if spec.name == RECORDS:
            return MetricSamples(spec, values={(): sum(self._records(frozen))})
        values = {key: cells[0] for key, cells in self.counters[spec.name].cells.copy().items()}
        if frozen is None or spec.name not in (payments.COUNTER, payments.COST):
            return MetricSamples(spec, values=values)
        for key, value in (frozen.payments() if spec.name == payments.COUNTER else frozen.fees()).items():
            values[key] = values.get(key, 0.0) + value
        exemplars = frozen.payment_exemplars() if spec.name == payments.COUNTER else {}
        return MetricSamples(spec, values=values, exemplars=exemplars)

    def _records(self, frozen: FrozenPayments | None) -> Iterator[float]:
        for name, counter in self.counters.items():
            # What rendering counts of itself is nobody's record.
            if name not in OWN_METRICS:
                yield sum(cells[1] for cells in counter.cells.copy().values())
        for gauge in self.gauges.values():
            yield sum(cells[1] for cells in gauge.cells.copy().values())
        for histogram in self.histograms.values():
            yield sum(sum(cells[1:]) for cells in histogram.cells.copy().values())
        if frozen is not None:
            yield frozen.records()


def _added(known: Cells | None, cells: Cells) -> Cells:
    return cells if known is None else [a + b for a, b in zip(known, cells, strict=True)]
