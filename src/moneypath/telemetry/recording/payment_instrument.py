"""The data points of all payments of a process, and the four metrics that a scrape computes from them."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from moneypath.telemetry.catalogue.metric import MetricSpec
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, Cohort, CostComponent, Outcome, Traffic
from moneypath.telemetry.errors import CatalogueInvalid
from moneypath.telemetry.exposition.samples import (
    DataPoint,
    Exemplar,
    Exemplars,
    LabelValues,
    collect_exemplars,
)
from moneypath.telemetry.recording.frozen_points import NO_POINTS, Frozen, FrozenPoints
from moneypath.telemetry.recording.handles import DropCounter
from moneypath.telemetry.recording.payment_handles import BUCKETS, FEE, SUM, PaymentHandle
from moneypath.telemetry.recording.store import PAYMENTS, PAYMENTS_LOST, PAYMENTS_STARTED, PointStore

HISTOGRAM = "moneypath_payment_duration_seconds"
GAUGE = "moneypath_payments_in_flight"
COST = "moneypath_cost_micro_units_total"
UNION = ("operation", "outcome", "provider", "traffic", "cohort")

# What follows the operation in the key of payments that a worker left open.
_ABANDONED = (Outcome.INDETERMINATE.value, NO_PROVIDER, Traffic.LIVE.value, Cohort.CONTROL.value)

# By traffic, cohort and operation.
PaymentHandles = dict[str, dict[str, dict[str, PaymentHandle]]]


@dataclass(frozen=True, slots=True)
class PaymentSpecs:
    """The metrics in which a payment is recorded. Raises CatalogueInvalid if their labels do not match.

    Without `cost` no fees are counted.
    """

    counter: MetricSpec
    histogram: MetricSpec
    cost: MetricSpec | None

    def __post_init__(self) -> None:
        _require_labels(self.counter, UNION)
        _require_labels(self.histogram, ("operation", "outcome"))
        if self.cost is not None:
            _require_labels(self.cost, ("component", "provider"))
            missing = {*self.counter.labels["provider"]} - {*self.cost.labels["provider"]}
            if missing or CostComponent.PROVIDER_FEE not in self.cost.labels["component"]:
                raise CatalogueInvalid(
                    f"Metric {self.cost.name} lacks {CostComponent.PROVIDER_FEE} for {sorted(missing)}.",
                    hint=f"Declare every provider of {self.counter.name}, because each may charge a fee.",
                )


class PaymentInstrument:
    """The payment handles of a process, and the reading of what they recorded."""

    __slots__ = ("_specs", "handles")

    def __init__(
        self,
        specs: PaymentSpecs,
        drops: DropCounter,
        clock: Callable[[], float],
        store: PointStore,
        handle: type[PaymentHandle] = PaymentHandle,
    ) -> None:
        self._specs = specs
        labels = specs.counter.labels

        def make(operation: str, traffic: str, cohort: str) -> PaymentHandle:
            return handle(
                (operation, traffic, cohort),
                outcomes=labels["outcome"],
                providers=labels["provider"],
                buckets=specs.histogram.buckets,
                drops=drops,
                clock=clock,
                takes_fees=specs.cost is not None,
            )

        self.handles: PaymentHandles = {
            traffic: {
                cohort: {operation: make(operation, traffic, cohort) for operation in labels["operation"]}
                for cohort in labels["cohort"]
            }
            for traffic in labels["traffic"]
        }
        self.switch_store(store)

    def switch_store(self, store: PointStore) -> None:
        """Continue from zero in another store."""
        for operation in self._specs.counter.labels["operation"]:
            lost = store.allocate(PAYMENTS_LOST, (operation,), (0,)) or [0]
            started = store.allocate(PAYMENTS_STARTED, (operation,), (0,)) or [0]
            # Reentrant, because `finish` calls `drop`. New, because a lock copied by a fork is never
            # released.
            lock = threading.RLock()
            for handle in self._all():
                if handle.operation == operation:
                    handle.rebind(store, started, lost, lock)

    def snapshot(self, points: Frozen) -> "PaymentSnapshot":
        """Return what was recorded until the data points were copied."""
        reservoirs = [item for handle in self._all() for item in handle.exemplars.copy().items()]
        # A header that was trusted unparsed may turn out to be malformed.
        exemplars = {key: collected for key, found in reservoirs if (collected := collect_exemplars(found))}
        slots = (PAYMENTS, PAYMENTS_LOST, PAYMENTS_STARTED)
        rows, lost, started = (points.get(slot, NO_POINTS) for slot in slots)
        return PaymentSnapshot(self._specs, rows, lost, started, exemplars)

    def _all(self) -> Iterator[PaymentHandle]:
        for cohorts in self.handles.values():
            for operations in cohorts.values():
                yield from operations.values()


@dataclass(frozen=True, slots=True)
class PaymentSnapshot:
    """A copy of the data points of all payments, from which metrics are computed."""

    specs: PaymentSpecs
    rows: FrozenPoints
    lost: FrozenPoints
    started: FrozenPoints
    exemplars: dict[LabelValues, Exemplars]

    def payments(self) -> dict[LabelValues, float]:
        """Return the count for each label combination of the counter."""
        positions = _label_positions(self.specs.counter)
        return {
            tuple(key[i] for i in positions): float(sum(point[BUCKETS:])) for key, point in self.rows.items()
        }

    def durations(self) -> dict[LabelValues, DataPoint]:
        """Return the data points of the histogram, summed over the labels that it does not have."""
        positions = _label_positions(self.specs.histogram)
        totals: dict[LabelValues, DataPoint] = {}
        for key, row in self.rows.items():
            short = tuple(key[i] for i in positions)
            point = [row[SUM], *row[BUCKETS:]]
            known = totals.get(short)
            totals[short] = point if known is None else [a + b for a, b in zip(known, point, strict=True)]
        return totals

    def in_flight(self) -> dict[LabelValues, float]:
        """Return for each operation how many payments have started and not ended."""
        ended = {key: point[0] for key, point in self.lost.items()}
        for key, point in self.rows.items():
            ended[key[:1]] += sum(point[BUCKETS:])
        return {key: int(point[0] - ended[key]) for key, point in self.started.items()}

    def fees(self) -> dict[LabelValues, float]:
        """Return the fees of each provider, by the labels of the cost metric."""
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
        return sum(sum(point[BUCKETS:]) for point in self.rows.values())

    def payment_exemplars(self) -> dict[LabelValues, Exemplars]:
        """Return the newest exemplar for each label combination of the counter. Each counts 1."""
        positions = _label_positions(self.specs.counter)
        newest = {key: max(found.values(), key=_recorded_at) for key, found in self.exemplars.items()}
        return {
            tuple(key[i] for i in positions): {0: (trace, 1.0, at)} for key, (trace, _, at) in newest.items()
        }

    def duration_exemplars(self) -> dict[LabelValues, Exemplars]:
        """Return the newest exemplar of each bucket of the histogram."""
        positions = _label_positions(self.specs.histogram)
        merged: dict[LabelValues, Exemplars] = {}
        for key, found in self.exemplars.items():
            into = merged.setdefault(tuple(key[i] for i in positions), {})
            for value, exemplar in found.items():
                # A payment's data point has the fee before the buckets, a histogram's has not.
                place = value - BUCKETS + 1
                into[place] = max(into.get(place, exemplar), exemplar, key=_recorded_at)
        return merged


def correct_in_flight(
    slots: dict[str, dict[LabelValues, DataPoint]], *, exited_row_size: int | None = None
) -> None:
    """Correct one worker's counts of started and ended payments before they are added to those of others.

    A worker can have ended payments that it did not start: they started while it was being read, or in its
    parent before the fork. They are not in flight, and never make the number negative.

    With `exited_row_size`, the size of a payment's data point, the worker has exited. What it started and did
    not end is `indeterminate` then, and nobody's failure but ours: counted with the live payments, because a
    start does not keep whose it was, and in the last bucket, because it was never answered.
    """
    ended = {key[0]: point[0] for key, point in slots.get(PAYMENTS_LOST, {}).items()}
    for key, point in slots.get(PAYMENTS, {}).items():
        ended[key[0]] = ended.get(key[0], 0) + sum(point[BUCKETS:])
    for (operation,), point in slots.get(PAYMENTS_STARTED, {}).items():
        unfinished = point[0] - ended.get(operation, 0)
        if unfinished < 0:
            point[0] -= unfinished
        elif unfinished and exited_row_size is not None:
            zero = [0.0] * exited_row_size
            slots.setdefault(PAYMENTS, {}).setdefault((operation, *_ABANDONED), zero)[-1] += unfinished


def _recorded_at(exemplar: Exemplar) -> float:
    return exemplar[2]


def _label_positions(spec: MetricSpec) -> list[int]:
    return [UNION.index(label) for label in spec.labels]


def _require_labels(spec: MetricSpec, expected: tuple[str, ...]) -> None:
    if set(spec.labels) != set(expected):
        raise CatalogueInvalid(
            f"Metric {spec.name} with labels {list(spec.labels)} cannot be recorded as a payment.",
            hint=f"Declare it with the labels {', '.join(expected)}.",
        )
