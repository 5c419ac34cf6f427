"""Writes down acknowledged ledger writes, behind the answers and off the event loop."""

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from refpay.clock import Clock
from refpay.errors import StartRefused
from refpay.ids import mint_id
from refpay.ledger.acknowledged import SUFFIX, Acknowledgement
from refpay.ledger.entries import Entry
from refpay.runtime import running

_LOG: Final = structlog.get_logger()
_FLUSH_SECONDS: Final = 0.1
# About 200,000 acknowledgements in 32 MiB for each service, then the oldest go.
_SEGMENT_BYTES: Final = 2 * 1024 * 1024
_SEGMENTS_KEPT: Final = 16
_PENDING_MOST: Final = 10_000


class Journal:
    """Appends to segments of one service, each of one process; synced to disk at every flush.

    What was acknowledged in the last `_FLUSH_SECONDS` before a kill is not written down: the probe reads
    back a little less, and no answer waits for a disk. Beyond `_PENDING_MOST` unwritten ones are not kept.
    """

    def __init__(self, folder: Path, *, service: str, clock: Clock) -> None:
        self._folder = folder
        self._service = service
        self._clock = clock
        self._pending: deque[bytes] = deque()
        # A cancelled flush goes on in its thread while the last one begins.
        self._lock = threading.Lock()
        self._segment: int | None = None
        self._begun: datetime | None = None
        self._written = 0

    def note(self, entry: Entry) -> None:
        """Remember an entry whose COMMIT was answered."""
        if len(self._pending) < _PENDING_MOST:
            self._pending.append(Acknowledgement.of(entry).to_json() + b"\n")

    def flush(self) -> None:
        """Write what is pending to disk; raises OSError and keeps it then."""
        with self._lock:
            count = len(self._pending)
            if not count:
                return
            if self._segment is None or self._written >= _SEGMENT_BYTES:
                self._segment = self._begin_segment()
            content = b"".join(self._pending[index] for index in range(count))
            # At its place, so that what a full disk cut off is written over next time.
            done = 0
            while done < len(content):
                done += os.pwrite(self._segment, content[done:], self._written + done)
            os.fsync(self._segment)
            self._written += len(content)
            for _ in range(count):
                self._pending.popleft()

    def close(self) -> None:
        """Write what is pending and close the segment; raises OSError."""
        try:
            self.flush()
        finally:
            if self._segment is not None:
                os.close(self._segment)
                self._segment = None

    def _begin_segment(self) -> int:
        # The names sort by time, to the millisecond: two segments never share one, whatever the clock says.
        now = self._clock.now()
        self._begun = now if self._begun is None else max(now, self._begun + timedelta(milliseconds=1))
        name = f"{mint_id(self._begun)}-{self._service}{SUFFIX}"
        begun = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if self._segment is not None:
            os.close(self._segment)
        self._written = 0
        for old in sorted(self._folder.glob(f"*-{self._service}{SUFFIX}"))[:-_SEGMENTS_KEPT]:
            old.unlink(missing_ok=True)
        return begun


@asynccontextmanager
async def open_journal(folder: Path, *, service: str, clock: Clock) -> AsyncIterator[Journal]:
    """Yield a journal that is flushed many times a second; raises StartRefused for an unwritable folder."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StartRefused(f"REFPAY_ACKNOWLEDGEMENTS_FOLDER cannot be written to: {folder}")
    journal = Journal(folder, service=service, clock=clock)
    try:
        async with running(_flush_often(journal)):
            yield journal
    finally:
        try:
            journal.close()
        except OSError as problem:
            _LOG.error("acknowledgements_not_written", problem=problem.strerror)


async def _flush_often(journal: Journal) -> None:
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        try:
            await asyncio.to_thread(journal.flush)
        except OSError as problem:
            _LOG.error("acknowledgements_not_written", problem=problem.strerror)
