"""The recorder: what a service holds to record and to render. It keeps no global state."""

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import perf_counter
from typing import NoReturn

from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec
from moneypath.telemetry.errors import CatalogueInvalid, MetricUnknown
from moneypath.telemetry.exposition.samples import Cells, Key
from moneypath.telemetry.exposition.text import FamilyText
from moneypath.telemetry.recording import payments
from moneypath.telemetry.recording.cells import (
    BoundCounter,
    BoundGauge,
    BoundHistogram,
    CounterFamily,
    Drops,
    GaugeFamily,
    HistogramFamily,
)
from moneypath.telemetry.recording.locked import (
    LockedCounter,
    LockedDrops,
    LockedGauge,
    LockedHistogram,
    LockedPayment,
)
from moneypath.telemetry.recording.payments import PaymentBook, PaymentRecord, UnrecordedPayment

RECORDS = "moneypath_telemetry_records_total"
DROPS = "moneypath_telemetry_drops_total"
RENDER_SECONDS = "moneypath_telemetry_render_seconds_total"
OWN_METRICS = frozenset({RECORDS, DROPS, RENDER_SECONDS})


class Recorder:
    """Record a service's metrics and render them; made by `setup`."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        service: str,
        metrics: Iterable[str],
        clock: Callable[[], float],
        locked: bool,
    ) -> None:
        self.service = service
        self._lock = threading.Lock() if locked else None
        self._drops = LockedDrops() if locked else Drops()
        self._counters: dict[str, CounterFamily] = {}
        self._gauges: dict[str, GaugeFamily] = {}
        self._histograms: dict[str, HistogramFamily] = {}
        self._texts: dict[str, FamilyText] = {}
        self._render_lock = threading.Lock()
        self._render_seconds = 0.0
        self._clock = clock
        for name in sorted(metrics):
            self._add(catalogue[name])
        self._book = self._payment_book(catalogue)

    def _add(self, spec: MetricSpec) -> None:
        self._texts[spec.name] = FamilyText(spec)
        locked = self._lock is not None
        if spec.kind is MetricKind.COUNTER:
            self._counters[spec.name] = CounterFamily(
                spec, LockedCounter if locked else BoundCounter, [0.0, 0], self._drops
            )
        elif spec.kind is MetricKind.GAUGE:
            self._gauges[spec.name] = GaugeFamily(
                spec, LockedGauge if locked else BoundGauge, [float("nan"), 0], self._drops
            )
        else:
            zero: Cells = [0.0] + [0] * (len(spec.buckets) + 1)
            self._histograms[spec.name] = HistogramFamily(
                spec, LockedHistogram if locked else BoundHistogram, zero, self._drops
            )

    def _payment_book(self, catalogue: Catalogue) -> PaymentBook | None:
        together = (payments.COUNTER, payments.HISTOGRAM, payments.GAUGE)
        present = [name for name in together if name in self._texts]
        if not present:
            return None
        if len(present) < len(together):
            raise CatalogueInvalid(
                f"metrics of service {self.service}: only {', '.join(present)}",
                hint=f"a payment is recorded in all of {', '.join(together)}: name all or none",
            )
        return PaymentBook(
            catalogue[payments.COUNTER], catalogue[payments.HISTOGRAM], self._drops, self._clock
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that this service records, sorted."""
        return tuple(self._texts)

    def counter(self, name: str) -> CounterFamily:
        """Return a counter's family; raises MetricUnknown if the service records no such counter."""
        return self._counters.get(name) or self._refuse(name, MetricKind.COUNTER, self._counters)

    def gauge(self, name: str) -> GaugeFamily:
        """Return a gauge's family; raises MetricUnknown if the service records no such gauge."""
        return self._gauges.get(name) or self._refuse(name, MetricKind.GAUGE, self._gauges)

    def histogram(self, name: str) -> HistogramFamily:
        """Return a histogram's family; raises MetricUnknown if the service records no such histogram."""
        return self._histograms.get(name) or self._refuse(name, MetricKind.HISTOGRAM, self._histograms)

    def _refuse(self, name: str, kind: MetricKind, families: Mapping[str, object]) -> NoReturn:
        raise MetricUnknown(
            f"{kind} {name}: not recorded by service {self.service}",
            hint=f"name it in setup(metrics=...); recorded {kind}s: {', '.join(families) or 'none'}",
        )

    def now(self) -> float:
        """Return the recorder's clock, in seconds; only differences and `since` mean anything."""
        return self._clock()

    def payment(
        self,
        operation: str,
        traffic: str = "live",
        cohort: str = "control",
        *,
        since: float | None = None,
    ) -> PaymentRecord:
        """Return a context manager that times one payment operation; call its `finish` once.

        `since` is a value of `now()`: a service that knows only later whether a request is a new payment
        or a replay still times it from its arrival. An exception that leaves it unfinished is recorded
        as failed, provider none, and passes on.
        """
        book = self._book
        if book is None:
            return UnrecordedPayment(self._drops)
        if self._lock is not None:
            return LockedPayment(self._lock, book, operation, traffic, cohort, since)
        return PaymentRecord(book, operation, traffic, cohort, since)

    def render(self, openmetrics: bool = False) -> bytes:
        """Write all metrics as Prometheus text 0.0.4, or as OpenMetrics 1.0."""
        with self._render_lock:
            begun = perf_counter()
            if self._book is not None:
                self._book.freeze()
            parts: list[str] = []
            for name, text in self._texts.items():
                lines = list(self._lines(name, text))
                if lines:
                    parts.append(text.header(openmetrics=openmetrics))
                    parts.extend(lines)
            if openmetrics:
                parts.append("# EOF\n")
            content = "".join(parts).encode()
            self._render_seconds += perf_counter() - begun
            return content

    def _lines(self, name: str, text: FamilyText) -> Iterable[str]:
        if name in self._histograms:
            return text.histograms(self._histogram_cells(name))
        if name in self._gauges:
            return text.values(self._gauge_values(name))
        return text.values(self._counter_values(name))

    def _histogram_cells(self, name: str) -> dict[Key, Cells]:
        samples = {key: cells.copy() for key, cells in self._histograms[name].cells.copy().items()}
        if self._book is not None and name == payments.HISTOGRAM:
            for key, cells in self._book.durations().items():
                own = samples.get(key)
                samples[key] = cells if own is None else [a + b for a, b in zip(own, cells, strict=True)]
        return samples

    def _gauge_values(self, name: str) -> dict[Key, float]:
        samples = {key: cells[0] for key, cells in self._gauges[name].cells.copy().items()}
        if self._book is not None and name == payments.GAUGE:
            samples = self._book.in_flight()
        # NaN stands for absent.
        return {key: value for key, value in samples.items() if not math.isnan(value)}

    def _counter_values(self, name: str) -> dict[Key, float]:
        if name == DROPS:
            return self._drops.totals()
        if name == RECORDS:
            return {(): sum(self._record_counts())}
        if name == RENDER_SECONDS:
            return {(): self._render_seconds}
        samples = {key: cells[0] for key, cells in self._counters[name].cells.copy().items()}
        if self._book is not None and name == payments.COUNTER:
            for key, value in self._book.payments().items():
                samples[key] = samples.get(key, 0.0) + value
        return samples

    def _record_counts(self) -> Iterator[float]:
        for counter in self._counters.values():
            yield sum(cells[1] for cells in counter.cells.copy().values())
        for gauge in self._gauges.values():
            yield sum(cells[1] for cells in gauge.cells.copy().values())
        for histogram in self._histograms.values():
            yield sum(sum(cells[1:]) for cells in histogram.cells.copy().values())
        if self._book is not None:
            yield self._book.records()
