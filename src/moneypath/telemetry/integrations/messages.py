"""What every consumer of messages does: enter the producer's context, time the handling, count what dies.

The modules beside this one fit it to a library; a service on another broker uses it as it is.
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
# Of a span; the reason is one of a closed set there too.
REASON: Final = "moneypath.dead_letter_reason"
# What a producer sends is not trusted: so many headers are looked at, and no value longer than the longest
# that the Trace Context recommendation obliges anybody to pass on.
HEADERS_LIMIT: Final = 256
VALUE_LENGTH_LIMIT: Final = trace.STATE_LENGTH_LIMIT
MEASURE_WITHIN_SECONDS: Final = 5.0

V = TypeVar("V")

_CARRIED: Final = frozenset({ids.HEADER, trace.HEADER, trace.STATE_HEADER})
_NAME_LENGTH_LIMIT: Final = max(map(len, _CARRIED))


class Handling:
    """One delivery of a message; without a word and without an exception it was handled."""

    __slots__ = ("failed", "is_last", "reason")

    def __init__(self) -> None:
        self.failed = False
        # Whether the broker gives it up when it fails.
        self.is_last = False
        self.reason: str | None = None

    def fail(self) -> None:
        """Say that it was not handled and will come again."""
        self.failed = True

    def set_aside(self, reason: str) -> None:
        """Say that it is set aside, and why: one of DeadLetterReason; the first reason stays."""
        if self.reason is None:
            self.reason = reason

    @property
    def outcome(self) -> MessageOutcome:
        """Return what has been said so far."""
        if self.reason is not None:
            return MessageOutcome.DEAD_LETTERED
        return MessageOutcome.FAILED if self.failed else MessageOutcome.HANDLED


_at_hand: ContextVar[Handling | None] = ContextVar("moneypath_message", default=None)


def at_hand() -> Handling | None:
    """Return the handling that this code is part of, or None outside of any."""
    return _at_hand.get()


def set_aside(reason: str) -> None:
    """Say that the message at hand is set aside, and why; outside of any handling nothing happens.

    It says so and does nothing: the message is rejected, terminated or published elsewhere by its handler.
    """
    handling = _at_hand.get()
    if handling is not None:
        handling.set_aside(reason)


class Consumer:
    """Observe what consumes one queue.

    `queue` is one of the catalogue's, `system` what OpenTelemetry calls the broker. Another queue raises
    LabelsUnknown; a recorder without `moneypath_message_duration_seconds` or `moneypath_dead_letters_total`,
    MetricUnknown.
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
        """Enter the context that the headers of a message carry, and record how the block ends.

        The block is a span below the producer's. An exception is a failed handling and passes on. Whatever
        the headers hold, they harm nobody.
        """
        begun = self._now()
        handling = Handling()
        context = read_context(headers)
        with self._tracer.span(self._span_name, SpanKind.CONSUMER, self._attributes, context) as span:
            token = _at_hand.set(handling)
            try:
                yield handling
            except BaseException:
                handling.fail()
                raise
            finally:
                # A block that ends in another task than it began in changes nothing there.
                with suppress(ValueError, RuntimeError):
                    _at_hand.reset(token)
                _tell(span, handling)
                self._record(handling, self._now() - begun)

    @contextmanager
    def handling_together(self, headers: Sequence[object]) -> Iterator[None]:
        """Record messages, of which these are the headers, as handled if the block ends in peace.

        Each has the time that all of them took, and a span of its own below its producer's. The block itself
        is in no context of theirs. An exception passes on and records nothing: then they are handled singly.
        """
        begun, span_begun = self._now(), self._tracer.clock()
        yield
        seconds, span_ended = self._now() - begun, self._tracer.clock()
        for carried in headers:
            self._durations[MessageOutcome.HANDLED].observe(seconds)
            span = self._begin_span(read_context(carried), span_begun)
            span.attributes = self._attributes
            span.end(ended=span_ended)

    def _begin_span(self, context: correlation.Context, begun: float) -> Span:
        trace = context.trace
        header, state = (None, None) if trace is None else (trace.header, trace.state or None)
        return self._tracer.begin(
            self._span_name, SpanKind.CONSUMER, context.correlation_id, header, state, begun
        )

    def _record(self, handling: Handling, seconds: float) -> None:
        self._durations[handling.outcome].observe(seconds)
        if handling.reason is not None:
            self.count_dead(handling.reason)

    def count_dead(self, reason: str) -> None:
        """Count a message that was set aside without ever being handled; never raises."""
        self._dead.inc(queue=self._queue, reason=reason)


def _tell(span: Span, handling: Handling) -> None:
    """Say on the span what the exception, if there is one, does not."""
    if handling.outcome is not MessageOutcome.HANDLED:
        span.end_with(Outcome.FAILED)
    if handling.reason is not None:
        span.set(REASON, handling.reason)


def read_context(headers: object) -> correlation.Context:
    """Return the context that a message's headers carry, a mapping or pairs, with texts or bytes.

    A name is found in any case. One that stands twice is none, because nothing says which is meant; what is
    no short printable ASCII text is none either.
    """
    values: dict[str, list[object]] = {}
    for name, value in _carried(headers):
        values.setdefault(name, []).append(value)
    texts = {name: _read_text(given[0]) for name, given in values.items() if len(given) == 1}
    return correlation.extract({name: text for name, text in texts.items() if text is not None})


def context_headers() -> dict[str, str]:
    """Return the active context as headers that any library and any store takes, none outside of any."""
    headers: dict[str, str] = {}
    correlation.inject(headers)
    # What came in with a request was not judged by the rules of a message.
    return {name: value for name, value in headers.items() if _read_text(value) is not None}


def outgoing(headers: Iterable[tuple[str, V]]) -> tuple[list[tuple[str, V]], dict[str, str]]:
    """Return the headers to keep, and those of the active context instead of what is left out."""
    context = context_headers()
    if not context:
        return list(headers), context
    # All of them go: a tracestate that stayed behind would belong to another trace.
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
    # A line break in it would begin another header wherever it is sent on.
    return text if text.isascii() and text.isprintable() else None


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many messages wait, and since when the oldest does, in Unix time, if the broker says so."""

    depth: int
    oldest: float | None = None


class BacklogGauges:
    """Show what waits in one queue; of several processes one is enough, and `max` joins more.

    `queue` is one of the catalogue's; another raises LabelsUnknown.
    """

    def __init__(self, recorder: Recorder, queue: str) -> None:
        self._depth = recorder.gauge(DEPTH).bind(queue=queue)
        self._oldest = recorder.gauge(OLDEST).bind(queue=queue)

    def show(self, backlog: Backlog | None) -> None:
        """Show it; None: nobody knows, and then both gauges are absent."""
        if backlog is None:
            self._depth.clear()
        else:
            self._depth.set(backlog.depth)
        if backlog is None or backlog.oldest is None:
            self._oldest.clear()
        else:
            self._oldest.set(backlog.oldest)

    async def measure(self, read: Callable[[], Awaitable[Backlog]]) -> bool:
        """Show what `read` says within five seconds; False if it fails, and then nothing is shown."""
        try:
            async with asyncio.timeout(MEASURE_WITHIN_SECONDS):
                backlog = await read()
        except Exception:  # noqa: BLE001 - whatever the broker or its client does, measuring it breaks nothing
            self.show(None)
            return False
        self.show(backlog)
        return True
