"""Reading the workers of a group: their rows now, and who of them is gone."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moneypath.telemetry.exposition.samples import Cells, Key
from moneypath.telemetry.recording import gauges
from moneypath.telemetry.recording.payments import settle
from moneypath.telemetry.recording.shared.file import MemberFile, copied
from moneypath.telemetry.recording.shared.layout import SlotLayout
from moneypath.telemetry.recording.store import DROPS, PAYMENTS, PAYMENTS_LOST, PAYMENTS_STARTED

REMEMBERED_LINES = 100_000
CONSISTENT_READS = 8
# What has to be brought in order with one another before it can be added up.
SETTLED = frozenset({DROPS, PAYMENTS, PAYMENTS_LOST, PAYMENTS_STARTED})


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Where one row stands in a worker's cells; the same object for all workers that have it there."""

    slot: SlotLayout
    key: Key
    base: int

    @property
    def end(self) -> int:
        """Return where the next row begins."""
        return self.base + self.slot.size


@dataclass(frozen=True, slots=True)
class Reading:
    """A worker's cells, one after the other, and the rows in which they stand."""

    rows: list[Row]
    cells: Cells

    def by_slot(self, rows: Iterable[Row]) -> dict[str, dict[Key, Cells]]:
        """Return some of the rows by slot and key."""
        slots: dict[str, dict[Key, Cells]] = {}
        for row in rows:
            slots.setdefault(row.slot.name, {})[row.key] = self.cells[row.base : row.end]
        return slots


class Lines:
    """Understand lines of keys; workers write mostly the same ones, so they are remembered."""

    def __init__(self, layout: Mapping[str, SlotLayout]) -> None:
        self._layout = layout
        self._known: dict[bytes, Row] = {}

    def row(self, line: bytes) -> Row | None:
        """Return the row that a line describes, or None if no worker can have written it."""
        row = self._known.get(line)
        if row is None and (row := self._parse(line)) is not None and len(self._known) < REMEMBERED_LINES:
            self._known[line] = row
        return row

    def _parse(self, line: bytes) -> Row | None:
        try:
            name, key, base, size = json.loads(line)
            slot = self._layout[name]
            if slot.allows(tuple(key)) and size == slot.size and isinstance(base, int) and base >= 0:
                return Row(slot, tuple(key), base)
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        return None


class Member:
    """One worker of the group, as others see it."""

    def __init__(self, file: MemberFile, lines: Lines) -> None:
        self.file = file
        self.damaged = False
        self._lines = lines
        self._offset = 0
        self._rows: list[Row] = []
        self._used = 0
        # Last consistent cells of each gauge.
        self._gauges: dict[Row, Cells] = {}
        self._settled: list[Row] = []

    def living(self) -> Reading:
        """Copy the cells, brought in order; what follows a broken key is left out and `damaged` is set."""
        reading = self._read()
        cells = reading.cells
        for row in self._gauges:
            cells[row.base : row.end] = self._gauge(row)
        slots = reading.by_slot(self._settled)
        settle(slots, dead=False)
        for row in self._settled:
            cells[row.base : row.end] = slots[row.slot.name][row.key]
        return reading

    def dead(self) -> dict[str, dict[Key, Cells]]:
        """Copy what stays of a worker that is gone: of a gauge only how often it was set."""
        reading = self._read()
        slots = reading.by_slot(reading.rows)
        for row in self._gauges:
            slots[row.slot.name][row.key] = [0.0, reading.cells[row.base + gauges.RECORDS], *gauges.ZERO[2:]]
        settle(slots, dead=True)
        return slots

    def _read(self) -> Reading:
        self._learn()
        return Reading(self._rows.copy(), copied(self.file.cells[: self._used]))

    def _learn(self) -> None:
        for line in self.file.key_lines(self._offset):
            row = self._lines.row(line) if line.endswith(b"\n") else None
            # Rows stand one behind the other: nothing lies between them or over them.
            if row is None or row.base != self._used or row.end > len(self.file.cells):
                self.damaged = True
                return
            self._offset += len(line)
            self._used = row.end
            self._rows.append(row)
            if row.slot.gauge is not None:
                self._gauges[row] = list(gauges.ZERO)
            elif row.slot.name in SETTLED:
                self._settled.append(row)

    def _gauge(self, row: Row) -> Cells:
        view = self.file.cells[row.base : row.end]
        for _ in range(CONSISTENT_READS):
            cells = copied(view)
            if cells[gauges.SEQUENCE] % 2 == 0 and view[gauges.SEQUENCE] == cells[gauges.SEQUENCE]:
                self._gauges[row] = cells
                break
        return self._gauges[row]
