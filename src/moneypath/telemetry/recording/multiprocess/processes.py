"""Identifies processes, and detects whether this one is a worker of several."""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# The kernel's flag of a process that was forked and has not called exec.
FORKED_WITHOUT_EXEC = 0x40
# Positions after the name in parentheses, which may contain spaces and parentheses itself.
FLAGS, STARTED = 6, 19


@dataclass(frozen=True, slots=True)
class Process:
    """A process, identified by its id and start time, because the system reuses ids."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "Process":
        """Look up a process. `started` is "0" where the system does not report the start time."""
        fields = _stat_fields(pid)
        return cls(pid, fields[STARTED] if fields else "0")

    def is_alive(self) -> bool:
        """Return whether the process is running."""
        if self.started != "0":
            return Process.of(self.pid) == self
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def pid_namespace() -> str:
    """Return a digest of the system's boot and the container's process ids, which tells equal ids apart."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text()
        numbering = (PROC / "self/ns/pid").stat().st_ino
    except OSError:
        boot, numbering = "", 0
    return hashlib.sha256(f"{boot}|{numbering}".encode()).hexdigest()[:8]


def parent_of_workers() -> Process | None:
    """Return the parent if this process is one of its workers, else None.

    A worker is a child made by multiprocessing (as uvicorn, hypercorn and granian do), or one that was
    forked and runs its parent's program (gunicorn, uWSGI, Celery). Where the system does not report that,
    as on macOS, gunicorn is recognised by its modules.
    """
    # A child made by multiprocessing has the module loaded; other processes need not load it.
    multiprocessing = sys.modules.get("multiprocessing.process")
    made_by = None if multiprocessing is None else multiprocessing.parent_process()
    if made_by is not None:
        return Process.of(made_by.pid)
    fields = _stat_fields(os.getpid())
    forked = (
        int(fields[FLAGS]) & FORKED_WITHOUT_EXEC and _program("self") == _program(str(os.getppid()))
        if fields
        else "gunicorn.arbiter" in sys.modules
    )
    return Process.of(os.getppid()) if forked else None


def _stat_fields(pid: int) -> list[str] | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _program(pid: str) -> str | None:
    try:
        return str((PROC / pid / "exe").readlink())
    except OSError:
        return None
