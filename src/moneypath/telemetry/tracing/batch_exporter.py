"""The batch exporter: a bounded queue of ended spans, and one thread that redacts and exports them."""

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
from moneypath.telemetry.tracing.redacted_span import RedactedSpan, SpanRedactor
from moneypath.telemetry.tracing.span import Span

INTERVAL_SECONDS: Final = 1.0
BATCH_LIMIT: Final = 512
EXIT_SECONDS: Final = 2.0


class Sink(Protocol):
    """Where spans are exported to.

    The batch exporter's thread calls it; `close` may be called from another one.
    """

    def open(self) -> None:
        """Make what exporting needs. Called once in each process, before the first export."""
        ...

    def export(self, spans: Sequence[RedactedSpan]) -> bool:
        """Send spans; may block. If it returns False or raises, the spans are lost and counted as drops."""
        ...

    def close(self) -> None:
        """Release what `open` made, and wake up an `export` that is blocked."""
        ...


class BatchExporter:
    """Exports ended spans to a sink. `take` never blocks, takes no lock and never raises."""

    def __init__(self, sink: Sink, queue_limit: int, clock: Callable[[], float]) -> None:
        self._sink = sink
        self._limit = queue_limit
        self._clock = clock
        self._queue: deque[Span] = deque()
        self._is_closed = False
        self._count_drop: Callable[[DropReason], None] = _count_nothing
        self._writer = SpanRedactor()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._wake_at = min(BATCH_LIMIT, max(1, queue_limit // 2))

    def take(self, span: Span) -> None:
        """Add a span to the queue; count a drop if the queue is full."""
        waiting = len(self._queue)
        if waiting >= self._limit or self._is_closed:
            self._count_drop(DropReason.SPAN_QUEUE_FULL)
            return
        self._queue.append(span)
        # Waking the thread takes a lock, so it happens once for each batch. With fewer spans the thread
        # wakes up by itself.
        if waiting >= self._wake_at and not self._woken.is_set():
            self._woken.set()

    def start(self, count_drop: Callable[[DropReason], None]) -> None:
        """Open the sink and start to export, in forked children as well."""
        if self._thread is not None or self._is_closed:
            raise TelemetryError(
                "The tracer was already started.", hint="Make one tracer for each call of setup()."
            )
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
        """Restart in a forked child: it has no threads, and the queued spans belong to the parent."""
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
            # Computed for each batch, so that spans follow changes of the system clock.
            offset_ns = time.time_ns() - round(self._clock() * 1e9)
            ended = [queue.popleft() for _ in range(min(BATCH_LIMIT, len(queue)))]
            records = self._write(ended, offset_ns)
            try:
                is_sent = self._sink.export(records)
            except Exception:  # noqa: BLE001 - an exporter of others may raise anything
                is_sent = False
            self._count_lost(len(ended) - (len(records) if is_sent else 0))

    def _write(self, ended: Sequence[Span], offset_ns: int) -> list[RedactedSpan]:
        """Redact spans, skipping one that fails, so that it does not cost the whole batch."""
        records = []
        for span in ended:
            with contextlib.suppress(Exception):
                records.append(self._writer.write(span.to_data(), offset_ns))
        return records

    def _close_sink(self) -> None:
        with contextlib.suppress(Exception):
            self._sink.close()

    def _count_lost(self, spans: int) -> None:
        for _ in range(spans):
            self._count_drop(DropReason.SPAN_EXPORT_FAILED)

    def close(self, timeout_seconds: float) -> bool:
        """Export the queued spans within the time; see `Tracer.close`."""
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
            # The exporter hangs. The thread is a daemon, so the process can end anyway.
            self._close_sink()
        return is_done

    def _end(self) -> None:
        self.close(EXIT_SECONDS)


def _count_nothing(_reason: DropReason) -> None:
    return


def _do_nothing() -> None:
    return
