"""The client's own record of what it was told, independent of every server."""

import fcntl
import json
import os
from pathlib import Path
from typing import Self

LINE_BYTES_MAX = 16 * 1024


class JournalUnwritable(Exception):
    """The journal cannot be written; the message names the file."""


class Journal:
    """An append-only file, one JSON object a line.

    Every line is one write to the kernel, so a kill of this process loses at most the line it was
    writing. Such a torn tail of an earlier run is cut off when the file is opened again, or the next
    line would be glued to it.
    """

    def __init__(self, file: Path) -> None:
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalUnwritable(f"{file}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._cut_torn_tail()
        except OSError:
            os.close(self._descriptor)
            raise JournalUnwritable(f"{file}: another load test writes it: name a file of its own") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, row: dict[str, object]) -> None:
        """Append one row; it is with the kernel when this returns."""
        line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]

    def close(self) -> None:
        """Force everything to disk and close."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)

    def _cut_torn_tail(self) -> None:
        size = os.fstat(self._descriptor).st_size
        start = max(0, size - LINE_BYTES_MAX)
        tail = os.pread(self._descriptor, LINE_BYTES_MAX, start)
        if tail and not tail.endswith(b"\n") and (b"\n" in tail or start == 0):
            os.ftruncate(self._descriptor, start + tail.rfind(b"\n") + 1)
