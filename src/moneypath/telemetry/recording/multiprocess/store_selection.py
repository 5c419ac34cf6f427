"""Selects the store of a recorder: shared or private, at the start and after a fork."""

import logging
import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.recording.multiprocess.group import Group, digest_of, remove_stale_groups
from moneypath.telemetry.recording.multiprocess.layout import layout_of, slots_of
from moneypath.telemetry.recording.multiprocess.processes import Process, parent_of_workers
from moneypath.telemetry.recording.multiprocess.store import ParentStore, SharedStore
from moneypath.telemetry.recording.store import PointStore

FOLDER_VARIABLE = "MONEYPATH_TELEMETRY_SHARED_FOLDER"

_log = logging.getLogger("moneypath.telemetry")


class ForkedRecorder(Protocol):
    """A recorder that goes on in a forked child."""

    def switch_store(self, store: PointStore) -> None: ...
    def count_drop(self, reason: DropReason) -> None: ...


class StoreSelector:
    """Selects the store of one recorder, at the start and after every fork.

    `shared` is None to detect whether to share, True or False to decide it, or the folder to share in.
    `failures` counts how often sharing was wanted and failed.
    """

    def __init__(
        self, catalogue: Catalogue, service: str, metrics: Iterable[str], shared: Path | bool | None
    ) -> None:
        self._service = service
        self._digest = digest_of(catalogue)
        self._layout = layout_of(catalogue)
        self._slots = slots_of(self._layout, metrics)
        named = os.environ.get(FOLDER_VARIABLE)
        self._shared = Path(named) if shared is None and named else shared
        self._self = Process.of(os.getpid())
        self._group: Group | None = None
        self.failures = 0

    def start(self) -> PointStore:
        """Return the store for a process that starts to record. Never raises."""
        if self._shared is False:
            return PointStore()
        parent = parent_of_workers()
        if parent is None and self._shared is None:
            return ParentStore(self._of_own_children, self._layout)
        return self._join(parent or Process.of(os.getppid()))

    def after_fork(self) -> PointStore:
        """Return the store for a forked child: at zero, in the group of its parent."""
        if self._shared is False:
            return PointStore()
        return self._join(self._self)

    def _of_own_children(self) -> Group | None:
        return Group.found(self._self, self._service, self._digest)

    def _join(self, parent: Process) -> PointStore:
        try:
            group = self._group or self._group_of(parent)
            store = SharedStore(group, self._layout, self._slots)
        except OSError as error:
            self.failures += 1
            _log.warning(
                "Service %s: this worker cannot share its metrics; scrapes of other workers lack them: %s",
                self._service,
                error,
            )
            return PointStore()
        self._group = group
        return store

    def _group_of(self, parent: Process) -> Group:
        if isinstance(self._shared, Path):
            return Group.within(self._shared, self._service, self._digest)
        group = Group.of_children(parent, self._service, self._digest)
        remove_stale_groups(group.folder.parent)
        return group


class _ForkHook:
    """The recorders of this process, each with its store selector."""

    def __init__(self) -> None:
        self.watched: weakref.WeakKeyDictionary[ForkedRecorder, StoreSelector] = weakref.WeakKeyDictionary()
        self.hooked = False

    def in_child(self) -> None:
        for recorder, selector in list(self.watched.items()):
            failures = selector.failures
            recorder.switch_store(selector.after_fork())
            if selector.failures > failures:
                recorder.count_drop(DropReason.NOT_SHARED)


# A fork hook cannot be removed, so the process registers a single one, with its first recorder.
_forks = _ForkHook()


def switch_store_on_fork(recorder: ForkedRecorder, selector: StoreSelector) -> None:
    """Give the recorder a store of its own in every child that this process forks."""
    _forks.watched[recorder] = selector
    if not _forks.hooked and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forks.in_child)
        _forks.hooked = True
