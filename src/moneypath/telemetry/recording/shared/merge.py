"""Adding up the living and the dead.

Workers of one service wire the same metrics in the same order, so most of their rows stand at the same
place. Those are added as whole columns; only what workers met in different order is looked up row by row.
"""

from collections import defaultdict
from collections.abc import Mapping
from math import fsum

from moneypath.telemetry.exposition.samples import Cells, Key
from moneypath.telemetry.recording import gauges
from moneypath.telemetry.recording.shared.layout import SlotLayout
from moneypath.telemetry.recording.shared.members import Reading, Row
from moneypath.telemetry.recording.shared.sums import Exact, ExactSlots, rounded
from moneypath.telemetry.recording.store import PAYMENTS, Slots


class Merger:
    """Add up scrape after scrape; what does not change between them is prepared once."""

    def __init__(self, layout: Mapping[str, SlotLayout]) -> None:
        self._layout = layout
        self._common: list[Row] = []
        self._gone: ExactSlots | None = None
        self._layers: list[Cells] = []
        self._others: dict[str, dict[Key, list[Exact]]] = {}

    def merge(self, gone: ExactSlots, living: list[Reading], own: Slots | None) -> Slots:
        """Return the sums; `own` are the cells of a process that has no file."""
        common = _common(living)
        self._prepare(gone, common)
        merged: dict[str, dict[Key, Cells]] = {name: {} for name in self._layout}
        rows: list[Slots] = [reading.by_slot(reading.rows[len(common) :]) for reading in living]
        if own is not None:
            reading, rest = _laid_out(own, common)
            living = [*living, reading]
            rows.append(rest)
        self._add_columns(merged, common, living)
        self._add_rows(merged, rows)
        # Payments are summed over again, and a sum of rounded numbers is steady in a steady order only.
        merged[PAYMENTS] = dict(sorted(merged.get(PAYMENTS, {}).items()))
        return merged

    def _prepare(self, gone: ExactSlots, common: list[Row]) -> None:
        """Lay out what is left of the dead like the common rows, a layer for each double of an exact sum."""
        if gone is self._gone and common == self._common:
            return
        self._gone, self._common = gone, common
        self._others = {name: dict(rows) for name, rows in gone.items()}
        width = common[-1].end if common else 0
        self._layers = []
        for row in common:
            for place, exact in enumerate(self._others.get(row.slot.name, {}).pop(row.key, ()), row.base):
                while len(self._layers) < len(exact):
                    self._layers.append([0.0] * width)
                for layer, part in zip(self._layers, exact, strict=False):
                    layer[place] = part

    def _add_columns(
        self, merged: dict[str, dict[Key, Cells]], common: list[Row], living: list[Reading]
    ) -> None:
        if not common:
            return
        width = common[-1].end
        columns = [*(reading.cells[:width] for reading in living), *self._layers]
        total = columns[0] if len(columns) == 1 else list(map(fsum, zip(*columns, strict=True)))
        for row in common:
            cells = total[row.base : row.end]
            rule = row.slot.gauge
            if rule is not None:
                each = [reading.cells[row.base : row.end] for reading in living]
                cells = gauges.merge(rule, each, cells[gauges.RECORDS])
            merged[row.slot.name][row.key] = cells

    def _add_rows(self, merged: dict[str, dict[Key, Cells]], workers: list[Slots]) -> None:
        gathered: dict[str, dict[Key, list[Cells]]] = defaultdict(lambda: defaultdict(list))
        for slots in workers:
            for name, rows in slots.items():
                for key, cells in rows.items():
                    gathered[name][key].append(cells)
        for name in {**self._others, **gathered}:
            kept, live = self._others.get(name, {}), gathered[name]
            rule = self._layout[name].gauge
            for key in {**kept, **live}:
                total = rounded(kept.get(key), live[key])
                merged[name][key] = (
                    total if rule is None else gauges.merge(rule, live[key], total[gauges.RECORDS])
                )


def _laid_out(own: Slots, common: list[Row]) -> tuple[Reading, Slots]:
    """Put cells by slot and key where others have them, 0 where there are none; return the rest beside."""
    rest = {name: dict(rows) for name, rows in own.items()}
    cells = [0.0] * (common[-1].end if common else 0)
    for row in common:
        known = rest.get(row.slot.name, {}).pop(row.key, None)
        if known is not None:
            cells[row.base : row.end] = known
    return Reading(common, cells), rest


def _common(living: list[Reading]) -> list[Row]:
    """Return the rows that all workers have at the same place."""
    if not living:
        return []
    shortest = min((reading.rows for reading in living), key=len)
    count = len(shortest)
    for reading in living:
        if reading.rows[:count] != shortest[:count]:
            pairs = zip(reading.rows, shortest, strict=False)
            count = next(place for place, (one, other) in enumerate(pairs) if one is not other)
    return shortest[:count]
