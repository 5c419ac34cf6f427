"""The stores of a worker that shares its cells, and of a process whose children may do so."""

import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from moneypath.telemetry.exposition.samples import Key
from moneypath.telemetry.recording.shared.file import WorkerFile
from moneypath.telemetry.recording.shared.group import Group
from moneypath.telemetry.recording.shared.identity import identify
from moneypath.telemetry.recording.shared.layout import SlotLayout
from moneypath.telemetry.recording.shared.reader import GroupReader
from moneypath.telemetry.recording.shared.sending import Sending
from moneypath.telemetry.recording.store import CellStore, LiveCells, Merged, Turn

TIDY_FROM = 32


class SharedStore(CellStore):
    """Keep cells in a file of the group, and read those of all its workers."""

    def __init__(self, group: Group, layout: Mapping[str, SlotLayout], slots: Iterable[SlotLayout]) -> None:
        """Join the group; raises OSError if there can be no file."""
        super().__init__()
        group.make()
        self.group = group
        self._file = WorkerFile(group.folder, slots)
        self._identity = identify(group.folder)
        self.begun_unix_nanos = self._identity.begun_unix_nanos
        self._sending = Sending(group)
        self._reader = GroupReader(group, layout)
        if len(group.members()) > TIDY_FROM:
            # Nobody scraped while worker after worker died: their files must not fill the disk.
            self._reader.read()
        # A thread may be interrupted in here by its own signal handler, which may record.
        self._lock = threading.RLock()

    def allocate(self, slot: str, key: Key, zero: Sequence[float]) -> LiveCells | None:
        """Return the cells of a key; all of them start at 0."""
        with self._lock:
            rows = self.cells_of(slot)
            cells = rows.get(key)
            if cells is None:
                cells = self._file.add(slot, key, len(zero))
                if cells is not None:
                    rows[key] = cells
            return cells

    def merged(self) -> Merged | None:
        """Return what the group recorded, those of its workers included that are gone."""
        try:
            return self._reader.read()
        except OSError:
            # The folder was taken away: better this worker alone than nothing.
            return Merged(self.own(), skipped=1)

    @property
    def instance(self) -> str:
        """Return what tells the group's numbers from those of others, whichever worker sends them."""
        return f"{socket.gethostname()}:{self._identity.id}"

    def turn(self, *, last: bool = False) -> Turn:
        """Tell what is to be sent now: all of the group by one worker, nothing by the others."""
        try:
            return Turn.ALL if self._sending.claim(last=last) else Turn.NOTHING
        except OSError:
            # The folder was taken away.
            return Turn.NOTHING

    def hand_over(self) -> bool:
        """Let another worker send, and tell whether one that ended relied on what was just sent."""
        return self._sending.release()

    def abandon(self) -> None:
        """Let go of the locks that a forked child inherited."""
        self._file.abandon()
        self._sending.abandon()


class ParentStore(CellStore):
    """Keep cells in this process alone, and read those of its children, should there be any."""

    def __init__(self, find: Callable[[], Group | None], layout: Mapping[str, SlotLayout]) -> None:
        """Look for the children's group by `find` at each scrape, until there is one."""
        super().__init__()
        self._find = find
        self._layout = layout
        self._reader: GroupReader | None = None
        self._sending: Sending | None = None
        self._turn = Turn.OWN

    def turn(self, *, last: bool = False) -> Turn:
        """Tell what is to be sent now: with its own numbers those of its children, unless one of them sends.

        Who sends for the children is settled when there are any and stays so: what one of them has sent
        under the group's name must not be added to the parent's numbers later.
        """
        if self._sending is None:
            group = self._find()
            if group is not None:
                self._sending = Sending(group)
                try:
                    self._turn = Turn.ALL if self._sending.claim(last=last) else Turn.OWN
                except OSError:
                    self._turn = Turn.OWN
        return self._turn

    def hand_over(self) -> bool:
        """Keep the claim: what the parent has sent of its children no child may send again."""
        return False

    def abandon(self) -> None:
        """Let go of the lock that a forked child inherited."""
        if self._sending is not None:
            self._sending.abandon()

    def merged(self) -> Merged | None:
        """Return what this process and its children recorded, or None if no child ever shared anything."""
        try:
            if self._reader is None:
                group = self._find()
                if group is None:
                    return None
                self._reader = GroupReader(group, self._layout)
            return self._reader.read(self.own())
        except OSError:
            return Merged(self.own(), skipped=1)
