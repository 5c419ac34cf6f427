"""The layout of a worker file: for each slot the size of a row, the valid keys and the number of rows."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.metric import VALUE_LENGTH_LIMIT, Merge, MetricKind, MetricSpec
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.recording import gauges, payment_handles, payment_instrument, store

# The brackets, commas, position and size in a key line, besides the name and the values.
LINE_OVERHEAD_BYTES = 40
LONGEST_CHARACTER_BYTES = 4


@dataclass(frozen=True, slots=True)
class SlotLayout:
    """The layout of one slot. `labels` has the values of each label; an empty set allows any short text."""

    name: str
    size: int
    labels: tuple[frozenset[str], ...]
    rows: int
    gauge: Merge | None = None

    @property
    def longest_line_bytes(self) -> int:
        """Return the size of the longest possible key line."""
        open_label = VALUE_LENGTH_LIMIT * LONGEST_CHARACTER_BYTES
        lengths = [max((len(json.dumps(v)) for v in values), default=open_label) for values in self.labels]
        return len(self.name) + sum(lengths) + len(lengths) + LINE_OVERHEAD_BYTES

    def allows(self, key: tuple[object, ...]) -> bool:
        """Return whether a key that was read from a file is valid."""
        return len(key) == len(self.labels) and all(
            isinstance(value, str) and (value in values if values else _is_plain(value))
            for value, values in zip(key, self.labels, strict=True)
        )


def _is_plain(value: str) -> bool:
    return 0 < len(value) <= VALUE_LENGTH_LIMIT and value.isprintable()


def layout_of(catalogue: Catalogue) -> dict[str, SlotLayout]:
    """Return the layout of every slot that a worker with this catalogue can write."""
    slots = [_metric_slot(spec) for spec in catalogue]
    reasons = frozenset(reason.value for reason in DropReason)
    slots.append(SlotLayout(store.DROPS, 1, (reasons,), len(reasons)))
    if {payment_handles.COUNTER, payment_instrument.HISTOGRAM} <= catalogue.metrics.keys():
        slots += _payment_slots(catalogue[payment_handles.COUNTER], catalogue[payment_instrument.HISTOGRAM])
    return {slot.name: slot for slot in slots}


def slots_of(layout: Mapping[str, SlotLayout], metrics: Iterable[str]) -> list[SlotLayout]:
    """Return the layouts of the slots that a service with these metrics needs."""
    names = {*metrics, store.DROPS}
    if payment_handles.COUNTER in names:
        names |= {store.PAYMENTS, store.PAYMENTS_STARTED, store.PAYMENTS_LOST}
    return [slot for name, slot in layout.items() if name in names]


def _metric_slot(spec: MetricSpec) -> SlotLayout:
    size = {MetricKind.COUNTER: 2, MetricKind.GAUGE: gauges.SIZE}.get(spec.kind, len(spec.buckets) + 2)
    rows = max(1, spec.series_budget // spec.series_per_combination)
    if spec.is_closed:
        rows = min(rows, math.prod(map(len, spec.labels.values())))
    merge = spec.merge if spec.kind is MetricKind.GAUGE else None
    return SlotLayout(spec.name, size, tuple(map(frozenset, spec.labels.values())), rows, merge)


def _payment_slots(counter: MetricSpec, histogram: MetricSpec) -> list[SlotLayout]:
    if set(counter.labels) != set(payment_instrument.UNION):
        return []
    labels = tuple(frozenset(counter.labels[name]) for name in payment_instrument.UNION)
    operations = labels[:1]
    rows = math.prod(map(len, labels))
    return [
        SlotLayout(store.PAYMENTS, payment_handles.BUCKETS + len(histogram.buckets) + 1, labels, rows),
        SlotLayout(store.PAYMENTS_LOST, 1, operations, len(operations[0])),
        SlotLayout(store.PAYMENTS_STARTED, 1, operations, len(operations[0])),
    ]
