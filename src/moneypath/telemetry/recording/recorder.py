"""The recorder, through which a service records and renders its metrics. It has no global state."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import NoReturn

from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, DropReason
from moneypath.telemetry.errors import CatalogueInvalid, MetricUnknown
from moneypath.telemetry.exposition.families import MetricRenderer
from moneypath.telemetry.exposition.samples import MetricSamples
from moneypath.telemetry.recording import gauges, payment_handles, payment_instrument
from moneypath.telemetry.recording.families import CounterFamily, GaugeFamily, HistogramFamily
from moneypath.telemetry.recording.handles import (
    ANY_ERROR,
    BoundCounter,
    BoundGauge,
    BoundHistogram,
    DropCounter,
)
from moneypath.telemetry.recording.locked import (
    LockedCounter,
    LockedDropCounter,
    LockedGauge,
    LockedHistogram,
    LockedPayment,
    LockedPaymentHandle,
)
from moneypath.telemetry.recording.observed_calls import StrayCalls
from moneypath.telemetry.recording.payment_handles import NoopPaymentHandle, PaymentHandle
from moneypath.telemetry.recording.payment_instrument import PaymentHandles, PaymentInstrument, PaymentSpecs
from moneypath.telemetry.recording.payment_records import ObservedPayment, PaymentRecord
from moneypath.telemetry.recording.registry import OWN_METRICS, RENDER_BYTES, RENDER_SECONDS, MetricRegistry
from moneypath.telemetry.recording.store import ExportScope, PointStore
from moneypath.telemetry.recording.undeclared import is_among
from moneypath.telemetry.tracing.tracer import NOOP_TRACER, Tracer

__all__ = ["OWN_METRICS", "Recorder"]

# How long one step of a scrape may block an event loop: no longer than a small request.
STEP_SECONDS = 0.00025


class Recorder:
    """Records a service's metrics and renders them. `setup` makes it."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        service: str,
        metrics: Iterable[str],
        clock: Callable[[], float],
        locked: bool,
        store: PointStore,
        tracer: Tracer = NOOP_TRACER,
    ) -> None:
        self.service = service
        self.tracer = tracer
        self._store = store
        self._clock = clock
        self._locked = locked
        self._drops = LockedDropCounter(store) if locked else DropCounter(store)
        self._registry = MetricRegistry(self._drops, store)
        self._renderers: dict[str, MetricRenderer] = {}
        for name in sorted(metrics):
            self._add(catalogue[name])
        self._payments = self._registry.payments = self._make_payment_instrument(catalogue)
        self._noop_handle = NoopPaymentHandle(self._drops, clock)
        # Without the GIL this is empty, so that every call takes the slower path with locks.
        self._payment_handles: PaymentHandles = (
            {} if self._payments is None or locked else self._payments.handles
        )
        self.stray_calls = StrayCalls()
        self._make_record: Callable[[], PaymentRecord] = (
            partial(LockedPayment, self.stray_calls) if locked else PaymentRecord
        )

    def switch_store(self, store: PointStore) -> None:
        """Continue from zero in another store. A forked child calls it before it runs anything else.

        Families and handles that were returned earlier stay valid. Locks are replaced, because a thread of
        the parent that held one does not exist in the child.
        """
        self._store.abandon()
        self._store = store
        self._registry.switch_store(store)

    def _add(self, spec: MetricSpec) -> None:
        self._renderers[spec.name] = MetricRenderer(spec)
        locked, drops, store = self._locked, self._drops, self._store
        if spec.kind is MetricKind.COUNTER:
            self._registry.add(
                CounterFamily(spec, LockedCounter if locked else BoundCounter, [0.0, 0], drops, store)
            )
        elif spec.kind is MetricKind.GAUGE:
            self._registry.add(
                GaugeFamily(spec, LockedGauge if locked else BoundGauge, gauges.ZERO, drops, store)
            )
        else:
            zero: Sequence[float] = [0.0] + [0] * (len(spec.buckets) + 1)
            self._registry.add(
                HistogramFamily(spec, LockedHistogram if locked else BoundHistogram, zero, drops, store)
            )

    def _make_payment_instrument(self, catalogue: Catalogue) -> PaymentInstrument | None:
        together = (payment_handles.COUNTER, payment_instrument.HISTOGRAM, payment_instrument.GAUGE)
        present = [name for name in together if name in self._renderers]
        if not present:
            return None
        if len(present) < len(together):
            raise CatalogueInvalid(
                f"Service {self.service} records only {', '.join(present)}.",
                hint=f"A payment is recorded in all of {', '.join(together)}; name all or none.",
            )
        cost = catalogue[payment_instrument.COST] if payment_instrument.COST in self._renderers else None
        specs = PaymentSpecs(
            catalogue[payment_handles.COUNTER], catalogue[payment_instrument.HISTOGRAM], cost
        )
        handle = LockedPaymentHandle if self._locked else PaymentHandle
        return PaymentInstrument(specs, self._drops, self._clock, self._store, handle)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that this service records, sorted."""
        return tuple(self._registry.specs)

    @property
    def specs(self) -> Mapping[str, MetricSpec]:
        """Return the declarations of the metrics that this service records, by name."""
        return self._registry.specs

    def counter(self, name: str) -> CounterFamily:
        """Return the family of a counter. Raises MetricUnknown if the service does not record it."""
        known = self._registry.counters
        return known.get(name) or self._raise_unknown(name, MetricKind.COUNTER, known)

    def gauge(self, name: str) -> GaugeFamily:
        """Return the family of a gauge. Raises MetricUnknown if the service does not record it."""
        known = self._registry.gauges
        return known.get(name) or self._raise_unknown(name, MetricKind.GAUGE, known)

    def histogram(self, name: str) -> HistogramFamily:
        """Return the family of a histogram. Raises MetricUnknown if the service does not record it."""
        known = self._registry.histograms
        return known.get(name) or self._raise_unknown(name, MetricKind.HISTOGRAM, known)

    def _raise_unknown(self, name: str, kind: MetricKind, families: Mapping[str, object]) -> NoReturn:
        raise MetricUnknown(
            f"Service {self.service} does not record a {kind} {name}.",
            hint=f"Name it in setup(metrics=...). Recorded {kind}s: {', '.join(families) or 'none'}.",
        )

    def now(self) -> float:
        """Return the recorder's clock in seconds. Use it only for differences and for `since`."""
        return self._clock()

    # `since` and `provider` are not keyword-only, because CPython 3.11 does not specialise calls of functions
    # with keyword-only parameters.
    def payment(
        self,
        operation: str,
        traffic: str = "live",
        cohort: str = "control",
        since: float | None = None,
        provider: str = NO_PROVIDER,
    ) -> PaymentRecord:
        """Return a context manager that times one payment operation. Call its `finish` once.

        `since` is an earlier value of `now()`, for a service that learns late whether a request is a new
        payment or a replay and still wants to time it from its arrival. `provider` is where the payment goes,
        for a service whose calls are not observed.

        If an exception ends the block before `finish`, the payment is recorded and the exception passes on.
        Outcome and provider are what the exception states in `payment_outcome` and `payment_provider`, else
        what the observed calls of the block say: the failure of the provider that let the last call down; or
        our own, which has no provider, after an answer. Our own failure is `indeterminate` if a call may have
        moved money. Without any observed call it is `failed`, at `provider`.
        """
        try:
            handle = self._payment_handles[traffic][cohort][operation]
        except ANY_ERROR:
            handle = self._find_handle(operation, traffic, cohort)
        record = self._make_record()
        record.handle = handle
        record.provider = provider
        record.since = since
        record.started_at = None
        return record

    def observe_calls(self) -> None:
        """Note calls to providers in the payments that begin from now on. An integration asks for it."""
        if self._make_record is PaymentRecord:
            self._make_record = partial(ObservedPayment, self.stray_calls)

    def begin(self, operation: str, traffic: str = "live", cohort: str = "control") -> PaymentHandle:
        """Count a payment operation as started, for a caller that measures time itself.

        Call `finish(seconds, outcome, provider, fee_micro_units)` on the returned handle exactly once.
        Unlike `payment` this keeps no state for each payment and cannot check that.
        """
        try:
            handle = self._payment_handles[traffic][cohort][operation]
        except ANY_ERROR:
            handle = self._find_handle(operation, traffic, cohort)
            handle.start()
            return handle
        handle.started[0] += 1.0
        return handle

    def _find_handle(self, operation: str, traffic: str, cohort: str) -> PaymentHandle:
        if self._payments is None:
            self._drops.count(DropReason.UNKNOWN_METRIC)
            return self._noop_handle
        try:
            return self._payments.handles[traffic][cohort][operation]
        except ANY_ERROR:
            self._drops.count(DropReason.UNKNOWN_VALUE)
            spec = self._registry.specs[payment_handles.COUNTER]
            given = {"operation": operation, "traffic": traffic, "cohort": cohort}
            for label, value in given.items():
                if not is_among(value, spec.labels[label]):
                    self._drops.undeclared.tell(spec.name, label, value, spec.labels[label])
            return self._noop_handle

    @property
    def start_time_unix_nano(self) -> int:
        """Return the time at which the counters started, for exporters that must state it."""
        return self._store.start_time_unix_nano

    @property
    def instance(self) -> str:
        """Return an id that distinguishes this process, or this worker group, from others of the service."""
        return self._store.instance

    def snapshot(self, *, own_only: bool = False) -> list[MetricSamples]:
        """Return all metrics at one moment, with the numbers that `render` would write.

        `own_only` leaves out what other workers recorded.
        """
        return list(self._registry.collect(own_only=own_only))

    def claim_export(self, *, last: bool = False) -> ExportScope:
        """Return what this process must export, so that each number of a worker group is exported once.

        Set `last` for the final call of a process; it then relies on the worker that exports next. Never
        raises.
        """
        return self._store.claim_export(last=last)

    def release_export(self) -> bool:
        """Let another worker export.

        Return whether to export again because another worker relied on this one.
        """
        return self._store.release_export()

    def count_drop(self, reason: DropReason) -> None:
        """Count a record or export that failed in another part of the library."""
        self._drops.count(reason)

    def render(self, openmetrics: bool = False) -> bytes:
        """Return all metrics as Prometheus text 0.0.4, or as OpenMetrics 1.0."""
        return b"".join(self.render_in_steps(openmetrics))

    def render_in_steps(self, openmetrics: bool = False) -> Iterator[bytes]:
        """Yield what `render` returns, in steps of at most about `STEP_SECONDS`.

        All numbers are those of the first step. An event loop can serve other requests between the steps.
        """
        spent, size = 0.0, 0
        started_at = perf_counter()
        parts: list[str] = []
        for chunk in self._chunks(openmetrics):
            parts.append(chunk)
            if perf_counter() - started_at >= STEP_SECONDS:
                content = "".join(parts).encode()
                parts.clear()
                size += len(content)
                spent += perf_counter() - started_at
                yield content
                started_at = perf_counter()
        content = "".join([*parts, "# EOF\n" if openmetrics else ""]).encode()
        self._count_own(RENDER_SECONDS, spent + perf_counter() - started_at)
        self._count_own(RENDER_BYTES, size + len(content))
        yield content

    def _chunks(self, openmetrics: bool) -> Iterator[str]:
        for samples in self._registry.collect():
            # A place to pause: the samples of many series take as long as a step.
            yield ""
            yield from self._renderers[samples.spec.name].chunks(samples, openmetrics=openmetrics)

    def _count_own(self, name: str, amount: float) -> None:
        counter = self._registry.counters.get(name)
        if counter is not None:
            counter.inc(amount)
