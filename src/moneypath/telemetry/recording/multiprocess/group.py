"""The folder in which the workers of one service on one machine find each other without configuration."""

import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.recording.multiprocess.file import (
    SUFFIX,
    UNFINISHED_PREFIX,
    VERSION,
    FileUnreadable,
    WorkerFileReader,
)
from moneypath.telemetry.recording.multiprocess.processes import Process, pid_namespace

LOCK = "lock"
TOTALS = "totals.json"
TOTALS_DRAFT = "totals.draft"
# In memory on Linux: writing to a page of a file on disk can block while it is being flushed.
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - a folder of ours below it is checked before use
STALE_GROUPS_EXAMINED = 1024
FOREIGN_GROUP_AGE_SECONDS = 86_400
UNFINISHED_AGE_SECONDS = 60

_GROUP = re.compile(r"[a-z][a-z0-9-]*-(?P<pid>\d+)-(?P<started>\d+)-(?P<namespace>[0-9a-f]{8})-[0-9a-f]{12}")


class FolderUnsafe(OSError):
    """Another user could read or change the shared files."""


def digest_of(catalogue: Catalogue) -> str:
    """Return a digest of the catalogue and the file version.

    Only workers with the same digest share metrics.
    """
    return hashlib.sha256(f"{VERSION}\n{catalogue.to_json()}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Group:
    """The folder of one worker group. It exists after `make`."""

    folder: Path

    @classmethod
    def of_children(cls, parent: Process, service: str, digest: str) -> "Group":
        """Return the group of a process' children in the first folder that is safe. Raises OSError."""
        return cls(_base() / _name(parent, service, digest))

    @classmethod
    def found(cls, parent: Process, service: str, digest: str) -> "Group | None":
        """Return the group of a process' children if it exists. Creates nothing."""
        for base in _bases():
            with suppress(OSError):
                _refuse_unsafe(base)
                if (base / _name(parent, service, digest)).is_dir():
                    return cls(base / _name(parent, service, digest))
        return None

    @classmethod
    def within(cls, folder: Path, service: str, digest: str) -> "Group":
        """Return the group in the given folder."""
        return cls(folder.absolute() / f"{service}-{digest}")

    def make(self) -> None:
        """Create the folder for this user only. Raises OSError; FolderUnsafe if others can access it."""
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(self.folder)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Take the group's lock if it is free, and yield whether it is held. Never blocks."""
        descriptor = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(descriptor)

    def worker_files(self) -> list[str]:
        """Return the names of all worker files, sorted."""
        return [name for name in _names(self.folder) if name.endswith(SUFFIX)]

    def sweep(self) -> None:
        """Remove the unfinished files of workers that died while creating them. The caller holds the lock."""
        for name in _names(self.folder):
            if name.startswith(UNFINISHED_PREFIX):
                path = self.folder / name
                with suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > UNFINISHED_AGE_SECONDS:
                        path.unlink()


def remove_stale_groups(base: Path) -> None:
    """Remove groups whose parent and workers are all gone. Never raises; examines a limited number."""
    with suppress(OSError):
        here = pid_namespace()
        for name in _names(base)[:STALE_GROUPS_EXAMINED]:
            match = _GROUP.fullmatch(name)
            if match is not None:
                with suppress(OSError):
                    _remove_if_stale(base / name, match, here)


def _remove_if_stale(folder: Path, match: re.Match[str], here: str) -> None:
    if match["namespace"] == here:
        if Process(int(match["pid"]), match["started"]).is_alive():
            return
    elif time.time() - folder.stat().st_mtime < FOREIGN_GROUP_AGE_SECONDS:
        return
    group = Group(folder)
    with group.locked() as held:
        if held and not any(_is_alive(folder / name) for name in group.worker_files()):
            for name in _names(folder):
                (folder / name).unlink()
            folder.rmdir()


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def _is_alive(path: Path) -> bool:
    try:
        worker = WorkerFileReader(path)
    except (FileUnreadable, FileNotFoundError):
        return False
    try:
        return worker.is_alive()
    finally:
        worker.close()


def _name(parent: Process, service: str, digest: str) -> str:
    return f"{service}-{parent.pid}-{parent.started}-{pid_namespace()}-{digest}"


def _bases() -> list[Path]:
    named = [Path(folder) for folder in (os.environ.get("XDG_RUNTIME_DIR"),) if folder]
    # Not `tempfile.gettempdir`, which writes a test file and raises if it cannot.
    temporary = Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - see above
    return [root / f"moneypath-{os.geteuid()}" for root in (*named, MEMORY_FOLDER, temporary)]


def _base() -> Path:
    """Return the first safe base folder. All workers search in the same order and find the same one."""
    problems: list[str] = []
    for base in _bases():
        try:
            _make_private(base)
        except OSError as error:
            problems.append(str(error))
        else:
            return base
    raise FolderUnsafe(f"There is no safe folder for shared metrics: {'; '.join(problems)}")


def _make_private(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    _refuse_unsafe(folder)


def _refuse_unsafe(folder: Path) -> None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise FolderUnsafe(f"{folder} is not a folder of this user that nobody else can access.")
