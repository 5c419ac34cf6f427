"""One worker's file: a header, the keys of its rows, and the rows of cells, all in shared memory.

Whoever holds the lock of a file is alive. The kernel takes the lock back when the process dies, however
it dies, so a process number that is used again deceives nobody. The lock belongs to a descriptor of its
own: a mapping keeps a copy of its descriptor, which a forked child could not close.
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

from moneypath.telemetry.exposition.samples import Cells, Key
from moneypath.telemetry.recording.shared.layout import SlotLayout

MAGIC = 0x4D50_4345_4C4C_5331
# Five whole numbers: the magic, bytes for keys, number of cells, bytes of keys written, version.
HEADER = struct.Struct("=5Q")
HEADER_BYTES = 64
VERSION = 1
KEYS_WRITTEN = 3
CELL_BYTES = 8
SIZE_LIMIT_BYTES = 256 * 1024 * 1024
# A link, a pipe without a writer, a file of another user: nothing that a worker made.
_FOREIGN = frozenset({errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM})
SUFFIX = ".cells"
UNBORN = ".born-"


class WorkerFile:
    """The file that this process writes.

    The space is reserved when the file is made, not when it is used: a full disk must refuse a worker
    its file, never end a payment with a bus error.
    """

    def __init__(self, folder: Path, slots: Iterable[SlotLayout]) -> None:
        """Make the file, locked before others can see it; raises OSError."""
        slots = list(slots)
        key_bytes = -(-sum(slot.rows * slot.longest_line_bytes for slot in slots) // CELL_BYTES) * CELL_BYTES
        cells = sum(slot.rows * slot.size for slot in slots)
        self.id = f"{os.getpid()}-{secrets.token_hex(8)}"
        self.path = folder / f"{self.id}{SUFFIX}"
        unborn = folder / f"{UNBORN}{self.id}"
        size = HEADER_BYTES + key_bytes + cells * CELL_BYTES
        if size > SIZE_LIMIT_BYTES:
            raise OSError(
                errno.EFBIG, f"the series budgets of the catalogue need {size} bytes for each worker"
            )
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(unborn, flags | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _reserve(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
            self._held = [_hold(self._map, unborn, fcntl.LOCK_EX), _hold(self._map, folder, fcntl.LOCK_SH)]
            HEADER.pack_into(self._map, 0, MAGIC, key_bytes, cells, 0, VERSION)
            unborn.rename(self.path)
        except BaseException:
            unborn.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        view = memoryview(self._map)
        self._header = view[:HEADER_BYTES].cast("Q")
        self._keys = view[HEADER_BYTES : HEADER_BYTES + key_bytes]
        self._cells = view[HEADER_BYTES + key_bytes :].cast("d")
        self._key_bytes = 0
        self._used = 0

    def add(self, slot: str, key: Key, size: int) -> "memoryview[float] | None":
        """Return the cells of a new row, at 0, once its key is written down; None if there is no room.

        The caller sees to it that only one thread is in here.
        """
        line = json.dumps([slot, key, self._used, size], ensure_ascii=False, separators=(",", ":")) + "\n"
        content = line.encode()
        begin, end = self._key_bytes, self._key_bytes + len(content)
        base, used = self._used, self._used + size
        if end > len(self._keys) or used > len(self._cells):
            return None
        self._keys[begin:end] = content
        self._key_bytes, self._used = end, used
        # Read by others from here on, whatever happens to this process.
        self._header[KEYS_WRITTEN] = end
        return self._cells[base:used]

    def abandon(self) -> None:
        """Close what a forked child inherited of the locks; the parent's hold is not touched."""
        for close in self._held:
            close()


def _hold(mapping: mmap.mmap, path: Path, kind: int) -> "weakref.finalize[[int], mmap.mmap]":
    """Lock a path for as long as the mapping lives.

    The folder is locked for the sake of programs that clean temporary folders by age: they leave alone
    what somebody locked.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    close = weakref.finalize(mapping, os.close, descriptor)
    # Not at exit: threads may record until the very end.
    close.atexit = False
    fcntl.flock(descriptor, kind)
    return close


def _reserve(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


class FileUnreadable(Exception):
    """A file in the shared folder is not one that a worker wrote."""


class MemberFile:
    """A worker's file as another one reads it."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises FileUnreadable if it is foreign, else OSError."""
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
        magic, key_bytes, cells, _, version = HEADER.unpack_from(self._map)
        if magic != MAGIC or version != VERSION or HEADER_BYTES + key_bytes + cells * CELL_BYTES != size:
            raise FileUnreadable(path.name)
        view = memoryview(self._map)
        self._header = view[:HEADER_BYTES].cast("Q")
        self._keys = view[HEADER_BYTES : HEADER_BYTES + key_bytes]
        self.cells: memoryview[float] = view[HEADER_BYTES + key_bytes :].cast("d")

    def is_alive(self) -> bool:
        """Tell whether its worker still holds the lock."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False

    def key_lines(self, offset: int) -> Sequence[bytes]:
        """Return the lines of keys from `offset` on, as many as there can be."""
        written = min(self._header[KEYS_WRITTEN], len(self._keys))
        return bytes(self._keys[offset:written]).splitlines(keepends=True)

    def close(self) -> None:
        """Close the file; numbers that were read stay."""
        self._close()


def copied(cells: "memoryview[float]") -> Cells:
    """Copy cells, each as a whole."""
    return cells.tolist()  # type: ignore[return-value] # declared as if a view held bytes only


def _checked_size(descriptor: int, path: Path) -> int:
    status = os.fstat(descriptor)
    plain = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    if not plain or not HEADER_BYTES <= status.st_size <= SIZE_LIMIT_BYTES:
        raise FileUnreadable(path.name)
    return status.st_size
