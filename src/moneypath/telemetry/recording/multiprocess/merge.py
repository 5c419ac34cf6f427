"""Adds up the numbers of live and exited workers.

Workers of one service register the same metrics in the same order, so most of their rows have the same
position. Those rows are added as whole columns. Only the others are looked up row by row.
"""

from collections import defaultdict
from collections.abc import Mapping
from math import fsum

from moneypath.telemetry.exposition.samples import DataPoint, LabelValues
from moneypath.telemetry.recording import gauges
from moneypath.telemetry.recording.multiprocess.layout import SlotLayout
from moneypath.telemetry.recording.multiprocess.sums import Exact, ExactSlots, rounded
from moneypath.telemetry.recording.multiprocess.workers import Reading, Row
from moneypath.telemetry.recording.store import PAYMENTS, Slots


class Merger:
    """Adds up workers at each scrape. What does not change between scrapes is prepared once."""

    def __init__(self, layout: Mapping[str, SlotLayout]) -> None:
        self._layout = layout
        self._common: list[Row] = []
        self._exited_totals: ExactSlots | None = None
        self._layers: list[DataPoint] = []
        self._others: dict[str, dict[LabelValues, list[Exact]]] = {}

    def merge(self, exited_totals: ExactSlots, live: list[Reading], own: Slots | None) -> Slots:
        """Return the sums. `own` are the data points of a process that has no worker file."""
        common = _common(live)
        self._prepare(exited_totals, common)
        merged: dict[str, dict[LabelValues, DataPoint]] = {name: {} for name in self._layout}
        rows: list[Slots] = [reading.by_slot(reading.rows[len(common) :]) for reading in live]
        if own is not None:
            reading, rest = _arranged(own, common)
            live = [*live, reading]
            rows.append(rest)
        self._add_columns(merged, common, live)
        self._add_rows(merged, rows)
        # Payments are summed again later, and a sum of rounded numbers is stable only in a stable order.
        merged[PAYMENTS] = dict(sorted(merged.get(PAYMENTS, {}).items()))
        return merged

    def _prepare(self, exited_totals: ExactSlots, common: list[Row]) -> None:
        """Arrange the totals of exited workers like the common rows.

        Each double of an exact sum has its own layer.
        """
        if exited_totals is self._exited_totals and common == self._common:
            return
        self._exited_totals, self._common = exited_totals, common
        self._others = {name: dict(rows) for name, rows in exited_totals.items()}
        width = common[-1].end if common else 0
        self._layers = []
        for row in common:
            for place, exact in enumerate(self._others.get(row.slot.name, {}).pop(row.key, ()), row.base):
                while len(self._layers) < len(exact):
                    self._layers.append([0.0] * width)
                for layer, part in zip(self._layers, exact, strict=False):
                    layer[place] = part

    def _add_columns(
        self, merged: dict[str, dict[LabelValues, DataPoint]], common: list[Row], live: list[Reading]
    ) -> None:
        if not common:
            return
        width = common[-1].end
        columns = [*(reading.values[:width] for reading in live), *self._layers]
        total = columns[0] if len(columns) == 1 else list(map(fsum, zip(*columns, strict=True)))
        for row in common:
            point = total[row.base : row.end]
            rule = row.slot.gauge
            if rule is not None:
                each = [reading.values[row.base : row.end] for reading in live]
                point = gauges.merge(rule, each, point[gauges.RECORDS])
            merged[row.slot.name][row.key] = point

    def _add_rows(self, merged: dict[str, dict[LabelValues, DataPoint]], workers: list[Slots]) -> None:
        gathered: dict[str, dict[LabelValues, list[DataPoint]]] = defaultdict(lambda: defaultdict(list))
        for slots in workers:
            for name, rows in slots.items():
                for key, point in rows.items():
                    gathered[name][key].append(point)
        for name in {**self._others, **gathered}:
            exited, live = self._others.get(name, {}), gathered[name]
            rule = self._layout[name].gauge
            for key in {**exited, **live}:
                total = rounded(exited.get(key), live[key])
                merged[name][key] = (
                    total if rule is None else gauges.merge(rule, live[key], total[gauges.RECORDS])
                )


def _arranged(own: Slots, common: list[Row]) -> tuple[Reading, Slots]:
    """Arrange data points like the common rows, with 0 for missing ones. Return the rest separately."""
    rest = {name: dict(rows) for name, rows in own.items()}
    point = [0.0] * (common[-1].end if common else 0)
    for row in common:
        known = rest.get(row.slot.name, {}).pop(row.key, None)
        if known is not None:
            point[row.base : row.end] = known
    return Reading(common, point), rest


def _common(live: list[Reading]) -> list[Row]:
    """Return the rows that all workers have at the same position."""
    if not live:
        return []
    shortest = min((reading.rows for reading in live), key=len)
    count = len(shortest)
    for reading in live:
        if reading.rows[:count] != shortest[:count]:
            pairs = zip(reading.rows, shortest, strict=False)
            count = next(place for place, (one, other) in enumerate(pairs) if one is not other)
    return shortest[:count]
