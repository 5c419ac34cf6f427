"""The client's own record of the answers that it got, independent of every server."""

import fcntl
import json
import os
from pathlib import Path
from typing import Self

LINE_BYTES_MAX = 16 * 1024


class AcknowledgementLogUnwritable(Exception):
    """The acknowledgement log cannot be written; the message names the file."""


class AcknowledgementLog:
    """An append-only file with one JSON object a line.

    Every line is one write to the kernel, so a kill of this process loses at most the line that it was
    writing. When the file is opened again, such an unfinished last line is cut off; otherwise the next line
    would be joined to it.
    """

    def __init__(self, file: Path) -> None:
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise AcknowledgementLogUnwritable(f"{file}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._cut_torn_tail()
        except OSError:
            os.close(self._descriptor)
            raise AcknowledgementLogUnwritable(
                f"{file}: another load test writes it: name a file of its own"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, row: dict[str, object]) -> None:
        """Append one row; the kernel has it when this returns."""
        line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]

    def close(self) -> None:
        """Sync the file to disk and close it."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)

    def _cut_torn_tail(self) -> None:
        size = os.fstat(self._descriptor).st_size
        start = max(0, size - LINE_BYTES_MAX)
        tail = os.pread(self._descriptor, LINE_BYTES_MAX, start)
        if tail and not tail.endswith(b"\n") and (b"\n" in tail or start == 0):
            os.ftruncate(self._descriptor, start + tail.rfind(b"\n") + 1)
