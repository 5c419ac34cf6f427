"""Records a payment. One bucket increment serves the histogram, the outcome counter and the in-flight gauge.

The labels known at the start (operation, traffic, cohort) select a handle. The labels known at the end
(outcome, provider) select a data point of that handle, which holds the sum, the fee and the buckets. A
scrape computes four metrics from these. Labels are looked up one by one, because building and hashing a
tuple of all five costs more.
"""

from bisect import bisect_left
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import time

from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, DropReason
from moneypath.telemetry.correlation.context import Active
from moneypath.telemetry.exposition.samples import ExemplarReservoir, LabelValues
from moneypath.telemetry.recording.handles import ANY_ERROR, LARGEST, DropCounter, active
from moneypath.telemetry.recording.store import PAYMENTS, LivePoint, PointStore
from moneypath.telemetry.recording.undeclared import is_among

# The layout of a payment's data point: the sum of seconds, the sum of fees, a count for each bucket, +Inf
# last.
SUM, FEE, BUCKETS = 0, 1, 2
COUNTER = "moneypath_payments_total"
# A number with no bits from here on is an int, not negative and not larger than a plausible fee.
FEE_BITS = 30


def row_edges(buckets: tuple[float, ...]) -> tuple[float, ...]:
    """Return edges among which `bisect_left` finds the index in the data point.

    Invalid durations fall outside the buckets: NaN before -Inf, a negative number before the edge next to
    0, a number that is too large behind the last edge.
    """
    return (float("-inf"), -5e-324, *buckets, LARGEST)


class PaymentHandle:
    """Records payments of one operation, traffic and cohort. `Recorder.begin` returns it.

    Only `started`, `lost` and `rows` hold data points; `rebind` replaces them.
    """

    __slots__ = (
        "_drops",
        "_edges",
        "_fee_bits",
        "_key",
        "_last",
        "_outcomes",
        "_providers",
        "_store",
        "clock",
        "exemplars",
        "lost",
        "rows",
        "started",
    )

    started: LivePoint
    lost: LivePoint
    rows: dict[str, dict[str, LivePoint]]
    # By the key of a data point, then by the index of the bucket.
    exemplars: dict[LabelValues, ExemplarReservoir]

    def __init__(
        self,
        key: LabelValues,
        *,
        outcomes: tuple[str, ...] = (),
        providers: tuple[str, ...] = (),
        buckets: tuple[float, ...] = (),
        drops: DropCounter,
        clock: Callable[[], float],
        takes_fees: bool = True,
    ) -> None:
        self.clock = clock
        self._drops = drops
        self._edges = row_edges(buckets)
        self._fee_bits = FEE_BITS if takes_fees else 0
        self._key = key
        self._last = len(self._edges) - 1
        self._outcomes = dict(zip(outcomes, outcomes, strict=True))
        self._providers = dict(zip(providers, providers, strict=True))

    @property
    def operation(self) -> str:
        """Return the operation."""
        return self._key[0]

    def rebind(
        self,
        store: PointStore,
        started: LivePoint,
        lost: LivePoint,
        lock: AbstractContextManager[object],  # noqa: ARG002 - where there is no GIL
    ) -> None:
        """Record into other data points from now on. A data point is allocated when its first payment ends.

        Handles of one operation have the same `started`, `lost` and `lock`.
        """
        self.exemplars = {}
        self.lost = lost
        self.rows = {outcome: {} for outcome in self._outcomes}
        self.started = started
        self._store = store

    def start(self) -> None:
        """Count a payment as started."""
        self.started[0] += 1.0

    def finish(
        self, seconds: float, outcome: str, provider: str = NO_PROVIDER, fee_micro_units: float = 0
    ) -> None:
        """Record how a payment ended. Call it once for each call of `begin`; nothing checks that.

        `seconds` is the duration, `provider` the one that gave the final answer, and `fee_micro_units` the
        fee that this provider charges, in millionths of the reporting currency. Never raises. Labels that
        are not declared and invalid durations drop the payment, an invalid fee drops the fee; both are
        counted.
        """
        try:
            point = self.rows[outcome][provider]
        except ANY_ERROR:
            opened = self._open_row(outcome, provider)
            if isinstance(opened, DropReason):
                self.drop(opened)
                return
            point = opened
        try:
            bucket = bisect_left(self._edges, seconds)
            if not 2 <= bucket <= self._last:
                self._drop_number(seconds)
                return
            point[0] += seconds
            point[bucket] += 1.0
        except ANY_ERROR:
            self._drop_number(seconds)
            return
        try:
            if fee_micro_units:
                # One operation detects floats, negative numbers and implausibly large fees.
                if fee_micro_units >> self._fee_bits:  # type: ignore[operator]
                    self._add_fee(point, fee_micro_units)
                else:
                    point[1] += fee_micro_units
        except ANY_ERROR:
            self._add_fee(point, fee_micro_units)
        context = active()
        if context is not None and context.sampled:
            self._keep_exemplar(outcome, provider, bucket, seconds, context)

    def declared_provider(self, provider: str) -> str:
        """Return a provider that nobody named for this record; none if it is not declared, which is told.

        What an exception states and what was given before the payment began may be wrong in an outage alone:
        the payment counts all the same.
        """
        if is_among(provider, self._providers):
            return self._providers[provider]
        if self._providers:
            self._drops.undeclared.tell(COUNTER, "provider", provider, self._providers)
        return NO_PROVIDER

    def drop(self, reason: DropReason) -> None:
        """Count a payment that started and cannot be recorded, and take it out of flight."""
        self._drops.count(reason)
        self.lost[0] += 1

    def count_drop(self, reason: DropReason) -> None:
        """Count an invalid call. The number in flight does not change."""
        self._drops.count(reason)

    def _drop_number(self, seconds: object) -> None:
        self._drops.count_number(seconds)
        self.lost[0] += 1

    def _open_row(self, outcome: str, provider: str) -> LivePoint | DropReason:
        try:
            rows, key = self.rows[outcome], self._row_key(outcome, provider)
        except ANY_ERROR:
            for label, value, declared in (
                ("outcome", outcome, self._outcomes),
                ("provider", provider, self._providers),
            ):
                if self._outcomes and not is_among(value, declared):
                    self._drops.undeclared.tell(COUNTER, label, value, declared)
            return DropReason.UNKNOWN_VALUE
        zero = (0.0, 0, *[0] * (len(self._edges) - BUCKETS))
        point = self._store.allocate(PAYMENTS, key, zero)
        # setdefault: two threads at once get the same data point.
        return DropReason.SERIES_BUDGET if point is None else rows.setdefault(key[2], point)

    def _row_key(self, outcome: str, provider: str) -> LabelValues:
        operation, traffic, cohort = self._key
        return (operation, self._outcomes[outcome], self._providers[provider], traffic, cohort)

    def _add_fee(self, point: LivePoint, fee_micro_units: object) -> None:
        """Add a fee that is a float or large. Drop one that is invalid or has no metric."""
        if not self._fee_bits:
            self._drops.count(DropReason.UNKNOWN_METRIC)
            return
        try:
            if isinstance(fee_micro_units, int | float) and 0 <= fee_micro_units <= LARGEST:
                point[FEE] += fee_micro_units
                return
        except ANY_ERROR:
            pass
        self._drops.count_number(fee_micro_units)

    def _keep_exemplar(
        self, outcome: str, provider: str, bucket: int, seconds: float, context: Active
    ) -> None:
        reservoir = self.exemplars.setdefault(self._row_key(outcome, provider), {})
        reservoir[bucket] = (context, seconds, time())


class NoopPaymentHandle(PaymentHandle):
    """Takes a payment that cannot be recorded. Its drop was counted when it started."""

    __slots__ = ()

    def __init__(self, drops: DropCounter, clock: Callable[[], float]) -> None:
        super().__init__((), drops=drops, clock=clock)
        self.rebind(PointStore(), [0], [0], nullcontext())

    def finish(
        self, seconds: float, outcome: str, provider: str = NO_PROVIDER, fee_micro_units: float = 0
    ) -> None:
        """Do nothing."""

    def drop(self, reason: DropReason) -> None:
        """Do nothing; the drop was counted before."""

    def count_drop(self, reason: DropReason) -> None:
        """Do nothing; the drop was counted before."""
