"""The data point of a gauge: exact for floats and whole numbers, with the time it was set.

A double is exact for whole numbers up to 2**53 only, and a gauge of money may be larger. So a whole number
is stored as the nearest double plus the remainder, which is a double too. The time decides which of several
workers set the gauge last. The sequence number is odd during a write, so that a reader in another process
can detect a half-written value.
"""

from collections.abc import Iterable
from operator import itemgetter
from time import monotonic

from moneypath.telemetry.catalogue.metric import Merge
from moneypath.telemetry.exposition.samples import DataPoint
from moneypath.telemetry.recording.store import LivePoint

VALUE, RECORDS, REST, KIND, SET_AT, SEQUENCE = range(6)
SIZE = 6
ZERO = (0.0,) * SIZE
ABSENT = float("nan")

_NEVER_SET, _FLOAT, _WHOLE, _CLEARED = range(4)


def write(point: LivePoint, value: float | None) -> None:
    """Set the value; None means unknown. A value must be finite and within 2**63."""
    if value is None:
        near, rest, kind, records = 0.0, 0.0, _CLEARED, 0
    elif isinstance(value, int):
        near = float(value)
        rest, kind, records = float(int(value) - int(near)), _WHOLE, 1
    else:
        near, rest, kind, records = float(value), 0.0, _FLOAT, 1
    now = monotonic()
    # No calls from here on, so no thread switch happens and two writers do not interleave.
    point[SEQUENCE] += 1
    point[VALUE] = near
    point[REST] = rest
    point[KIND] = kind
    point[SET_AT] = now
    point[RECORDS] += records
    point[SEQUENCE] += 1


def value_of(point: DataPoint) -> float:
    """Return the value, as an int if it is a whole number; NaN if it is absent."""
    kind = point[KIND]
    if kind == _WHOLE:
        return int(point[VALUE]) + int(point[REST])
    return point[VALUE] if kind == _FLOAT else ABSENT


def merge(rule: Merge, live: Iterable[DataPoint], records: float) -> DataPoint:
    """Merge the gauges of all live workers into one.

    `records` is the count over all workers, exited ones included.
    """
    candidates: list[DataPoint] = [point for point in live if point[KIND] != _NEVER_SET]
    merged: DataPoint = list(ZERO)
    if candidates and rule is Merge.LATEST:
        merged = max(candidates, key=itemgetter(SET_AT)).copy()
    elif candidates:
        known = [value_of(point) for point in candidates if point[KIND] != _CLEARED]
        if known:
            write(merged, max(known) if rule is Merge.MAX else sum(known))
    merged[RECORDS] = records
    return merged
