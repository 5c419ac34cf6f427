"""Whether a process shares its cells, with whom, and what becomes of them when it forks."""

import logging
import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.recording.shared.group import Group, digest_of, remove_stale_groups
from moneypath.telemetry.recording.shared.layout import layout_of, used_by
from moneypath.telemetry.recording.shared.processes import Process, parent_of_workers
from moneypath.telemetry.recording.shared.store import ParentStore, SharedStore
from moneypath.telemetry.recording.store import CellStore

FOLDER_VARIABLE = "MONEYPATH_TELEMETRY_SHARED_FOLDER"

_log = logging.getLogger("moneypath.telemetry")


class Rearmed(Protocol):
    """What goes on recording in a forked child, in cells of its own."""

    def rearm(self, store: CellStore) -> None: ...
    def count_drop(self, reason: DropReason) -> None: ...


class Joining:
    """Choose the store of one recorder, at its start and after every fork.

    `shared` is None to find out, True or False to say so, or the folder to share in. `failures` counts
    the times that sharing was wanted and could not be had.
    """

    def __init__(
        self, catalogue: Catalogue, service: str, metrics: Iterable[str], shared: Path | bool | None
    ) -> None:
        self._service = service
        self._digest = digest_of(catalogue)
        self._layout = layout_of(catalogue)
        self._slots = used_by(self._layout, metrics)
        named = os.environ.get(FOLDER_VARIABLE)
        self._shared = Path(named) if shared is None and named else shared
        self._self = Process.of(os.getpid())
        self._group: Group | None = None
        self.failures = 0

    def start(self) -> CellStore:
        """Return the store of a process that begins to record; never raises."""
        if self._shared is False:
            return CellStore()
        parent = parent_of_workers()
        if parent is None and self._shared is None:
            return ParentStore(self._of_own_children, self._layout)
        return self._join(parent or Process.of(os.getppid()))

    def after_fork(self) -> CellStore:
        """Return the store of a child: at zero, shared with those that the parent shared with."""
        if self._shared is False:
            return CellStore()
        return self._join(self._self)

    def _of_own_children(self) -> Group | None:
        return Group.found(self._self, self._service, self._digest)

    def _join(self, parent: Process) -> CellStore:
        try:
            group = self._group or self._group_of(parent)
            store = SharedStore(group, self._layout, self._slots)
        except OSError as error:
            self.failures += 1
            _log.warning(
                "service %s: this worker counts for itself, a scrape of another one does not show it: %s",
                self._service,
                error,
            )
            return CellStore()
        self._group = group
        return store

    def _group_of(self, parent: Process) -> Group:
        if isinstance(self._shared, Path):
            return Group.within(self._shared, self._service, self._digest)
        group = Group.of_children(parent, self._service, self._digest)
        remove_stale_groups(group.folder.parent)
        return group


class _Forks:
    """The recorders of this process, each with what chooses its store."""

    def __init__(self) -> None:
        self.watched: weakref.WeakKeyDictionary[Rearmed, Joining] = weakref.WeakKeyDictionary()
        self.hooked = False

    def in_child(self) -> None:
        for recorder, joining in list(self.watched.items()):
            failures = joining.failures
            recorder.rearm(joining.after_fork())
            if joining.failures > failures:
                recorder.count_drop(DropReason.NOT_SHARED)


# Hooks on fork cannot be taken back, so there is one for the process, from its first recorder on.
_forks = _Forks()


def follow_forks(recorder: Rearmed, joining: Joining) -> None:
    """Give the recorder cells of its own in every child that this process forks."""
    _forks.watched[recorder] = joining
    if not _forks.hooked and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forks.in_child)
        _forks.hooked = True
