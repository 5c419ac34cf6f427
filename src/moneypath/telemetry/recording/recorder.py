"""The recorder: what a service holds to record and to render. It keeps no global state."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import NoReturn

from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.errors import CatalogueInvalid, MetricUnknown
from moneypath.telemetry.exposition.families import FamilyText
from moneypath.telemetry.exposition.samples import MetricSamples
from moneypath.telemetry.recording import gauges, payments
from moneypath.telemetry.recording.cells import ANY_ERROR, BoundCounter, BoundGauge, BoundHistogram, Drops
from moneypath.telemetry.recording.collecting import OWN_METRICS, RENDER_BYTES, RENDER_SECONDS, Collection
from moneypath.telemetry.recording.families import CounterFamily, GaugeFamily, HistogramFamily
from moneypath.telemetry.recording.lanes import NoLane, PaymentLane, PaymentRecord
from moneypath.telemetry.recording.locked import (
    LockedCounter,
    LockedDrops,
    LockedGauge,
    LockedHistogram,
    LockedLane,
    LockedPayment,
)
from moneypath.telemetry.recording.payments import Lanes, PaymentBook, PaymentSpecs
from moneypath.telemetry.recording.store import CellStore, Turn
from moneypath.telemetry.tracing.tracer import SILENT, Tracer

__all__ = ["OWN_METRICS", "Recorder"]

# How long a scrape keeps an event loop at a time; a request takes about as long.
STEP_SECONDS = 0.0005


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
        store: CellStore,
        tracer: Tracer = SILENT,
    ) -> None:
        self.service = service
        self.tracer = tracer
        self._store = store
        self._clock = clock
        self._locked = locked
        self._drops = LockedDrops(store) if locked else Drops(store)
        self._collection = Collection(self._drops, store)
        self._texts: dict[str, FamilyText] = {}
        for name in sorted(metrics):
            self._add(catalogue[name])
        self._book = self._collection.book = self._payment_book(catalogue)
        self._no_lane = NoLane(self._drops, clock)
        # Where an increment in place is not one step, no lane is found here, and the slower way has locks.
        self._lanes: Lanes = {} if self._book is None or locked else self._book.lanes

    def rearm(self, store: CellStore) -> None:
        """Record on from zero in another store; a forked child calls it before it runs anything else.

        All that was given out stays valid. A lock that a thread of the parent held is replaced: that thread
        does not exist here.
        """
        self._store.abandon()
        self._store = store
        self._collection.rearm(store)

    def _add(self, spec: MetricSpec) -> None:
        self._texts[spec.name] = FamilyText(spec)
        locked, drops, store = self._locked, self._drops, self._store
        if spec.kind is MetricKind.COUNTER:
            self._collection.add(
                CounterFamily(spec, LockedCounter if locked else BoundCounter, [0.0, 0], drops, store)
            )
        elif spec.kind is MetricKind.GAUGE:
            self._collection.add(
                GaugeFamily(spec, LockedGauge if locked else BoundGauge, gauges.ZERO, drops, store)
            )
        else:
            zero: Sequence[float] = [0.0] + [0] * (len(spec.buckets) + 1)
            self._collection.add(
                HistogramFamily(spec, LockedHistogram if locked else BoundHistogram, zero, drops, store)
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
        cost = catalogue[payments.COST] if payments.COST in self._texts else None
        specs = PaymentSpecs(catalogue[payments.COUNTER], catalogue[payments.HISTOGRAM], cost)
        lane = LockedLane if self._locked else PaymentLane
        return PaymentBook(specs, self._drops, self._clock, self._store, lane)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that this service records, sorted."""
        return tuple(self._collection.specs)

    @property
    def specs(self) -> Mapping[str, MetricSpec]:
        """Return the declarations of the metrics that this service records, by name."""
        return self._collection.specs

    def counter(self, name: str) -> CounterFamily:
        """Return a counter's family; raises MetricUnknown if the service records no such counter."""
        known = self._collection.counters
        return known.get(name) or self._refuse(name, MetricKind.COUNTER, known)

    def gauge(self, name: str) -> GaugeFamily:
        """Return a gauge's family; raises MetricUnknown if the service records no such gauge."""
        known = self._collection.gauges
        return known.get(name) or self._refuse(name, MetricKind.GAUGE, known)

    def histogram(self, name: str) -> HistogramFamily:
        """Return a histogram's family; raises MetricUnknown if the service records no such histogram."""
        known = self._collection.histograms
        return known.get(name) or self._refuse(name, MetricKind.HISTOGRAM, known)

    def _refuse(self, name: str, kind: MetricKind, families: Mapping[str, object]) -> NoReturn:
        raise MetricUnknown(
            f"{kind} {name}: not recorded by service {self.service}",
            hint=f"name it in setup(metrics=...); recorded {kind}s: {', '.join(families) or 'none'}",
        )

    def now(self) -> float:
        """Return the recorder's clock, in seconds; only differences and `since` mean anything."""
        return self._clock()

    # `since` is no keyword-only parameter: CPython 3.11 specialises no call of a function that has one.
    def payment(
        self, operation: str, traffic: str = "live", cohort: str = "control", since: float | None = None
    ) -> PaymentRecord:
        """Return a context manager that times one payment operation; call its `finish` once.

        `since` is a value of `now()`: a service that knows only later whether a request is a new payment
        or a replay still times it from its arrival. An exception that leaves it unfinished is recorded
        as failed, provider none, and passes on.
        """
        try:
            lane = self._lanes[traffic][cohort][operation]
            record = PaymentRecord()
        except ANY_ERROR:
            lane = self._lane_otherwise(operation, traffic, cohort)
            record = LockedPayment() if self._locked else PaymentRecord()
        record.lane = lane
        record.since = since
        record.begun = None
        return record

    def begin(self, operation: str, traffic: str = "live", cohort: str = "control") -> PaymentLane:
        """Count a payment operation as begun, for a caller that holds its own clock.

        Call `finish(seconds, outcome, provider, fee_micro_units)` on what is returned, exactly once:
        unlike `payment`, this keeps nothing for each payment and cannot tell whether that was done.
        """
        try:
            lane = self._lanes[traffic][cohort][operation]
        except ANY_ERROR:
            lane = self._lane_otherwise(operation, traffic, cohort)
            lane.start()
            return lane
        lane.started[0] += 1.0
        return lane

    def _lane_otherwise(self, operation: str, traffic: str, cohort: str) -> PaymentLane:
        if self._book is None:
            self._drops.count(DropReason.UNKNOWN_METRIC)
            return self._no_lane
        try:
            return self._book.lanes[traffic][cohort][operation]
        except ANY_ERROR:
            self._drops.count(DropReason.UNKNOWN_VALUE)
            return self._no_lane

    @property
    def begun_unix_nanos(self) -> int:
        """Return since when the counters count, for ways out that have to say so."""
        return self._store.begun_unix_nanos

    @property
    def instance(self) -> str:
        """Return what tells these numbers from those of others: of another process, or group of workers."""
        return self._store.instance

    def snapshot(self, *, own_only: bool = False) -> list[MetricSamples]:
        """Read all metrics at once: the numbers that `render` would write, for another way out.

        `own_only` leaves out what other workers recorded.
        """
        return list(self._collection.collect(own_only=own_only))

    def turn(self, *, last: bool = False) -> Turn:
        """Tell what this process is to send, so that of several workers each number is sent once.

        `last` says that it will not ask again, and relies on whoever sends next. Raises nothing.
        """
        return self._store.turn(last=last)

    def hand_over(self) -> bool:
        """Let another worker send, and tell whether one relied on what was just sent: then send again."""
        return self._store.hand_over()

    def count_drop(self, reason: DropReason) -> None:
        """Count what was to be recorded and could not be, by a part that is not the recorder's own."""
        self._drops.count(reason)

    def render(self, openmetrics: bool = False) -> bytes:
        """Write all metrics as Prometheus text 0.0.4, or as OpenMetrics 1.0."""
        return b"".join(self.render_in_steps(openmetrics))

    def render_in_steps(self, openmetrics: bool = False) -> Iterator[bytes]:
        """Yield what `render` returns, in steps of at most about `STEP_SECONDS`.

        The numbers are those of the first step. An event loop may serve others between the steps.
        """
        spent, size = 0.0, 0
        begun = perf_counter()
        parts: list[str] = []
        for samples in self.snapshot():
            for piece in self._texts[samples.spec.name].pieces(samples, openmetrics=openmetrics):
                parts.append(piece)
                now = perf_counter()
                if now - begun >= STEP_SECONDS:
                    content = "".join(parts).encode()
                    parts.clear()
                    size += len(content)
                    spent += perf_counter() - begun
                    yield content
                    begun = perf_counter()
        content = "".join([*parts, "# EOF\n" if openmetrics else ""]).encode()
        self._count_own(RENDER_SECONDS, spent + perf_counter() - begun)
        self._count_own(RENDER_BYTES, size + len(content))
        yield content

    def _count_own(self, name: str, amount: float) -> None:
        counter = self._collection.counters.get(name)
        if counter is not None:
            counter.inc(amount)
