"""Who this process is, and whether it is one worker of several."""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# The kernel's mark of a process that was forked and runs the program of its parent still.
FORKED_WITHOUT_EXEC = 0x40
# Positions after the name in brackets, which may itself hold spaces and brackets.
FLAGS, STARTED = 6, 19


@dataclass(frozen=True, slots=True)
class Process:
    """A process for good: its number, and when it began, so that a number used again is another one."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "Process":
        """Look a process up; where the system does not tell when it began, that is "0"."""
        fields = _stat(pid)
        return cls(pid, fields[STARTED] if fields else "0")

    def is_alive(self) -> bool:
        """Tell whether the process runs."""
        if self.started != "0":
            return Process.of(self.pid) == self
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def world() -> str:
    """Return what process numbers are relative to: the system's boot and the container's own numbering."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text()
        numbering = (PROC / "self/ns/pid").stat().st_ino
    except OSError:
        boot, numbering = "", 0
    return hashlib.sha256(f"{boot}|{numbering}".encode()).hexdigest()[:8]


def parent_of_workers() -> Process | None:
    """Return the process whose children share their cells with this one, or None if it works alone.

    A worker is a child made by multiprocessing (uvicorn, hypercorn and granian make theirs so), or one
    that was forked and runs its parent's program (gunicorn, uWSGI, Celery). Where the system does not tell
    that, as on macOS, gunicorn is known by its modules.
    """
    # A child made by multiprocessing has it loaded; for nobody else is it worth loading.
    multiprocessing = sys.modules.get("multiprocessing.process")
    made_by = None if multiprocessing is None else multiprocessing.parent_process()
    if made_by is not None:
        return Process.of(made_by.pid)
    fields = _stat(os.getpid())
    forked = (
        int(fields[FLAGS]) & FORKED_WITHOUT_EXEC and _program("self") == _program(str(os.getppid()))
        if fields
        else "gunicorn.arbiter" in sys.modules
    )
    return Process.of(os.getppid()) if forked else None


def _stat(pid: int) -> list[str] | None:
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
