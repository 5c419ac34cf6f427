"""Decides which worker of a group exports: one at a time, and another when that one exits.

It is a file lock, which the kernel releases however its holder dies. A worker that exits without the lock
leaves a mark, so that the worker that exports last exports once more. A worker that releases the lock looks
for marks afterwards; so every worker that left a mark either found the lock taken or took it itself.
"""

import fcntl
import os
import time
import weakref
from collections.abc import Callable

from moneypath.telemetry.recording.multiprocess.group import Group

SENDER = "sender"


class ExportLock:
    """One worker's claim to export for its group."""

    def __init__(self, group: Group) -> None:
        self._path = group.folder / SENDER
        self._descriptor: int | None = None
        self._mark = 0
        self._close: Callable[[], object] = lambda: None

    def claim(self, *, last: bool = False) -> bool:
        """Return whether this worker exports now. With `last`, leave a mark if it does not.

        Never blocks. Raises OSError if the folder is gone.
        """
        if self._descriptor is None and not self._take() and last:
            now = time.time_ns()
            os.utime(self._path, ns=(now, now))
            # By now the lock is free, or its holder will see the mark.
            self._take()
        if self._descriptor is None:
            return False
        self._mark = os.fstat(self._descriptor).st_mtime_ns
        return True

    def release(self) -> bool:
        """Let another worker export. Return whether one left a mark since the last claim."""
        if self._descriptor is None:
            return False
        self.abandon()
        try:
            return self._path.stat().st_mtime_ns != self._mark
        except OSError:
            return False

    def abandon(self) -> None:
        """Close the descriptor. In a forked child this does not release the parent's lock."""
        self._descriptor = None
        self._close()

    def _take(self) -> bool:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)
        return True
