"""Recording one payment: one bucket increment is the histogram, the outcome count and the end of in-flight.

The cells are keyed by the union of the labels of the three metrics and summed at scrape.
"""

from bisect import bisect_left
from collections.abc import Callable
from types import TracebackType
from typing import Self

from moneypath.telemetry.catalogue.metric import MetricSpec
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, DropReason, Outcome
from moneypath.telemetry.errors import CatalogueInvalid
from moneypath.telemetry.exposition.samples import Cells, Key
from moneypath.telemetry.recording.cells import Drops, bisect_edges

COUNTER = "moneypath_payments_total"
HISTOGRAM = "moneypath_payment_duration_seconds"
GAUGE = "moneypath_payments_in_flight"
UNION = ("operation", "outcome", "provider", "traffic", "cohort")


class PaymentBook:
    """Keep the cells of all payments of a process."""

    __slots__ = (
        *("_allowed", "_counter_picks", "_drops", "_frozen", "_histogram_picks", "_lost_frozen"),
        *("_started_frozen", "cells", "clock", "edges", "lost", "started"),
    )

    def __init__(
        self, counter: MetricSpec, histogram: MetricSpec, drops: Drops, clock: Callable[[], float]
    ) -> None:
        _refuse_other_labels(counter, UNION)
        _refuse_other_labels(histogram, ("operation", "outcome"))
        self.cells: dict[Key, Cells] = {}
        self.clock = clock
        self.edges = bisect_edges(histogram)
        operations = counter.labels["operation"]
        self.started = {operation: [0] for operation in operations}
        # Begun, ended, yet not recorded, because a label was not declared or nobody finished it.
        self.lost = {operation: [0] for operation in operations}
        self._allowed = [
            dict(zip(values, values, strict=True)) for values in map(counter.labels.__getitem__, UNION)
        ]
        self._drops = drops
        self._counter_picks = [UNION.index(label) for label in counter.labels]
        self._histogram_picks = [UNION.index(label) for label in histogram.labels]
        self._frozen: dict[Key, Cells] = {}
        self._started_frozen: dict[str, int] = {}
        self._lost_frozen: dict[str, int] = {}

    def drop(self, operation: str, reason: DropReason) -> None:
        """Count a payment that began and cannot be recorded; it is no longer in flight."""
        self._drops.count(reason)
        self.lost[operation][0] += 1

    def count_drop(self, reason: DropReason) -> None:
        """Count a refused call that leaves the number in flight alone."""
        self._drops.count(reason)

    def resolve(self, key: Key) -> Cells | None:
        """Return the cells of a combination used for the first time, or None if it is not declared."""
        try:
            declared = tuple(allowed[value] for value, allowed in zip(key, self._allowed, strict=True))
        except (KeyError, TypeError):
            return None
        return self.cells.setdefault(declared, [0.0] + [0] * len(self.edges))

    def freeze(self) -> None:
        """Copy all cells at once, so that one exposition tells one story.

        What ended is read before what started: in flight may be one too many, never below 0.
        """
        self._frozen = {key: cells.copy() for key, cells in self.cells.copy().items()}
        self._lost_frozen = {operation: cell[0] for operation, cell in self.lost.items()}
        self._started_frozen = {operation: cell[0] for operation, cell in self.started.items()}

    def payments(self) -> dict[Key, float]:
        """Return the frozen count of each combination of the counter's labels."""
        picks = self._counter_picks
        return {tuple(key[i] for i in picks): sum(cells[1:]) for key, cells in self._frozen.items()}

    def durations(self) -> dict[Key, Cells]:
        """Return the frozen histogram cells, summed over the labels that the histogram lacks."""
        totals: dict[Key, Cells] = {}
        for key, cells in self._frozen.items():
            short = tuple(key[i] for i in self._histogram_picks)
            known = totals.get(short)
            totals[short] = cells if known is None else [a + b for a, b in zip(known, cells, strict=True)]
        return totals

    def in_flight(self) -> dict[Key, float]:
        """Return how many payments of each operation have begun and not ended, frozen."""
        ended = dict(self._lost_frozen)
        for key, cells in self._frozen.items():
            ended[key[0]] += int(sum(cells[1:]))
        return {(operation,): count - ended[operation] for operation, count in self._started_frozen.items()}

    def records(self) -> float:
        """Return the frozen number of recorded payments."""
        return sum(sum(cells[1:]) for cells in self._frozen.values())


class PaymentRecord:
    """Time one payment operation: enter, `finish` once with its outcome, leave."""

    __slots__ = ("_begun", "_book", "_cohort", "_operation", "_since", "_traffic")

    def __init__(
        self, book: PaymentBook, operation: str, traffic: str, cohort: str, since: float | None
    ) -> None:
        self._book = book
        self._operation = operation
        self._traffic = traffic
        self._cohort = cohort
        self._since = since
        self._begun: float | None = None

    def __enter__(self) -> Self:
        book = self._book
        try:
            book.started[self._operation][0] += 1
        except (KeyError, TypeError):
            book.count_drop(DropReason.UNKNOWN_VALUE)
            return self
        self._begun = book.clock() if self._since is None else self._since
        return self

    def finish(self, outcome: str, provider: str = NO_PROVIDER) -> None:
        """Record how the operation ended and which provider gave the final answer.

        Never raises. Labels that are not declared and a second call are counted as dropped.
        """
        begun = self._begun
        book = self._book
        if begun is None:
            # An operation that is not declared was counted when it began.
            if isinstance(self._operation, str) and self._operation in book.started:
                book.count_drop(DropReason.FINISHED_TWICE)
            return
        seconds = book.clock() - begun
        self._begun = None
        key = (self._operation, outcome, provider, self._traffic, self._cohort)
        try:
            cells = book.cells[key]
        except (KeyError, TypeError):
            resolved = book.resolve(key)
            if resolved is None:
                book.drop(self._operation, DropReason.UNKNOWN_VALUE)
                return
            cells = resolved
        cells[0] += seconds
        cells[bisect_left(book.edges, seconds)] += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._begun is None:
            return
        if kind is not None:
            self.finish(Outcome.FAILED, NO_PROVIDER)
        else:
            # Left in peace without an outcome: naming one would be a guess, so the gap itself is counted.
            self._begun = None
            self._book.drop(self._operation, DropReason.UNFINISHED)


class UnrecordedPayment(PaymentRecord):
    """Stand in where a service records no payments: every use is one drop, nothing breaks."""

    __slots__ = ("_drops",)

    def __init__(self, drops: Drops) -> None:
        self._drops = drops

    def __enter__(self) -> Self:
        self._drops.count(DropReason.UNKNOWN_METRIC)
        return self

    def finish(self, outcome: str, provider: str = NO_PROVIDER) -> None:
        """Take the outcome and keep nothing of it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def _refuse_other_labels(spec: MetricSpec, expected: tuple[str, ...]) -> None:
    if set(spec.labels) != set(expected):
        raise CatalogueInvalid(
            f"metric {spec.name}: labels {list(spec.labels)} cannot be recorded as a payment",
            hint=f"expected: {', '.join(expected)}",
        )
