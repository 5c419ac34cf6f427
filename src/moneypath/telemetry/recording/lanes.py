"""Recording one payment: one bucket increment is the histogram, the outcome count and the end of in-flight.

What is known when a payment begins leads to its lane, what is known when it ends to a row of that lane, in
which sum, fee and buckets stand side by side; a scrape makes the four metrics of them. Labels are
looked up one after the other: a tuple of all five would have to be built and hashed at every call.
"""

from bisect import bisect_left
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import time
from types import TracebackType
from typing import Self

from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, DropReason
from moneypath.telemetry.correlation.context import Active
from moneypath.telemetry.exposition.samples import KeptExemplars, Key
from moneypath.telemetry.recording.cells import ANY_ERROR, LARGEST, Drops, active
from moneypath.telemetry.recording.endings import outcome_of
from moneypath.telemetry.recording.store import PAYMENTS, CellStore, LiveCells

# The cells of a row: the sum of seconds, the sum of fees, one count a bucket, +Inf last.
SUM, FEE, BUCKETS = 0, 1, 2
# A number without any bit from here on is an int, not negative, and no more than a fee may well be.
FEE_BITS = 30


def row_edges(buckets: tuple[float, ...]) -> tuple[float, ...]:
    """Return edges among which `bisect_left` finds the cell of a row.

    What is no duration falls outside of the buckets: NaN before -Inf, a negative number before the
    one next to 0, an absurd one behind the last.
    """
    return (float("-inf"), -5e-324, *buckets, LARGEST)


class PaymentLane:
    """Take the payments of one operation, traffic and cohort; `Recorder.begin` returns it.

    Cells are held by `started`, `lost` and `rows` alone; `rebind` puts others in their place.
    """

    __slots__ = (
        *("_drops", "_edges", "_fee_bits", "_key", "_last", "_outcomes", "_providers", "_store"),
        *("clock", "exemplars", "lost", "rows", "started"),
    )

    started: LiveCells
    lost: LiveCells
    rows: dict[str, dict[str, LiveCells]]
    # By the key of a row and the place of a bucket in it.
    exemplars: dict[Key, KeptExemplars]

    def __init__(
        self,
        key: Key,
        *,
        outcomes: tuple[str, ...] = (),
        providers: tuple[str, ...] = (),
        buckets: tuple[float, ...] = (),
        drops: Drops,
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
        """Return what was asked for."""
        return self._key[0]

    def rebind(
        self,
        store: CellStore,
        started: LiveCells,
        lost: LiveCells,
        lock: AbstractContextManager[object],  # noqa: ARG002 - where there is no GIL
    ) -> None:
        """Record in other cells from now on; a row is asked for when its first payment ends.

        Lanes of one operation have `started`, `lost` and `lock` in common.
        """
        self.exemplars = {}
        self.lost = lost
        self.rows = {outcome: {} for outcome in self._outcomes}
        self.started = started
        self._store = store

    def start(self) -> None:
        """Count a payment that begins."""
        self.started[0] += 1.0

    def finish(
        self, seconds: float, outcome: str, provider: str = NO_PROVIDER, fee_micro_units: float = 0
    ) -> None:
        """Record how a payment that `begin` counted ended: once for each, which nothing checks here.

        `seconds` is what it took, `provider` who gave the final answer, `fee_micro_units` what that
        provider takes for it in millionths of the reporting currency. Never raises: labels that are not
        declared and seconds that are no duration drop the payment, a bad fee drops the fee; both are counted.
        """
        try:
            cells = self.rows[outcome][provider]
        except ANY_ERROR:
            opened = self._open_row(outcome, provider)
            if isinstance(opened, DropReason):
                self.drop(opened)
                return
            cells = opened
        try:
            bucket = bisect_left(self._edges, seconds)
            if not 2 <= bucket <= self._last:
                self._drop_number(seconds)
                return
            cells[0] += seconds
            cells[bucket] += 1.0
        except ANY_ERROR:
            self._drop_number(seconds)
            return
        try:
            if fee_micro_units:
                # One operation tells an ordinary fee from a float, a negative and an absurd one.
                if fee_micro_units >> self._fee_bits:  # type: ignore[operator]
                    self._add_fee(cells, fee_micro_units)
                else:
                    cells[1] += fee_micro_units
        except ANY_ERROR:
            self._add_fee(cells, fee_micro_units)
        context = active()
        if context is not None and context.sampled:
            self._keep_exemplar(outcome, provider, bucket, seconds, context)

    def drop(self, reason: DropReason) -> None:
        """Count a payment that began and cannot be recorded; it is no longer in flight."""
        self._drops.count(reason)
        self.lost[0] += 1

    def count_drop(self, reason: DropReason) -> None:
        """Count a refused call that leaves the number in flight alone."""
        self._drops.count(reason)

    def _drop_number(self, seconds: object) -> None:
        self._drops.count_number(seconds)
        self.lost[0] += 1

    def _open_row(self, outcome: str, provider: str) -> LiveCells | DropReason:
        try:
            rows, key = self.rows[outcome], self._row_key(outcome, provider)
        except ANY_ERROR:
            return DropReason.UNKNOWN_VALUE
        zero = (0.0, 0, *[0] * (len(self._edges) - BUCKETS))
        cells = self._store.allocate(PAYMENTS, key, zero)
        # setdefault: two threads that meet here get the same cells.
        return DropReason.SERIES_BUDGET if cells is None else rows.setdefault(key[2], cells)

    def _row_key(self, outcome: str, provider: str) -> Key:
        operation, traffic, cohort = self._key
        return (operation, self._outcomes[outcome], self._providers[provider], traffic, cohort)

    def _add_fee(self, cells: LiveCells, fee_micro_units: object) -> None:
        """Add a fee that is a float or a large one; drop one that is no amount or has no metric."""
        if not self._fee_bits:
            self._drops.count(DropReason.UNKNOWN_METRIC)
            return
        try:
            if isinstance(fee_micro_units, int | float) and 0 <= fee_micro_units <= LARGEST:
                cells[FEE] += fee_micro_units
                return
        except ANY_ERROR:
            pass
        self._drops.count_number(fee_micro_units)

    def _keep_exemplar(
        self, outcome: str, provider: str, bucket: int, seconds: float, context: Active
    ) -> None:
        kept = self.exemplars.setdefault(self._row_key(outcome, provider), {})
        kept[bucket] = (context, seconds, time())


class NoLane(PaymentLane):
    """Stand in where a payment cannot be recorded, which was counted when it began."""

    __slots__ = ()

    def __init__(self, drops: Drops, clock: Callable[[], float]) -> None:
        super().__init__((), drops=drops, clock=clock)
        self.rebind(CellStore(), [0], [0], nullcontext())

    def finish(
        self, seconds: float, outcome: str, provider: str = NO_PROVIDER, fee_micro_units: float = 0
    ) -> None:
        """Take the outcome and keep nothing of it."""

    def drop(self, reason: DropReason) -> None:
        """Count nothing twice."""

    def count_drop(self, reason: DropReason) -> None:
        """Count nothing twice."""


class PaymentRecord:
    """Time one payment operation: enter, `finish` once with its outcome, leave.

    Made by `Recorder.payment`, which fills it in: an `__init__` would cost a frame more.
    """

    __slots__ = ("begun", "lane", "since")

    lane: PaymentLane
    since: float | None
    # None before the block and after `finish`.
    begun: float | None

    def __enter__(self) -> Self:
        lane = self.lane
        lane.started[0] += 1.0
        clock = lane.clock
        self.begun = clock() if self.since is None else self.since
        return self

    def finish(self, outcome: str, provider: str = NO_PROVIDER, fee_micro_units: float = 0) -> None:
        """Record how the operation ended and which provider gave the final answer, for which fee.

        The fee is in millionths of the reporting currency. Never raises: labels that are not declared, a
        bad fee and a second call are counted as dropped.
        """
        begun = self.begun
        lane = self.lane
        if begun is None:
            lane.count_drop(DropReason.FINISHED_TWICE)
            return
        # Before any call, at which another thread might come and finish too.
        self.begun = None
        clock = lane.clock
        try:
            seconds = clock() - begun
        except ANY_ERROR:
            seconds = begun
        lane.finish(seconds, outcome, provider, fee_micro_units)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.begun is None:
            return
        if kind is not None:
            self.finish(outcome_of(error), NO_PROVIDER)
        else:
            # Left in peace without an outcome: naming one would be a guess, so the gap itself is counted.
            self.begun = None
            self.lane.drop(DropReason.UNFINISHED)
