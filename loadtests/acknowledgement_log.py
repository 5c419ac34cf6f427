"""The client's own record of what it asked for and was answered, independent of every server."""

import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from loadtests.answers import Answer, Operation

LINE_BYTES_MAX = 16 * 1024


class AcknowledgementLogUnwritable(Exception):
    """The acknowledgement log cannot be written; the message names the file."""


@dataclass(frozen=True, slots=True)
class RequestLine:
    """What a client asks for: the line that is written before each attempt, and repeated with its answer.

    `merchant` is as whom the client acts.
    """

    operation: Operation
    idempotency_key: str
    merchant_reference: str
    merchant: str
    amount_minor: int
    currency: str


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

    def append_request(self, request: RequestLine) -> None:
        """Append what is about to be sent; the kernel has it when this returns."""
        self.append({"at": _now(), **asdict(request)})

    def append_answer(self, request: RequestLine, answer: Answer, payment_id: str | None) -> None:
        """Append the answer to a request; the kernel has it when this returns."""
        self.append(
            {
                "at": _now(),
                **asdict(request),
                "payment_id": payment_id,
                "status_code": answer.status_code,
                "outcome": answer.outcome,
                "replayed": answer.replayed,
            }
        )

    def append(self, row: Mapping[str, object]) -> None:
        """Append one line; the kernel has it when this returns."""
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


def _now() -> float:
    return round(time.time(), 6)
