"""Observes message consumers: enters the producer's context, times the handling, counts dead letters.

The modules beside this one adapt it to a library. A service on another broker uses it directly.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from moneypath.telemetry import correlation
from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason, MessageOutcome, Outcome
from moneypath.telemetry.correlation import ids, trace
from moneypath.telemetry.recording.recorder import Recorder
from moneypath.telemetry.tracing import Span, SpanKind

__all__ = [
    "Backlog",
    "BacklogGauges",
    "Consumer",
    "DeadLetterReason",
    "Handling",
    "context_headers",
    "set_aside",
]

DURATION: Final = "moneypath_message_duration_seconds"
DEAD_LETTERS: Final = "moneypath_dead_letters_total"
DEPTH: Final = "moneypath_queue_depth"
OLDEST: Final = "moneypath_queue_oldest_timestamp_seconds"
# A span attribute; its values are a closed set as well.
REASON: Final = "moneypath.dead_letter_reason"
# Producers are not trusted: the number of headers is limited, and so is the length of a value, to what W3C
# Trace Context requires everybody to pass on.
HEADERS_LIMIT: Final = 256
VALUE_LENGTH_LIMIT: Final = trace.STATE_LENGTH_LIMIT
MEASURE_WITHIN_SECONDS: Final = 5.0

V = TypeVar("V")

_CARRIED: Final = frozenset({ids.HEADER, trace.HEADER, trace.STATE_HEADER})
_NAME_LENGTH_LIMIT: Final = max(map(len, _CARRIED))


class Handling:
    """The handling of one delivery. It counts as handled unless told otherwise or ended by an exception."""

    __slots__ = ("failed", "is_last", "reason")

    def __init__(self) -> None:
        self.failed = False
        # Whether the broker drops the message if this delivery fails.
        self.is_last = False
        self.reason: str | None = None

    def fail(self) -> None:
        """Mark the message as not handled; it will be delivered again."""
        self.failed = True

    def set_aside(self, reason: str) -> None:
        """Mark the message as a dead letter. `reason` is one of DeadLetterReason; the first reason counts."""
        if self.reason is None:
            self.reason = reason

    @property
    def outcome(self) -> MessageOutcome:
        """Return the outcome so far."""
        if self.reason is not None:
            return MessageOutcome.DEAD_LETTERED
        return MessageOutcome.FAILED if self.failed else MessageOutcome.HANDLED


_current_handling: ContextVar[Handling | None] = ContextVar("moneypath_message", default=None)


def current_handling() -> Handling | None:
    """Return the handling that this code runs in, or None."""
    return _current_handling.get()


def set_aside(reason: str) -> None:
    """Record the current message as a dead letter. Does nothing outside a handling.

    This only records it. The handler itself must reject, terminate or republish the message.
    """
    handling = _current_handling.get()
    if handling is not None:
        handling.set_aside(reason)


class Consumer:
    """Observes the consumers of one queue.

    `queue` is one of the catalogue's; `system` is OpenTelemetry's name of the broker. Raises LabelsUnknown
    for another queue, and MetricUnknown if the recorder lacks `moneypath_message_duration_seconds` or
    `moneypath_dead_letters_total`.
    """

    def __init__(self, recorder: Recorder, queue: str, *, system: str | None = None) -> None:
        durations = recorder.histogram(DURATION)
        self._durations = {
            outcome: durations.bind(queue=queue, outcome=outcome.value) for outcome in MessageOutcome
        }
        self._dead = recorder.counter(DEAD_LETTERS)
        for reason in DeadLetterReason:
            self._dead.bind(queue=queue, reason=reason.value)
        self._now = recorder.now
        self._queue = queue
        self._tracer = recorder.tracer
        self._span_name = f"process {queue}"
        self._attributes = {"messaging.operation.type": "process", "messaging.destination.name": queue}
        if system is not None:
            self._attributes["messaging.system"] = system

    @contextmanager
    def handling(self, headers: object) -> Iterator[Handling]:
        """Activate the context of the message's headers, and record how the block ends.

        The block is a span below the producer's. An exception counts as failed and passes on. Malformed
        headers are ignored.
        """
        started_at = self._now()
        handling = Handling()
        context = read_context(headers)
        with self._tracer.span(self._span_name, SpanKind.CONSUMER, self._attributes, context) as span:
            token = _current_handling.set(handling)
            try:
                yield handling
            except BaseException:
                handling.fail()
                raise
            finally:
                # Ignored if the block ends in another task than it began in.
                with suppress(ValueError, RuntimeError):
                    _current_handling.reset(token)
                _record_on_span(span, handling)
                self._record(handling, self._now() - started_at)

    @contextmanager
    def handling_together(self, headers: Sequence[object]) -> Iterator[None]:
        """Record several messages, given by their headers, as handled if the block ends without an exception.

        Each message gets the duration of the whole block, and a span of its own below its producer's. The
        block runs in none of their contexts. An exception passes on and records nothing; handle the
        messages one by one then.
        """
        started_at, span_started_at = self._now(), self._tracer.clock()
        yield
        seconds, span_ended = self._now() - started_at, self._tracer.clock()
        for carried in headers:
            self._durations[MessageOutcome.HANDLED].observe(seconds)
            span = self._begin_span(read_context(carried), span_started_at)
            span.attributes = self._attributes
            span.end(ended=span_ended)

    def _begin_span(self, context: correlation.Context, started_at: float) -> Span:
        trace = context.trace
        header, state = (None, None) if trace is None else (trace.header, trace.state or None)
        return self._tracer.begin(
            self._span_name, SpanKind.CONSUMER, context.correlation_id, header, state, started_at
        )

    def _record(self, handling: Handling, seconds: float) -> None:
        self._durations[handling.outcome].observe(seconds)
        if handling.reason is not None:
            self.count_dead(handling.reason)

    def count_dead(self, reason: str) -> None:
        """Count a message that became a dead letter without being handled. Never raises."""
        self._dead.inc(queue=self._queue, reason=reason)


def _record_on_span(span: Span, handling: Handling) -> None:
    """Set on the span what the exception, if there is one, does not say."""
    if handling.outcome is not MessageOutcome.HANDLED:
        span.end_with(Outcome.FAILED)
    if handling.reason is not None:
        span.set(REASON, handling.reason)


def read_context(headers: object) -> correlation.Context:
    """Return the context of a message's headers: a mapping or pairs, with text or bytes.

    Names match in any case. A header that occurs twice is ignored, because it is unclear which one counts;
    so is one that is not short printable ASCII text.
    """
    values: dict[str, list[object]] = {}
    for name, value in _carried(headers):
        values.setdefault(name, []).append(value)
    texts = {name: _read_text(given[0]) for name, given in values.items() if len(given) == 1}
    return correlation.extract({name: text for name, text in texts.items() if text is not None})


def context_headers() -> dict[str, str]:
    """Return the active context as headers that any library accepts; empty if there is none."""
    headers: dict[str, str] = {}
    correlation.inject(headers)
    # The active context may come from a request, whose headers have other rules than a message's.
    return {name: value for name, value in headers.items() if _read_text(value) is not None}


def outgoing(headers: Iterable[tuple[str, V]]) -> tuple[list[tuple[str, V]], dict[str, str]]:
    """Return the headers to keep, and the headers of the active context that replace the others."""
    context = context_headers()
    if not context:
        return list(headers), context
    # Remove all of them: a tracestate that stayed would belong to another trace.
    return [(name, value) for name, value in headers if str(name).lower() not in _CARRIED], context


def _carried(headers: object) -> Iterator[tuple[str, object]]:
    pairs: Iterable[object]
    if isinstance(headers, Mapping):
        pairs = headers.items()
    elif isinstance(headers, list | tuple):
        pairs = headers
    else:
        return
    for pair in islice(pairs, HEADERS_LIMIT):
        if not isinstance(pair, tuple) or len(pair) != 2:
            continue
        name, value = pair
        if isinstance(name, str) and len(name) <= _NAME_LENGTH_LIMIT and name.lower() in _CARRIED:
            yield name.lower(), value


def _read_text(value: object) -> str | None:
    if not isinstance(value, str | bytes) or len(value) > VALUE_LENGTH_LIMIT:
        return None
    try:
        text = value.decode("ascii") if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return None
    # A line break would begin another header when the value is passed on.
    return text if text.isascii() and text.isprintable() else None


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many messages wait, and since when the oldest one waits in Unix time, if the broker reports it."""

    depth: int
    oldest: float | None = None


class BacklogGauges:
    """The gauges of one queue's backlog. One process is enough; with more, use `max` over them.

    `queue` is one of the catalogue's; another raises LabelsUnknown.
    """

    def __init__(self, recorder: Recorder, queue: str) -> None:
        self._depth = recorder.gauge(DEPTH).bind(queue=queue)
        self._oldest = recorder.gauge(OLDEST).bind(queue=queue)

    def show(self, backlog: Backlog | None) -> None:
        """Set the gauges; None means unknown and clears both."""
        if backlog is None:
            self._depth.clear()
        else:
            self._depth.set(backlog.depth)
        if backlog is None or backlog.oldest is None:
            self._oldest.clear()
        else:
            self._oldest.set(backlog.oldest)

    async def measure(self, read: Callable[[], Awaitable[Backlog]]) -> bool:
        """Set the gauges to what `read` returns within five seconds.

        Return False and clear them if it fails.
        """
        try:
            async with asyncio.timeout(MEASURE_WITHIN_SECONDS):
                backlog = await read()
        except Exception:  # noqa: BLE001 - whatever the broker or its client does, measuring it breaks nothing
            self.show(None)
            return False
        self.show(backlog)
        return True
