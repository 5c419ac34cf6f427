"""Exact sums of doubles, which do not depend on the order of adding.

A counter must never decrease, not even in its last bit: Prometheus would take that for a restart. A rounded
sum depends on the order, and the order changes when a worker exits. So the totals of exited workers are
stored as lists of doubles whose exact sum is the total (Shewchuk 1997). Rounding happens once, at the end.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum

from moneypath.telemetry.exposition.samples import DataPoint, LabelValues

# An exact sum: doubles that do not overlap, smallest first.
Exact = list[float]
ExactSlots = dict[str, dict[LabelValues, list[Exact]]]


def add(partials: Exact, value: float) -> Exact:
    """Add a value to an exact sum. Return the doubles of the new sum."""
    grown: Exact = []
    for partial in partials:
        large, small = (value, partial) if abs(value) >= abs(partial) else (partial, value)
        value = large + small
        rest = small - (value - large)
        if rest:
            grown.append(rest)
    return [*grown, value]


def add_rows(totals: ExactSlots, slots: Mapping[str, Mapping[LabelValues, DataPoint]]) -> None:
    """Add one worker's data points to the totals, in place."""
    for slot, rows in slots.items():
        sums = totals.setdefault(slot, {})
        for key, point in rows.items():
            known = sums.get(key)
            sums[key] = (
                [[value] for value in point]
                if known is None
                else [add(partials, value) for partials, value in zip(known, point, strict=True)]
            )


def rounded(partials: Sequence[Exact] | None, rows: Iterable[DataPoint]) -> DataPoint:
    """Return the sum of each number over exited and live workers, rounded once."""
    if partials is None:
        columns: Iterable[Sequence[float]] = zip(*rows, strict=True)
    else:
        columns = (
            (*exact, *live) for exact, live in zip(partials, _columns(rows, len(partials)), strict=True)
        )
    return [fsum(column) for column in columns]


def _columns(rows: Iterable[DataPoint], count: int) -> Iterable[Sequence[float]]:
    rows = list(rows)
    return zip(*rows, strict=True) if rows else [()] * count
