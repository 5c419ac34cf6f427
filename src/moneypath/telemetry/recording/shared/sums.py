"""Sums of doubles without any rounding, so that it does not matter who is added when.

A counter may never go back, not by the last bit either: to a scraper that is a restart. Rounded sums
depend on the order, and a worker that dies changes its place in it. So what is kept of the dead is a list
of doubles whose exact sum is theirs (Shewchuk 1997), and what is exposed is rounded once, at the end.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum

from moneypath.telemetry.exposition.samples import Cells, Key

# One exact sum: doubles that do not overlap, smallest first.
Exact = list[float]
ExactSlots = dict[str, dict[Key, list[Exact]]]


def add(partials: Exact, value: float) -> Exact:
    """Return the exact sum of one more value, as doubles that do not overlap."""
    grown: Exact = []
    for partial in partials:
        large, small = (value, partial) if abs(value) >= abs(partial) else (partial, value)
        value = large + small
        rest = small - (value - large)
        if rest:
            grown.append(rest)
    return [*grown, value]


def add_rows(totals: ExactSlots, slots: Mapping[str, Mapping[Key, Cells]]) -> None:
    """Add one worker's cells to totals, in place."""
    for slot, rows in slots.items():
        kept = totals.setdefault(slot, {})
        for key, cells in rows.items():
            known = kept.get(key)
            kept[key] = (
                [[cell] for cell in cells]
                if known is None
                else [add(partials, cell) for partials, cell in zip(known, cells, strict=True)]
            )


def rounded(partials: Sequence[Exact] | None, rows: Iterable[Cells]) -> Cells:
    """Return the sum of each cell over the dead and the living, rounded once."""
    if partials is None:
        columns: Iterable[Sequence[float]] = zip(*rows, strict=True)
    else:
        columns = (
            (*exact, *live) for exact, live in zip(partials, _columns(rows, len(partials)), strict=True)
        )
    return [fsum(column) for column in columns]


def _columns(rows: Iterable[Cells], count: int) -> Iterable[Sequence[float]]:
    rows = list(rows)
    return zip(*rows, strict=True) if rows else [()] * count
