"""The store of a worker that shares its metrics, and of a parent process whose children may do so."""

import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from moneypath.telemetry.exposition.samples import LabelValues
from moneypath.telemetry.recording.multiprocess.export_lock import ExportLock
from moneypath.telemetry.recording.multiprocess.file import WorkerFileWriter
from moneypath.telemetry.recording.multiprocess.group import Group
from moneypath.telemetry.recording.multiprocess.identity import identify
from moneypath.telemetry.recording.multiprocess.layout import SlotLayout
from moneypath.telemetry.recording.multiprocess.reader import GroupReader
from moneypath.telemetry.recording.store import ExportScope, LivePoint, Merged, PointStore

TIDY_FROM = 32


class SharedStore(PointStore):
    """Stores data points in a worker file, and reads those of all workers of the group."""

    def __init__(self, group: Group, layout: Mapping[str, SlotLayout], slots: Iterable[SlotLayout]) -> None:
        """Join the group. Raises OSError if no file can be made."""
        super().__init__()
        group.make()
        self.group = group
        self._file = WorkerFileWriter(group.folder, slots)
        self._identity = identify(group.folder)
        self.start_time_unix_nano = self._identity.start_time_unix_nano
        self._export_lock = ExportLock(group)
        self._reader = GroupReader(group, layout)
        if len(group.worker_files()) > TIDY_FROM:
            # Without scrapes nobody compacts exited workers; their files must not fill the disk.
            self._reader.read()
        # Reentrant: a signal handler may interrupt the thread here and record too.
        self._lock = threading.RLock()

    def allocate(self, slot: str, key: LabelValues, zero: Sequence[float]) -> LivePoint | None:
        """Return the data point of a key. A new one starts at 0."""
        with self._lock:
            rows = self.points_of(slot)
            point = rows.get(key)
            if point is None:
                point = self._file.add(slot, key, len(zero))
                if point is not None:
                    rows[key] = point
            return point

    def merged(self) -> Merged | None:
        """Return the sums over the group, exited workers included."""
        try:
            return self._reader.read()
        except OSError:
            # The folder is gone: return at least this worker's data points.
            return Merged(self.own(), skipped=1)

    @property
    def instance(self) -> str:
        """Return the id of the group, the same for all its workers."""
        return f"{socket.gethostname()}:{self._identity.id}"

    def claim_export(self, *, last: bool = False) -> ExportScope:
        """Return what to export now: everything for one worker of the group, nothing for the others."""
        try:
            return ExportScope.ALL if self._export_lock.claim(last=last) else ExportScope.NOTHING
        except OSError:
            # The folder is gone.
            return ExportScope.NOTHING

    def release_export(self) -> bool:
        """Let another worker export. Return whether an exited worker still relies on an export."""
        return self._export_lock.release()

    def abandon(self) -> None:
        """Close the locks that a forked child inherited."""
        self._file.abandon()
        self._export_lock.abandon()


class ParentStore(PointStore):
    """Stores data points in this process only, and reads those of its children if there are any."""

    def __init__(self, find: Callable[[], Group | None], layout: Mapping[str, SlotLayout]) -> None:
        """Look for the children's group with `find` at each scrape until there is one."""
        super().__init__()
        self._find = find
        self._layout = layout
        self._reader: GroupReader | None = None
        self._export_lock: ExportLock | None = None
        self._export_scope = ExportScope.OWN

    def claim_export(self, *, last: bool = False) -> ExportScope:
        """Return what to export now: the parent's metrics, with its children's unless a child exports those.

        Who exports for the children is decided once, when the first child appears. What a child has
        exported under the group's name must not be added to the parent's metrics later.
        """
        if self._export_lock is None:
            group = self._find()
            if group is not None:
                self._export_lock = ExportLock(group)
                try:
                    self._export_scope = (
                        ExportScope.ALL if self._export_lock.claim(last=last) else ExportScope.OWN
                    )
                except OSError:
                    self._export_scope = ExportScope.OWN
        return self._export_scope

    def release_export(self) -> bool:
        """Keep the claim: a child must not export again what the parent exported for it."""
        return False

    def abandon(self) -> None:
        """Close the lock that a forked child inherited."""
        if self._export_lock is not None:
            self._export_lock.abandon()

    def merged(self) -> Merged | None:
        """Return the sums over this process and its children; None if no child ever shared anything."""
        try:
            if self._reader is None:
                group = self._find()
                if group is None:
                    return None
                self._reader = GroupReader(group, self._layout)
            return self._reader.read(self.own())
        except OSError:
            return Merged(self.own(), skipped=1)
