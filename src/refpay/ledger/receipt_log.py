"""Log receipts of committed ledger entries outside the database, so that a probe can read them back.

A database that lost a commit has lost every row of it, so a witness in the same database would lose it too.
Files in a folder of their own do not. They are written behind the answers and off the event loop.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Self
from uuid import UUID

import structlog
from pydantic import TypeAdapter

from refpay.clock import Clock
from refpay.errors import StartRefused
from refpay.ids import mint_id
from refpay.ledger.entries import Entry
from refpay.runtime import running

SUFFIX: Final = ".jsonl"
_LOG: Final = structlog.get_logger()
_FLUSH_SECONDS: Final = 0.1
# About 200,000 receipts in 32 MiB for each service; then the oldest segments are deleted.
_SEGMENT_BYTES: Final = 2 * 1024 * 1024
_SEGMENTS_KEPT: Final = 16
_PENDING_MAXIMUM: Final = 10_000
_CHUNK_BYTES: Final = 1024 * 1024
_LINE: Final = TypeAdapter(tuple[UUID, str, str])


@dataclass(frozen=True, slots=True)
class Receipt:
    """A committed entry as the ledger must have it; `lines` in the form of `lines_text`."""

    operation_id: UUID
    kind: str
    lines: str

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return the receipt of an entry."""
        lines = sorted((line.account, line.currency.value, line.amount_minor) for line in entry.lines)
        text = ";".join(f"{account} {currency} {amount}" for account, currency, amount in lines)
        return cls(entry.operation_id, entry.kind.value, text)

    @classmethod
    def from_json(cls, line: bytes) -> Self:
        """Return what `to_json` wrote. Raises ValueError for anything else."""
        return cls(*_LINE.validate_json(line))

    def to_json(self) -> bytes:
        """Return one line of JSON without its end."""
        return _LINE.dump_json((self.operation_id, self.kind, self.lines))


class ReceiptReader:
    """Reads the files of every writer in a folder, each line once. A torn last line is not read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[Path, int] = {}
        self.malformed = 0

    def read(self, limit: int) -> list[Receipt]:
        """Return at most `limit` receipts that were not returned before, oldest file first.

        Raises OSError if the folder or a file cannot be read; the next call then returns the same receipts.
        """
        found: list[Receipt] = []
        malformed = 0
        # Not glob(), which treats a folder that is missing or not readable as empty.
        files = sorted(file for file in self._folder.iterdir() if file.suffix == SUFFIX)
        offsets = {file: self._offsets.get(file, 0) for file in files}
        for file in files:
            if len(found) >= limit:
                break
            try:
                with file.open("rb") as stream:
                    stream.seek(offsets[file])
                    lines = stream.read(_CHUNK_BYTES).split(b"\n")[:-1][: limit - len(found)]
            except FileNotFoundError:
                # Its writer has deleted it meanwhile.
                del offsets[file]
                continue
            offsets[file] += sum(len(line) + 1 for line in lines)
            for line in lines:
                try:
                    found.append(Receipt.from_json(line))
                except ValueError:
                    malformed += 1
        # Set last: if a later file could not be read, nothing counts as returned.
        self._offsets = offsets
        self.malformed += malformed
        return found


class ReceiptLog:
    """Appends to segment files, each of one process, and syncs them to disk at every flush.

    Receipts of the last `_FLUSH_SECONDS` before a kill are lost: the probe then reads back a little less,
    and no answer waits for a disk. Beyond `_PENDING_MAXIMUM` unwritten receipts, new ones are dropped.
    """

    def __init__(self, folder: Path, *, service: str, clock: Clock) -> None:
        self._folder, self._service, self._clock = folder, service, clock
        self._pending: deque[bytes] = deque()
        # A cancelled flush continues in its thread while the last one begins.
        self._lock = threading.Lock()
        self._segment: int | None = None
        self._begun: datetime | None = None
        self._written = 0

    def note(self, entry: Entry) -> None:
        """Keep the receipt of an entry whose COMMIT was answered, for the next flush."""
        if len(self._pending) < _PENDING_MAXIMUM:
            self._pending.append(Receipt.of(entry).to_json() + b"\n")

    def flush(self) -> None:
        """Write pending receipts to disk. Raises OSError, and keeps them then."""
        with self._lock:
            count = len(self._pending)
            if not count:
                return
            if self._segment is None or self._written >= _SEGMENT_BYTES:
                self._segment = self._begin_segment()
            content = b"".join(self._pending[index] for index in range(count))
            # At a fixed offset, so that what a full disk cut off is overwritten next time.
            done = 0
            while done < len(content):
                done += os.pwrite(self._segment, content[done:], self._written + done)
            os.fsync(self._segment)
            self._written += len(content)
            for _ in range(count):
                self._pending.popleft()

    def close(self) -> None:
        """Write pending receipts and close the segment. Raises OSError."""
        try:
            self.flush()
        finally:
            if self._segment is not None:
                os.close(self._segment)
                self._segment = None

    def _begin_segment(self) -> int:
        # Names sort by time, in milliseconds. Two segments never share one, even if the clock goes back.
        now = self._clock.now()
        self._begun = now if self._begun is None else max(now, self._begun + timedelta(milliseconds=1))
        name = f"{mint_id(self._begun)}-{self._service}{SUFFIX}"
        begun = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if self._segment is not None:
            os.close(self._segment)
        # Set before anything else may fail, because the segment before is closed.
        self._segment, self._written = begun, 0
        for old in sorted(self._folder.glob(f"*-{self._service}{SUFFIX}"))[:-_SEGMENTS_KEPT]:
            old.unlink(missing_ok=True)
        return begun


@asynccontextmanager
async def open_receipt_log(folder: Path, *, service: str, clock: Clock) -> AsyncIterator[ReceiptLog]:
    """Yield a receipt log that is flushed ten times a second.

    Raises StartRefused if the folder is not writable.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StartRefused(f"REFPAY_ACKNOWLEDGEMENTS_FOLDER cannot be written to: {folder}")
    receipt_log = ReceiptLog(folder, service=service, clock=clock)
    try:
        async with running(_flush_often(receipt_log)):
            yield receipt_log
    finally:
        try:
            receipt_log.close()
        except OSError as problem:
            _LOG.error("acknowledgements_not_written", problem=problem.strerror)


async def _flush_often(receipt_log: ReceiptLog) -> None:
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        try:
            await asyncio.to_thread(receipt_log.flush)
        except OSError as problem:
            _LOG.error("acknowledgements_not_written", problem=problem.strerror)
