"""How a gauge keeps its value: exact whether it is a float or a whole number, and dated.

A double holds whole numbers only up to 2**53. A gauge of money may be larger, so a whole number is
kept as the nearest double and the rest, which a double holds too. The date tells which of several
workers spoke last; the sequence is odd while a write is under way, for those who read from outside.
"""

from collections.abc import Iterable
from operator import itemgetter
from time import monotonic

from moneypath.telemetry.catalogue.metric import Merge
from moneypath.telemetry.exposition.samples import Cells
from moneypath.telemetry.recording.store import LiveCells

VALUE, RECORDS, REST, KIND, SET_AT, SEQUENCE = range(6)
SIZE = 6
ZERO = (0.0,) * SIZE
ABSENT = float("nan")

_NEVER_SET, _FLOAT, _WHOLE, _CLEARED = range(4)


def write(cells: LiveCells, value: float | None) -> None:
    """Set the value, or None: it is not known. The value is finite and within 2**63."""
    if value is None:
        near, rest, kind, records = 0.0, 0.0, _CLEARED, 0
    elif isinstance(value, int):
        near = float(value)
        rest, kind, records = float(int(value) - int(near)), _WHOLE, 1
    else:
        near, rest, kind, records = float(value), 0.0, _FLOAT, 1
    now = monotonic()
    # No call from here on: no thread is switched in between, so two writers do not mix.
    cells[SEQUENCE] += 1
    cells[VALUE] = near
    cells[REST] = rest
    cells[KIND] = kind
    cells[SET_AT] = now
    cells[RECORDS] += records
    cells[SEQUENCE] += 1


def value_of(cells: Cells) -> float:
    """Return the value, a whole number as an int; NaN if it is absent."""
    kind = cells[KIND]
    if kind == _WHOLE:
        return int(cells[VALUE]) + int(cells[REST])
    return cells[VALUE] if kind == _FLOAT else ABSENT


def merge(rule: Merge, live: Iterable[Cells], records: float) -> Cells:
    """Make one gauge of those of the live workers; `records` counts those of all workers that ever were."""
    candidates: list[Cells] = [cells for cells in live if cells[KIND] != _NEVER_SET]
    merged: Cells = list(ZERO)
    if candidates and rule is Merge.LATEST:
        merged = max(candidates, key=itemgetter(SET_AT)).copy()
    elif candidates:
        known = [value_of(cells) for cells in candidates if cells[KIND] != _CLEARED]
        if known:
            write(merged, max(known) if rule is Merge.MAX else sum(known))
    merged[RECORDS] = records
    return merged
