"""One scrape for all workers: the living are added up, the dead are folded into totals and forgotten."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from moneypath.telemetry.recording.shared import totals as totals_file
from moneypath.telemetry.recording.shared.file import FileUnreadable, MemberFile
from moneypath.telemetry.recording.shared.group import Group
from moneypath.telemetry.recording.shared.layout import SlotLayout
from moneypath.telemetry.recording.shared.members import Lines, Member, Reading
from moneypath.telemetry.recording.shared.merge import Merger
from moneypath.telemetry.recording.shared.sums import add_rows
from moneypath.telemetry.recording.shared.totals import Stamp, Totals
from moneypath.telemetry.recording.store import Merged, Slots

FILES_LIMIT = 4096
ATTEMPTS = 8


class GroupReader:
    """Read a group again and again."""

    def __init__(self, group: Group, layout: Mapping[str, SlotLayout]) -> None:
        self._group = group
        self._layout = layout
        self._lines = Lines(layout)
        self._merger = Merger(layout)
        self._lock = threading.Lock()
        self._members: dict[str, Member] = {}
        self._totals = Totals()
        self._stamp: Stamp | None = None
        self._refused: set[str] = set()
        self._damaged: set[str] = set()
        self._skipped = 0
        self._last: Merged | None = None

    def read(self, own: Slots | None = None) -> Merged:
        """Return the cells of all workers, and of `own` beside them; raises OSError if the folder is gone."""
        with self._lock:
            return self._read(own)

    def _read(self, own: Slots | None) -> Merged:
        for _ in range(ATTEMPTS):
            self._read_totals()
            living, dead = self._workers()
            # Who was folded meanwhile would be missing or count twice: then the totals have changed.
            if totals_file.stamp_of(self._group) == self._stamp:
                break
        else:
            if self._last is not None:
                return Merged(self._last.slots)
        gone = self._totals
        if dead:
            gone = self._with(dead)
            self._fold(gone)
        self._last = Merged(self._merger.merge(gone.slots, living, own), self._skipped)
        self._skipped = 0
        return self._last

    def _read_totals(self) -> None:
        stamp = totals_file.stamp_of(self._group)
        if stamp != self._stamp:
            self._totals = totals_file.read(self._group, self._layout)
            self._skipped += self._totals.broken
            self._stamp = stamp

    def _workers(self) -> tuple[list[Reading], dict[str, Slots]]:
        """Return the rows of those who live, and by name of those who do not and are in no totals."""
        living: list[Reading] = []
        dead: dict[str, Slots] = {}
        present: set[str] = set()
        names = self._group.members()
        self._skipped += len(names) > FILES_LIMIT
        for name in names[:FILES_LIMIT]:
            if name in self._refused or Path(name).stem in self._totals.folded:
                continue
            try:
                member = self._members.get(name) or self._open(name)
            except FileNotFoundError:
                continue
            except FileUnreadable:
                self._refused.add(name)
                self._skipped += 1
                continue
            alive = member.file.is_alive()
            if alive:
                present.add(name)
                living.append(member.living())
            else:
                dead[Path(name).stem] = member.dead()
                self._members.pop(name).file.close()
            if member.damaged and name not in self._damaged:
                self._damaged.add(name)
                self._skipped += 1
        for name in self._members.keys() - present:
            self._members.pop(name).file.close()
        return living, dead

    def _open(self, name: str) -> Member:
        member = self._members[name] = Member(MemberFile(self._group.folder / name), self._lines)
        return member

    def _with(self, dead: Mapping[str, Slots]) -> Totals:
        slots = {
            name: {key: list(cells) for key, cells in rows.items()}
            for name, rows in self._totals.slots.items()
        }
        for rows in dead.values():
            add_rows(slots, rows)
        return Totals(slots, self._totals.folded | dead.keys())

    def _fold(self, gone: Totals) -> None:
        # A full disk: the dead are read again the next time.
        with suppress(OSError), self._group.locked() as held:
            # Whoever holds it folds the same ones; and if it did so already, what was read is out of date.
            if not held or totals_file.stamp_of(self._group) != self._stamp:
                return
            names = {Path(name).stem: self._group.folder / name for name in self._group.members()}
            folded = gone.folded & names.keys()
            totals_file.fold(self._group, gone.slots, folded, names)
            self._group.sweep()
