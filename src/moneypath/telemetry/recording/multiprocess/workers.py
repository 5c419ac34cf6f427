"""Reads the data points of live and exited workers from their files."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moneypath.telemetry.exposition.samples import DataPoint, LabelValues
from moneypath.telemetry.recording import gauges
from moneypath.telemetry.recording.multiprocess.file import WorkerFileReader, copied
from moneypath.telemetry.recording.multiprocess.layout import SlotLayout
from moneypath.telemetry.recording.payment_instrument import correct_in_flight
from moneypath.telemetry.recording.store import PAYMENTS, PAYMENTS_LOST, PAYMENTS_STARTED

REMEMBERED_LINES = 100_000
CONSISTENT_READS = 8
# Slots that `correct_in_flight` corrects before workers are added up.
IN_FLIGHT_SLOTS = frozenset({PAYMENTS, PAYMENTS_LOST, PAYMENTS_STARTED})


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """The position of one row in a worker file.

    Workers with the row at the same position share the object.
    """

    slot: SlotLayout
    key: LabelValues
    base: int

    @property
    def end(self) -> int:
        """Return the position after the row."""
        return self.base + self.slot.size


@dataclass(frozen=True, slots=True)
class Reading:
    """The numbers of one worker, and the rows that they belong to."""

    rows: list[Row]
    values: DataPoint

    def by_slot(self, rows: Iterable[Row]) -> dict[str, dict[LabelValues, DataPoint]]:
        """Return the data points of these rows by slot and key."""
        slots: dict[str, dict[LabelValues, DataPoint]] = {}
        for row in rows:
            slots.setdefault(row.slot.name, {})[row.key] = self.values[row.base : row.end]
        return slots


class KeyParser:
    """Parses key lines, with a cache: most workers write the same lines."""

    def __init__(self, layout: Mapping[str, SlotLayout]) -> None:
        self._layout = layout
        self._known: dict[bytes, Row] = {}

    def row(self, line: bytes) -> Row | None:
        """Return the row that a line describes; None if no worker can have written it."""
        row = self._known.get(line)
        if row is None and (row := self._parse(line)) is not None and len(self._known) < REMEMBERED_LINES:
            self._known[line] = row
        return row

    def size_of(self, slot: str) -> int:
        """Return the size of the data points of a slot."""
        return self._layout[slot].size

    def _parse(self, line: bytes) -> Row | None:
        try:
            name, key, base, size = json.loads(line)
            slot = self._layout[name]
            if slot.allows(tuple(key)) and size == slot.size and isinstance(base, int) and base >= 0:
                return Row(slot, tuple(key), base)
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        return None


class Worker:
    """One worker of the group, as other workers read it."""

    def __init__(self, file: WorkerFileReader, parser: KeyParser) -> None:
        self.file = file
        self.damaged = False
        self._parser = parser
        self._offset = 0
        self._rows: list[Row] = []
        self._used = 0
        # The last consistent reading of each gauge.
        self._gauges: dict[Row, DataPoint] = {}
        self._in_flight_rows: list[Row] = []

    def read_live(self) -> Reading:
        """Copy the data points of a running worker.

        Sets `damaged` and stops at a key that cannot be parsed.
        """
        reading = self._read()
        point = reading.values
        for row in self._gauges:
            point[row.base : row.end] = self._gauge(row)
        slots = reading.by_slot(self._in_flight_rows)
        correct_in_flight(slots)
        for row in self._in_flight_rows:
            point[row.base : row.end] = slots[row.slot.name][row.key]
        return reading

    def read_exited(self) -> dict[str, dict[LabelValues, DataPoint]]:
        """Copy what remains of an exited worker: of a gauge, only how often it was set."""
        reading = self._read()
        slots = reading.by_slot(reading.rows)
        for row in self._gauges:
            slots[row.slot.name][row.key] = [0.0, reading.values[row.base + gauges.RECORDS], *gauges.ZERO[2:]]
        if self._in_flight_rows:
            correct_in_flight(slots, exited_row_size=self._parser.size_of(PAYMENTS))
        return slots

    def _read(self) -> Reading:
        self._read_new_keys()
        return Reading(self._rows.copy(), copied(self.file.values[: self._used]))

    def _read_new_keys(self) -> None:
        for line in self.file.key_lines(self._offset):
            row = self._parser.row(line) if line.endswith(b"\n") else None
            # Rows are contiguous: no gaps, no overlaps.
            if row is None or row.base != self._used or row.end > len(self.file.values):
                self.damaged = True
                return
            self._offset += len(line)
            self._used = row.end
            self._rows.append(row)
            if row.slot.gauge is not None:
                self._gauges[row] = list(gauges.ZERO)
            elif row.slot.name in IN_FLIGHT_SLOTS:
                self._in_flight_rows.append(row)

    def _gauge(self, row: Row) -> DataPoint:
        view = self.file.values[row.base : row.end]
        for _ in range(CONSISTENT_READS):
            point = copied(view)
            if point[gauges.SEQUENCE] % 2 == 0 and view[gauges.SEQUENCE] == point[gauges.SEQUENCE]:
                self._gauges[row] = point
                break
        return self._gauges[row]
