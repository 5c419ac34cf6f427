"""The tracer: decides what is sampled before a span is made, and takes in what has ended."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Final, Protocol, Self

from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.correlation.context import Active, Context, get_active, leave, set_active
from moneypath.telemetry.correlation.trace import LENGTH, Trace, parse
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.tracing.courier import Courier, Sink
from moneypath.telemetry.tracing.finished import Ending, FaultDomain, SpanKind
from moneypath.telemetry.tracing.span import Span
from moneypath.telemetry.tracing.texts import as_text

DEFAULT_RATIO: Final = 0.1
DEFAULT_SLOW_SECONDS: Final = 2.0
DEFAULT_QUEUE_LIMIT: Final = 4096
DEFAULT_CLOSE_SECONDS: Final = 5.0
_RANDOM_BITS: Final = 56
# The last digit of a header of the usual length says what its sampled flag does, whatever others there are.
# A slice of one character is no new object.
_BEFORE_FLAG: Final = LENGTH - 1
_FLAGS: Final[dict[str | bytes, bool]] = {"0": False, "1": True, b"0": False, b"1": True}


class Bridge(Protocol):
    """What joins our spans with another tracing system of the same process; must not raise."""

    def adopt(self, span: Span, parent: Active | None) -> Active | None:
        """Return what the span begins under, given what is active here."""
        ...

    def attach(self, span: Span) -> object:
        """Make the span the other system's parent; return what `detach` needs."""
        ...

    def detach(self, token: object) -> None:
        """Undo `attach`."""
        ...


class Tracer:
    """Make spans. Nothing is exported before `setup(..., tracer=...)` has started it.

    A caller's sampled flag is honoured; without a caller `ratio` of the trace ids are sampled, the same
    ones that OpenTelemetry's consistent samplers choose. Spans that fail, stay without an answer or take
    `slow_seconds` are exported all the same. At most `queue_limit` ended spans wait for `sink`, further
    ones are dropped and counted. `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        sink: Sink | None = None,
        *,
        ratio: float = DEFAULT_RATIO,
        slow_seconds: float = DEFAULT_SLOW_SECONDS,
        queue_limit: int = DEFAULT_QUEUE_LIMIT,
        bridge: Bridge | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        if not 0 <= ratio <= 1:
            raise TelemetryError(f"tracer: ratio {ratio}: not between 0 and 1")
        if not slow_seconds > 0:
            raise TelemetryError(f"tracer: slow_seconds {slow_seconds}: not above 0")
        if queue_limit < 1:
            raise TelemetryError(f"tracer: queue_limit {queue_limit}: not at least 1")
        self.clock = clock
        self.slow_seconds = slow_seconds
        self.bridge = bridge
        # A trace is sampled if the low bits of its id are at least this much.
        self.threshold = (1 << _RANDOM_BITS) - round(ratio * (1 << _RANDOM_BITS))
        self._courier = None if sink is None else Courier(sink, queue_limit, clock)

    def span(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, object] | None = None,
        parent: Context | None = None,
    ) -> Span:
        """Return a context manager that times a piece of work and makes it the active one.

        `name` and the names of `attributes` come from the code, never from data. `parent` is what a caller
        or a message carried (`correlation.extract`); without it the active span or context is the parent.
        """
        span = Span()
        span._tracer = self
        span._given = parent
        span.name = name
        span.kind = kind
        span.attributes = attributes
        span._below = span.details = span.outcome = None
        return span

    def begin(
        self,
        name: str,
        kind: SpanKind,
        correlation_id: str | None = None,
        traceparent: str | bytes | None = None,
        tracestate: str | None = None,
        begun: float | None = None,
    ) -> Span:
        """Begin a span for what came in, for code that has no block to put round it; its `end` ends it.

        `correlation_id` is one that `correlation.accept` returned, `begun` the clock if it was read already.
        With neither id nor header it begins under what is active.
        """
        # What the flag of a header of the usual length says is believed before the header is read. It is read
        # when somebody asks for ids; if it turns out to be malformed, this span begins a trace then.
        sampled = None if traceparent is None else _FLAGS.get(traceparent[_BEFORE_FLAG:])
        if sampled is None or tracestate or self.bridge is not None:
            return self._begin_otherwise(name, kind, correlation_id, traceparent, tracestate, begun)
        span = Span()
        span._tracer = self
        span._bits = 0
        span._caller = traceparent
        span._correlation_id = correlation_id
        span._begun = self.clock() if begun is None else begun
        span._below = span._local = span._payment_id = None
        span.attributes = span.details = span.outcome = None
        span.name = name
        span.kind = kind
        span.sampled = sampled
        span._token = set_active(span)
        return span

    def _begin_otherwise(
        self,
        name: str,
        kind: SpanKind,
        correlation_id: str | None,
        traceparent: str | bytes | None,
        tracestate: str | None,
        begun: float | None,
    ) -> Span:
        span = self.span(name, kind, None, _read_carried(correlation_id, traceparent, tracestate))
        span.__enter__()
        if begun is not None:
            span._begun = begun
        return span

    def start(self, count_drop: Callable[[DropReason], None]) -> None:
        """Begin to export in a thread of its own; called by `setup`, once."""
        if self._courier is not None:
            self._courier.start(count_drop)

    def hand_over(self, span: Span) -> None:
        """Take in a span that has ended; never waits."""
        if self._courier is not None:
            self._courier.take(span)

    def close(self, timeout_seconds: float = DEFAULT_CLOSE_SECONDS) -> bool:
        """Export what waits and stop; False if that was not done in time, and the rest is counted as dropped.

        Spans may still be made afterwards; they are dropped and counted.
        """
        return self._courier is None or self._courier.close(timeout_seconds)


class SilentSpan(Span):
    """A span that is none: it keeps nothing, and makes active only what it is told to begin under, or itself.

    Itself if it has a caller that nobody has read yet: it then stands for that caller's context.
    """

    __slots__ = ()

    def __init__(self, parent: Context | None) -> None:
        self._given = parent
        self._below = self._caller = self._correlation_id = self._local = None
        self._payment_id = self._token = None
        self._begun = 0.0
        self._bits = 0
        self.name = ""
        self.kind = SpanKind.INTERNAL
        self.attributes = self.details = self.outcome = None
        self.sampled = False

    def __enter__(self) -> Self:
        if self._given is not None:
            self._token = set_active(self._given)
        return self

    def end(
        self,
        error: BaseException | None = None,  # noqa: ARG002 - a span's signature
        ended: float | None = None,  # noqa: ARG002
        ending: Ending | None = None,  # noqa: ARG002
    ) -> None:
        """Make active again what was before."""
        token = self._token
        if token is not None:
            self._token = None
            leave(token)

    def set(self, name: str, value: object) -> None:
        """Keep nothing."""

    def end_with(
        self,
        outcome: str | None = None,
        fault_domain: FaultDomain | None = None,
        status_code: int | None = None,
    ) -> None:
        """Keep nothing."""

    @property
    def trace(self) -> Trace | None:  # type: ignore[override]  # where a span has ids of its own
        """Return what the caller sent."""
        return self._read_caller()

    def name_payment(self, payment_id: str) -> None:
        """Keep it for the context that this stands for; the one span that stands for none keeps nothing."""
        if self._correlation_id is not None:
            self._payment_id = payment_id


def _read_carried(
    correlation_id: str | None, traceparent: str | bytes | None, tracestate: str | None
) -> Context | None:
    trace = parse(as_text(traceparent), tracestate)
    if correlation_id is not None:
        return Context(correlation_id, trace)
    return None if trace is None else Context(trace.trace_id, trace)


_SILENT_SPAN: Final = SilentSpan(None)


class SilentTracer(Tracer):
    """The tracer of a service that has none: a caller's context is passed on unchanged."""

    def span(
        self,
        name: str,  # noqa: ARG002 - the tracer's signature
        kind: SpanKind = SpanKind.INTERNAL,  # noqa: ARG002
        attributes: Mapping[str, object] | None = None,  # noqa: ARG002
        parent: Context | None = None,
    ) -> Span:
        """Return a span that is none."""
        return _SILENT_SPAN if parent is None else SilentSpan(parent)

    def begin(
        self,
        name: str,  # noqa: ARG002
        kind: SpanKind,  # noqa: ARG002
        correlation_id: str | None = None,
        traceparent: str | bytes | None = None,
        tracestate: str | None = None,
        begun: float | None = None,  # noqa: ARG002
    ) -> Span:
        """Make active what came in."""
        # Believed unread as a span's is; whoever asks for the ids gets what the header turns out to be.
        sampled = None if traceparent is None else _FLAGS.get(traceparent[_BEFORE_FLAG:])
        if correlation_id is not None and (traceparent is None or (sampled is not None and not tracestate)):
            span = SilentSpan.__new__(SilentSpan)
            span._caller = traceparent
            span._correlation_id = correlation_id
            span._local = span._payment_id = span.details = None
            span.sampled = sampled is True
            span._token = set_active(span)
            return span
        return SilentSpan(_read_carried(correlation_id, traceparent, tracestate)).__enter__()


SILENT: Final = SilentTracer()


def current_span() -> Span:
    """Return the span at work; one that keeps nothing outside of any."""
    found = get_active()
    return found if isinstance(found, Span) else _SILENT_SPAN
