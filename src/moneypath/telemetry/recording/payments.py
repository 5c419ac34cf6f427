"""The cells of all payments of a process, and the four metrics that a scrape makes of them."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from moneypath.telemetry.catalogue.metric import MetricSpec
from moneypath.telemetry.catalogue.vocabulary import CostComponent, DropReason
from moneypath.telemetry.errors import CatalogueInvalid
from moneypath.telemetry.exposition.samples import Cells, Exemplar, Exemplars, Key, ask_for_ids
from moneypath.telemetry.recording.cells import Drops
from moneypath.telemetry.recording.lanes import BUCKETS, FEE, SUM, PaymentLane
from moneypath.telemetry.recording.store import (
    DROPS,
    PAYMENTS,
    PAYMENTS_LOST,
    PAYMENTS_STARTED,
    CellStore,
    Source,
)

COUNTER = "moneypath_payments_total"
HISTOGRAM = "moneypath_payment_duration_seconds"
GAUGE = "moneypath_payments_in_flight"
COST = "moneypath_cost_micro_units_total"
UNION = ("operation", "outcome", "provider", "traffic", "cohort")

# By traffic, cohort and operation.
Lanes = dict[str, dict[str, dict[str, PaymentLane]]]


@dataclass(frozen=True, slots=True)
class PaymentSpecs:
    """Hold the metrics that a payment is recorded in; raises CatalogueInvalid if their labels do not fit.

    Without `cost` a service counts no fees.
    """

    counter: MetricSpec
    histogram: MetricSpec
    cost: MetricSpec | None

    def __post_init__(self) -> None:
        _refuse_other_labels(self.counter, UNION)
        _refuse_other_labels(self.histogram, ("operation", "outcome"))
        if self.cost is not None:
            _refuse_other_labels(self.cost, ("component", "provider"))
            missing = {*self.counter.labels["provider"]} - {*self.cost.labels["provider"]}
            if missing or CostComponent.PROVIDER_FEE not in self.cost.labels["component"]:
                raise CatalogueInvalid(
                    f"metric {self.cost.name}: lacks {CostComponent.PROVIDER_FEE} of {sorted(missing)}",
                    hint=f"a provider of {self.counter.name} may take a fee",
                )


class PaymentBook:
    """Keep the lanes of a process, and read what they recorded."""

    __slots__ = ("_specs", "_store", "lanes")

    def __init__(
        self,
        specs: PaymentSpecs,
        drops: Drops,
        clock: Callable[[], float],
        store: CellStore,
        lane: type[PaymentLane] = PaymentLane,
    ) -> None:
        self._specs = specs
        labels = specs.counter.labels

        def make(operation: str, traffic: str, cohort: str) -> PaymentLane:
            return lane(
                (operation, traffic, cohort),
                outcomes=labels["outcome"],
                providers=labels["provider"],
                buckets=specs.histogram.buckets,
                drops=drops,
                clock=clock,
                takes_fees=specs.cost is not None,
            )

        self.lanes: Lanes = {
            traffic: {
                cohort: {operation: make(operation, traffic, cohort) for operation in labels["operation"]}
                for cohort in labels["cohort"]
            }
            for traffic in labels["traffic"]
        }
        self.rearm(store)

    def rearm(self, store: CellStore) -> None:
        """Record on from zero in cells of another store."""
        self._store = store
        for operation in self._specs.counter.labels["operation"]:
            lost = store.allocate(PAYMENTS_LOST, (operation,), (0,)) or [0]
            started = store.allocate(PAYMENTS_STARTED, (operation,), (0,)) or [0]
            # Reentrant, since finishing drops what it cannot take; new, since nobody releases a forked one.
            lock = threading.RLock()
            for lane in self._all():
                if lane.operation == operation:
                    lane.rebind(store, started, lost, lock)

    def freeze(self, source: Source | None = None) -> "FrozenPayments":
        """Copy all cells at once, so that one exposition tells one story.

        What ended is read before what started: in flight may be one too many, never below 0.
        """
        kept = [item for lane in self._all() for item in lane.exemplars.copy().items()]
        # A header that was believed unread may turn out to name no trace.
        exemplars = {key: asked for key, found in kept if (asked := ask_for_ids(found))}
        source = source or self._store
        rows, lost, started = map(source.copy_of, (PAYMENTS, PAYMENTS_LOST, PAYMENTS_STARTED))
        return FrozenPayments(self._specs, rows, lost, started, exemplars)

    def _all(self) -> Iterator[PaymentLane]:
        for cohorts in self.lanes.values():
            for operations in cohorts.values():
                yield from operations.values()


@dataclass(frozen=True, slots=True)
class FrozenPayments:
    """Hold a copy of the cells of all payments, and make metrics of it."""

    specs: PaymentSpecs
    rows: dict[Key, Cells]
    lost: dict[Key, Cells]
    started: dict[Key, Cells]
    kept: dict[Key, Exemplars]

    def payments(self) -> dict[Key, float]:
        """Return the count of each combination of the counter's labels."""
        picks = _picks(self.specs.counter)
        return {tuple(key[i] for i in picks): float(sum(cells[BUCKETS:])) for key, cells in self.rows.items()}

    def durations(self) -> dict[Key, Cells]:
        """Return histogram cells, summed over the labels that the histogram lacks."""
        picks = _picks(self.specs.histogram)
        totals: dict[Key, Cells] = {}
        for key, row in self.rows.items():
            short = tuple(key[i] for i in picks)
            cells = [row[SUM], *row[BUCKETS:]]
            known = totals.get(short)
            totals[short] = cells if known is None else [a + b for a, b in zip(known, cells, strict=True)]
        return totals

    def in_flight(self) -> dict[Key, float]:
        """Return how many payments of each operation have begun and not ended."""
        ended = {key: cells[0] for key, cells in self.lost.items()}
        for key, cells in self.rows.items():
            ended[key[:1]] += sum(cells[BUCKETS:])
        return {key: int(cells[0] - ended[key]) for key, cells in self.started.items()}

    def fees(self) -> dict[Key, float]:
        """Return the fees that each provider took, by the labels of the cost metric."""
        totals: dict[str, float] = {}
        for key, row in self.rows.items():
            if row[FEE]:
                totals[key[2]] = totals.get(key[2], 0.0) + row[FEE]
        component = CostComponent.PROVIDER_FEE.value
        if self.specs.cost is None or next(iter(self.specs.cost.labels)) == "component":
            return {(component, provider): fee for provider, fee in totals.items()}
        return {(provider, component): fee for provider, fee in totals.items()}

    def records(self) -> float:
        """Return the number of recorded payments."""
        return sum(sum(cells[BUCKETS:]) for cells in self.rows.values())

    def payment_exemplars(self) -> dict[Key, Exemplars]:
        """Return the newest exemplar of each combination of the counter; each counts 1."""
        picks = _picks(self.specs.counter)
        newest = {key: max(kept.values(), key=_when) for key, kept in self.kept.items()}
        return {tuple(key[i] for i in picks): {0: (trace, 1.0, at)} for key, (trace, _, at) in newest.items()}

    def duration_exemplars(self) -> dict[Key, Exemplars]:
        """Return the newest exemplar of each bucket of the histogram."""
        picks = _picks(self.specs.histogram)
        merged: dict[Key, Exemplars] = {}
        for key, kept in self.kept.items():
            into = merged.setdefault(tuple(key[i] for i in picks), {})
            for cell, exemplar in kept.items():
                # A row has the fee before its buckets, a histogram has not.
                place = cell - BUCKETS + 1
                into[place] = max(into.get(place, exemplar), exemplar, key=_when)
        return merged


def settle(slots: dict[str, dict[Key, Cells]], *, dead: bool) -> None:
    """Bring one worker's copied cells in order, so that they can be added to those of others.

    What a dead worker began and did not end is in flight no longer: it is lost, and counted as dropped
    for being unfinished. What a worker ended and did not begin, it began while it was being read, or its
    parent did before the fork: it is not in flight, and never below 0.
    """
    started = slots.get(PAYMENTS_STARTED, {})
    ended = {key[0]: cells[0] for key, cells in slots.get(PAYMENTS_LOST, {}).items()}
    for key, cells in slots.get(PAYMENTS, {}).items():
        ended[key[0]] = ended.get(key[0], 0) + sum(cells[BUCKETS:])
    for key, cells in started.items():
        unfinished = cells[0] - ended.get(key[0], 0)
        if unfinished < 0:
            cells[0] -= unfinished
        elif unfinished and dead:
            slots[PAYMENTS_LOST].setdefault(key, [0.0])[0] += unfinished
            slots[DROPS].setdefault((DropReason.UNFINISHED.value,), [0.0])[0] += unfinished


def _when(exemplar: Exemplar) -> float:
    return exemplar[2]


def _picks(spec: MetricSpec) -> list[int]:
    return [UNION.index(label) for label in spec.labels]


def _refuse_other_labels(spec: MetricSpec, expected: tuple[str, ...]) -> None:
    if set(spec.labels) != set(expected):
        raise CatalogueInvalid(
            f"metric {spec.name}: labels {list(spec.labels)} cannot be recorded as a payment",
            hint=f"expected: {', '.join(expected)}",
        )
