"""Who sends the numbers of a group: one worker, and another one when it has gone.

The lock is the kernel's, as that of a worker's file: it is free however its holder died. A worker that
ends and does not hold it leaves a mark, so that the one that sends last sends once more: it looks for marks
after it has let go of the lock, and whoever left one before found the lock taken or took it.
"""

import fcntl
import os
import time
import weakref
from collections.abc import Callable

from moneypath.telemetry.recording.shared.group import Group

SENDER = "sender"


class Sending:
    """One worker's claim to send for the group."""

    def __init__(self, group: Group) -> None:
        self._path = group.folder / SENDER
        self._descriptor: int | None = None
        self._mark = 0
        self._close: Callable[[], object] = lambda: None

    def claim(self, *, last: bool = False) -> bool:
        """Tell whether this worker sends now; if it does not and will not ask again, leave a mark.

        Never waits. Raises OSError if the folder is gone.
        """
        if self._descriptor is None and not self._take() and last:
            now = time.time_ns()
            os.utime(self._path, ns=(now, now))
            # Free by now, or taken by somebody who will see the mark.
            self._take()
        if self._descriptor is None:
            return False
        self._mark = os.fstat(self._descriptor).st_mtime_ns
        return True

    def release(self) -> bool:
        """Let another worker send; tell whether one left a mark since the last claim."""
        if self._descriptor is None:
            return False
        self.abandon()
        try:
            return self._path.stat().st_mtime_ns != self._mark
        except OSError:
            return False

    def abandon(self) -> None:
        """Close what is held; in a forked child that leaves the parent's claim as it is."""
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
