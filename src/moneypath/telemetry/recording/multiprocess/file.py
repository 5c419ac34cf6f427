"""The memory-mapped file of one worker: a header, the keys of its rows, and the rows of numbers.

A worker holds a lock on its file as long as it lives. The kernel releases the lock when the process dies,
however it dies, so a reused process id causes no mistake. The lock has a descriptor of its own: a mapping
keeps a copy of its descriptor, which a forked child could not close.
"""

import errno
import fcntl
import json
import mmap
import os
import secrets
import stat
import struct
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path

from moneypath.telemetry.exposition.samples import DataPoint, LabelValues
from moneypath.telemetry.recording.multiprocess.layout import SlotLayout

MAGIC = 0x4D50_4345_4C4C_5331
# Five integers: the magic number, the bytes reserved for keys, the number of values, the bytes of keys
# written, the version.
HEADER = struct.Struct("=5Q")
HEADER_BYTES = 64
VERSION = 1
KEYS_WRITTEN = 3
VALUE_BYTES = 8
SIZE_LIMIT_BYTES = 256 * 1024 * 1024
# Errors of opening a link, a pipe without a writer or a file of another user, none of which a worker made.
_FOREIGN = frozenset({errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM})
SUFFIX = ".points"
UNFINISHED_PREFIX = ".born-"


class WorkerFileWriter:
    """The file that this process writes.

    Its space is allocated when the file is made. So a full disk refuses a worker its file at the start and
    never ends a payment with a bus error.
    """

    def __init__(self, folder: Path, slots: Iterable[SlotLayout]) -> None:
        """Make the file and lock it before others can see it. Raises OSError."""
        slots = list(slots)
        key_bytes = (
            -(-sum(slot.rows * slot.longest_line_bytes for slot in slots) // VALUE_BYTES) * VALUE_BYTES
        )
        values = sum(slot.rows * slot.size for slot in slots)
        self.id = f"{os.getpid()}-{secrets.token_hex(8)}"
        self.path = folder / f"{self.id}{SUFFIX}"
        unfinished = folder / f"{UNFINISHED_PREFIX}{self.id}"
        size = HEADER_BYTES + key_bytes + values * VALUE_BYTES
        if size > SIZE_LIMIT_BYTES:
            raise OSError(
                errno.EFBIG, f"The series budgets of the catalogue need {size} bytes for each worker."
            )
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(unfinished, flags | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _reserve(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
            self._held = [
                _hold(self._map, unfinished, fcntl.LOCK_EX),
                _hold(self._map, folder, fcntl.LOCK_SH),
            ]
            HEADER.pack_into(self._map, 0, MAGIC, key_bytes, values, 0, VERSION)
            unfinished.rename(self.path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        view = memoryview(self._map)
        self._header = view[:HEADER_BYTES].cast("Q")
        self._keys = view[HEADER_BYTES : HEADER_BYTES + key_bytes]
        self._values = view[HEADER_BYTES + key_bytes :].cast("d")
        self._key_bytes = 0
        self._used = 0

    def add(self, slot: str, key: LabelValues, size: int) -> "memoryview[float] | None":
        """Write the key of a new row and return the row, filled with 0; None if there is no room.

        Callers must not call it concurrently.
        """
        line = json.dumps([slot, key, self._used, size], ensure_ascii=False, separators=(",", ":")) + "\n"
        content = line.encode()
        begin, end = self._key_bytes, self._key_bytes + len(content)
        base, used = self._used, self._used + size
        if end > len(self._keys) or used > len(self._values):
            return None
        self._keys[begin:end] = content
        self._key_bytes, self._used = end, used
        # From here on other workers read the row, whatever happens to this process.
        self._header[KEYS_WRITTEN] = end
        return self._values[base:used]

    def abandon(self) -> None:
        """Close the lock descriptors that a forked child inherited. The parent keeps its locks."""
        for close in self._held:
            close()


def _hold(mapping: mmap.mmap, path: Path, kind: int) -> "weakref.finalize[[int], mmap.mmap]":
    """Lock a path for as long as the mapping exists.

    The folder is locked too, because programs that clean temporary folders by age skip locked ones.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    close = weakref.finalize(mapping, os.close, descriptor)
    # Do not close at exit: threads may record until the process ends.
    close.atexit = False
    fcntl.flock(descriptor, kind)
    return close


def _reserve(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


class FileUnreadable(Exception):
    """A file in the shared folder was not written by a worker."""


class WorkerFileReader:
    """The file of a worker, opened by another worker to read it."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises FileUnreadable if it is not a worker's file, else OSError."""
        self.id = path.name.removesuffix(SUFFIX)
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(path, flags)
        except OSError as error:
            if error.errno in _FOREIGN:
                raise FileUnreadable(path.name) from error
            raise
        self._close = weakref.finalize(self, os.close, descriptor)
        self._close.atexit = False
        self._descriptor = descriptor
        size = _checked_size(descriptor, path)
        self._map = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        magic, key_bytes, values, _, version = HEADER.unpack_from(self._map)
        if magic != MAGIC or version != VERSION or HEADER_BYTES + key_bytes + values * VALUE_BYTES != size:
            raise FileUnreadable(path.name)
        view = memoryview(self._map)
        self._header = view[:HEADER_BYTES].cast("Q")
        self._keys = view[HEADER_BYTES : HEADER_BYTES + key_bytes]
        self.values: memoryview[float] = view[HEADER_BYTES + key_bytes :].cast("d")

    def is_alive(self) -> bool:
        """Return whether its worker still holds the lock."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False

    def key_lines(self, offset: int) -> Sequence[bytes]:
        """Return all key lines after `offset`."""
        written = min(self._header[KEYS_WRITTEN], len(self._keys))
        return bytes(self._keys[offset:written]).splitlines(keepends=True)

    def close(self) -> None:
        """Close the file. Numbers that were read remain valid."""
        self._close()


def copied(point: "memoryview[float]") -> DataPoint:
    """Copy numbers; each is read as a whole."""
    return point.tolist()  # type: ignore[return-value] # declared as if a view held bytes only


def _checked_size(descriptor: int, path: Path) -> int:
    status = os.fstat(descriptor)
    plain = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    if not plain or not HEADER_BYTES <= status.st_size <= SIZE_LIMIT_BYTES:
        raise FileUnreadable(path.name)
    return status.st_size
