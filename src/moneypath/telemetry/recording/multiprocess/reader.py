"""Reads a worker group at a scrape: adds up live workers, and compacts exited ones into the totals."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from moneypath.telemetry.recording.multiprocess import totals as totals_file
from moneypath.telemetry.recording.multiprocess.file import FileUnreadable, WorkerFileReader
from moneypath.telemetry.recording.multiprocess.group import Group
from moneypath.telemetry.recording.multiprocess.layout import SlotLayout
from moneypath.telemetry.recording.multiprocess.merge import Merger
from moneypath.telemetry.recording.multiprocess.sums import add_rows
from moneypath.telemetry.recording.multiprocess.totals import FileVersion, Totals
from moneypath.telemetry.recording.multiprocess.workers import KeyParser, Reading, Worker
from moneypath.telemetry.recording.store import Merged, Slots

FILES_LIMIT = 4096
ATTEMPTS = 8


class GroupReader:
    """Reads one worker group repeatedly."""

    def __init__(self, group: Group, layout: Mapping[str, SlotLayout]) -> None:
        self._group = group
        self._layout = layout
        self._parser = KeyParser(layout)
        self._merger = Merger(layout)
        self._lock = threading.Lock()
        self._known_workers: dict[str, Worker] = {}
        self._totals = Totals()
        self._totals_version: FileVersion | None = None
        self._refused: set[str] = set()
        self._damaged: set[str] = set()
        self._skipped = 0
        self._last: Merged | None = None

    def read(self, own: Slots | None = None) -> Merged:
        """Return the sums over all workers and over `own`. Raises OSError if the folder is gone."""
        with self._lock:
            return self._read(own)

    def _read(self, own: Slots | None) -> Merged:
        for _ in range(ATTEMPTS):
            self._read_totals()
            live, exited = self._read_workers()
            # If another worker compacted meanwhile, the totals have changed, and a worker could be missing
            # or count twice.
            if totals_file.version_of(self._group) == self._totals_version:
                break
        else:
            if self._last is not None:
                return Merged(self._last.slots)
        totals = self._totals
        if exited:
            totals = self._totals_with(exited)
            self._compact(totals)
        self._last = Merged(self._merger.merge(totals.slots, live, own), self._skipped)
        self._skipped = 0
        return self._last

    def _read_totals(self) -> None:
        version = totals_file.version_of(self._group)
        if version != self._totals_version:
            self._totals = totals_file.read(self._group, self._layout)
            self._skipped += self._totals.broken
            self._totals_version = version

    def _read_workers(self) -> tuple[list[Reading], dict[str, Slots]]:
        """Return the readings of live workers, and by name those of exited ones not yet in the totals."""
        live: list[Reading] = []
        exited: dict[str, Slots] = {}
        present: set[str] = set()
        names = self._group.worker_files()
        self._skipped += len(names) > FILES_LIMIT
        for name in names[:FILES_LIMIT]:
            if name in self._refused or Path(name).stem in self._totals.compacted:
                continue
            try:
                worker = self._known_workers.get(name) or self._open(name)
            except FileNotFoundError:
                continue
            except FileUnreadable:
                self._refused.add(name)
                self._skipped += 1
                continue
            alive = worker.file.is_alive()
            if alive:
                present.add(name)
                live.append(worker.read_live())
            else:
                exited[Path(name).stem] = worker.read_exited()
                self._known_workers.pop(name).file.close()
            if worker.damaged and name not in self._damaged:
                self._damaged.add(name)
                self._skipped += 1
        for name in self._known_workers.keys() - present:
            self._known_workers.pop(name).file.close()
        return live, exited

    def _open(self, name: str) -> Worker:
        worker = self._known_workers[name] = Worker(WorkerFileReader(self._group.folder / name), self._parser)
        return worker

    def _totals_with(self, exited: Mapping[str, Slots]) -> Totals:
        slots = {
            name: {key: list(point) for key, point in rows.items()}
            for name, rows in self._totals.slots.items()
        }
        for rows in exited.values():
            add_rows(slots, rows)
        return Totals(slots, self._totals.compacted | exited.keys())

    def _compact(self, totals: Totals) -> None:
        # If the disk is full, exited workers are read again at the next scrape.
        with suppress(OSError), self._group.locked() as held:
            # Another holder of the lock compacts the same workers; if it is done, our reading is out of
            # date.
            if not held or totals_file.version_of(self._group) != self._totals_version:
                return
            names = {Path(name).stem: self._group.folder / name for name in self._group.worker_files()}
            compacted = totals.compacted & names.keys()
            totals_file.compact(self._group, totals.slots, compacted, names)
            self._group.sweep()
