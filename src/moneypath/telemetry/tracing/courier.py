"""Takes ended spans off the path: a bounded queue, and one thread that redacts and exports."""

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.tracing.record import RecordWriter, SpanRecord
from moneypath.telemetry.tracing.span import Span

INTERVAL_SECONDS: Final = 1.0
BATCH_LIMIT: Final = 512
EXIT_SECONDS: Final = 2.0


class Sink(Protocol):
    """Where spans go. Called in the courier's thread; `close` also from outside when that one hangs."""

    def open(self) -> None:
        """Make what exporting needs; called once in each process, before anything is exported."""
        ...

    def export(self, spans: Sequence[SpanRecord]) -> bool:
        """Send spans, however long that takes; False or an error: they are lost and counted."""
        ...

    def close(self) -> None:
        """Give up what `open` made, and wake an `export` that waits."""
        ...


class Courier:
    """Carry ended spans to a sink. `take` never waits, never locks and never raises."""

    def __init__(self, sink: Sink, queue_limit: int, clock: Callable[[], float]) -> None:
        self._sink = sink
        self._limit = queue_limit
        self._clock = clock
        self._queue: deque[Span] = deque()
        self._is_closed = False
        self._count_drop: Callable[[DropReason], None] = _count_nothing
        self._writer = RecordWriter()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._wake_at = min(BATCH_LIMIT, max(1, queue_limit // 2))

    def take(self, span: Span) -> None:
        """Put a span into the queue, or count that it is full."""
        waiting = len(self._queue)
        if waiting >= self._limit or self._is_closed:
            self._count_drop(DropReason.SPAN_QUEUE_FULL)
            return
        self._queue.append(span)
        # Waking takes a lock, so it is done once a batch; below that the thread comes by itself.
        if waiting >= self._wake_at and not self._woken.is_set():
            self._woken.set()

    def start(self, count_drop: Callable[[DropReason], None]) -> None:
        """Open the sink and begin to export, in forked children too."""
        if self._thread is not None or self._is_closed:
            raise TelemetryError("tracer: already started", hint="one tracer serves one setup")
        self._count_drop = count_drop
        self._sink.open()
        self._run_thread()
        atexit.register(self._end)
        if hasattr(os, "register_at_fork"):
            forked = weakref.WeakMethod(self._continue_in_child)
            os.register_at_fork(after_in_child=lambda: (forked() or _do_nothing)())

    def _run_thread(self) -> None:
        self._thread = threading.Thread(target=self._run, name="moneypath-spans", daemon=True)
        self._thread.start()

    def _continue_in_child(self) -> None:
        """Begin anew after a fork: threads and locks did not come along, and what waits is the parent's."""
        if self._thread is None or self._is_closed:
            return
        self._queue = deque()
        self._woken = threading.Event()
        try:
            self._sink.open()
            self._run_thread()
        except Exception:  # noqa: BLE001 - a child without spans is still a child that pays
            self._is_closed = True

    def _run(self) -> None:
        while not self._is_closed:
            self._woken.wait(INTERVAL_SECONDS)
            self._woken.clear()
            self._drain()
        self._drain()
        self._close_sink()

    def _drain(self) -> None:
        queue = self._queue
        while queue:
            # Bound to the tracer's clock anew for each batch, so that a clock that was set is followed.
            offset_ns = time.time_ns() - round(self._clock() * 1e9)
            ended = [queue.popleft() for _ in range(min(BATCH_LIMIT, len(queue)))]
            records = self._write(ended, offset_ns)
            try:
                is_sent = self._sink.export(records)
            except Exception:  # noqa: BLE001 - an exporter of others may raise anything
                is_sent = False
            self._count_lost(len(ended) - (len(records) if is_sent else 0))

    def _write(self, ended: Sequence[Span], offset_ns: int) -> list[SpanRecord]:
        """Write what can be written; one odd span must not cost the whole batch."""
        records = []
        for span in ended:
            with contextlib.suppress(Exception):
                records.append(self._writer.write(span.finish(), offset_ns))
        return records

    def _close_sink(self) -> None:
        with contextlib.suppress(Exception):
            self._sink.close()

    def _count_lost(self, spans: int) -> None:
        for _ in range(spans):
            self._count_drop(DropReason.SPAN_EXPORT_FAILED)

    def close(self, timeout_seconds: float) -> bool:
        """Export what waits within the time; see Tracer.close."""
        self._is_closed = True
        thread = self._thread
        is_done = True
        if thread is not None:
            atexit.unregister(self._end)
            self._woken.set()
            thread.join(timeout_seconds)
            is_done = not thread.is_alive()
        self._count_lost(len(self._queue))
        self._queue.clear()
        if not is_done:
            # It hangs in the exporter. The thread is a daemon, so it does not hold up the end of the process.
            self._close_sink()
        return is_done

    def _end(self) -> None:
        self.close(EXIT_SECONDS)


def _count_nothing(_reason: DropReason) -> None:
    return


def _do_nothing() -> None:
    return
