"""The tracer: decides on sampling before a span is made, and passes ended spans to the batch exporter."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Final, Self

from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.correlation.context import Context, get_active, restore_active, set_active
from moneypath.telemetry.correlation.trace import LENGTH, Trace, parse
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.tracing.batch_exporter import BatchExporter, Sink
from moneypath.telemetry.tracing.span import Bridge, Span
from moneypath.telemetry.tracing.span_data import FaultDomain, SpanKind, SpanPreset
from moneypath.telemetry.tracing.texts import as_text

DEFAULT_RATIO: Final = 0.1
DEFAULT_SLOW_SECONDS: Final = 2.0
DEFAULT_QUEUE_LIMIT: Final = 4096
DEFAULT_CLOSE_SECONDS: Final = 5.0
_RANDOM_BITS: Final = 56
# In a header of the usual length the last digit decides whether the sampled flag is set. Slicing one
# character creates no new object.
_BEFORE_FLAG: Final = LENGTH - 1
_FLAGS: Final[dict[str | bytes, bool]] = {"0": False, "1": True, b"0": False, b"1": True}


class Tracer:
    """Makes spans. Nothing is exported until `setup(..., tracer=...)` has started it.

    A caller's sampled flag is honoured. Without a caller, `ratio` of the traces is sampled, by the same
    rule as OpenTelemetry's consistent samplers. Spans that fail, stay without an answer or take at least
    `slow_seconds` are exported in any case. At most `queue_limit` ended spans wait for `sink`; more are
    dropped and counted. `clock` returns monotonic seconds.
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
            raise TelemetryError(f"The tracer's ratio {ratio} is not between 0 and 1.")
        if not slow_seconds > 0:
            raise TelemetryError(f"The tracer's slow_seconds {slow_seconds} is not above 0.")
        if queue_limit < 1:
            raise TelemetryError(f"The tracer's queue_limit {queue_limit} is not at least 1.")
        self.clock = clock
        self.slow_seconds = slow_seconds
        self.bridge = bridge
        # A trace is sampled if the low bits of its id are at least this much.
        self.threshold = (1 << _RANDOM_BITS) - round(ratio * (1 << _RANDOM_BITS))
        self._batch_exporter = None if sink is None else BatchExporter(sink, queue_limit, clock)

    def span(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, object] | None = None,
        parent: Context | None = None,
    ) -> Span:
        """Return a context manager that times a piece of work and makes it active.

        `name` and the names of `attributes` must come from the code, never from data. `parent` is the
        context that a caller or message carried (`correlation.extract`). Without it, the parent is the
        active span or context.
        """
        span = Span()
        span._tracer = self
        span._explicit_parent = parent
        span.name = name
        span.kind = kind
        span.attributes = attributes
        span._child_ancestry = span.details = span.outcome = None
        return span

    def begin(
        self,
        name: str,
        kind: SpanKind,
        correlation_id: str | None = None,
        traceparent: str | bytes | None = None,
        tracestate: str | None = None,
        started_at: float | None = None,
    ) -> Span:
        """Begin a span for an incoming request, for code without a block to wrap. Call `end` on the result.

        `correlation_id` comes from `correlation.accept`; `started_at` is the clock if the caller has read
        it. Without id and header the span begins under what is active.
        """
        # The sampled flag of a header of the usual length is trusted before the header is parsed. The
        # header is parsed when somebody asks for ids; if it turns out to be malformed, this span begins a
        # new trace.
        sampled = None if traceparent is None else _FLAGS.get(traceparent[_BEFORE_FLAG:])
        if sampled is None or tracestate or self.bridge is not None:
            return self._begin_slowly(name, kind, correlation_id, traceparent, tracestate, started_at)
        span = Span()
        span._tracer = self
        span._id_bits = 0
        span._remote_parent = traceparent
        span._correlation_id = correlation_id
        span._started_at = self.clock() if started_at is None else started_at
        span._child_ancestry = span._ancestry = span._payment_id = None
        span.attributes = span.details = span.outcome = None
        span.name = name
        span.kind = kind
        span.sampled = sampled
        span._token = set_active(span)
        return span

    def _begin_slowly(
        self,
        name: str,
        kind: SpanKind,
        correlation_id: str | None,
        traceparent: str | bytes | None,
        tracestate: str | None,
        started_at: float | None,
    ) -> Span:
        span = self.span(name, kind, None, _parse_carried(correlation_id, traceparent, tracestate))
        span.__enter__()
        if started_at is not None:
            span._started_at = started_at
        return span

    def start(self, count_drop: Callable[[DropReason], None]) -> None:
        """Start to export in a thread of its own. `setup` calls it once."""
        if self._batch_exporter is not None:
            self._batch_exporter.start(count_drop)

    def on_span_end(self, span: Span) -> None:
        """Queue an ended span for export. Never blocks."""
        if self._batch_exporter is not None:
            self._batch_exporter.take(span)

    def close(self, timeout_seconds: float = DEFAULT_CLOSE_SECONDS) -> bool:
        """Export the queued spans and stop. Return False if time ran out; the rest is counted as dropped.

        Spans can still be made afterwards; they are dropped and counted.
        """
        return self._batch_exporter is None or self._batch_exporter.close(timeout_seconds)


class NonRecordingSpan(Span):
    """A span that records nothing and passes a caller's context on.

    It makes active the context that it was given. With a caller whose header nobody has read yet it makes
    itself active, and stands for that caller's context.
    """

    __slots__ = ()

    def __init__(self, parent: Context | None) -> None:
        self._explicit_parent = parent
        self._child_ancestry = self._remote_parent = self._correlation_id = self._ancestry = None
        self._payment_id = self._token = None
        self._started_at = 0.0
        self._id_bits = 0
        self.name = ""
        self.kind = SpanKind.INTERNAL
        self.attributes = self.details = self.outcome = None
        self.sampled = False

    def __enter__(self) -> Self:
        if self._explicit_parent is not None:
            self._token = set_active(self._explicit_parent)
        return self

    def end(
        self,
        error: BaseException | None = None,  # noqa: ARG002 - a span's signature
        ended: float | None = None,  # noqa: ARG002
        preset: SpanPreset | None = None,  # noqa: ARG002
    ) -> None:
        """Restore what was active before."""
        token = self._token
        if token is not None:
            self._token = None
            restore_active(token)

    def set(self, name: str, value: object) -> None:
        """Do nothing."""

    def end_with(
        self,
        outcome: str | None = None,
        fault_domain: FaultDomain | None = None,
        status_code: int | None = None,
    ) -> None:
        """Do nothing."""

    @property
    def trace(self) -> Trace | None:  # type: ignore[override]  # where a span has ids of its own
        """Return the caller's ids."""
        return self._read_remote_parent()

    def name_payment(self, payment_id: str) -> None:
        """Set the payment of the context that this span stands for, if there is one."""
        if self._correlation_id is not None:
            self._payment_id = payment_id


def _parse_carried(
    correlation_id: str | None, traceparent: str | bytes | None, tracestate: str | None
) -> Context | None:
    trace = parse(as_text(traceparent), tracestate)
    if correlation_id is not None:
        return Context(correlation_id, trace)
    return None if trace is None else Context(trace.trace_id, trace)


_NON_RECORDING_SPAN: Final = NonRecordingSpan(None)


class NoopTracer(Tracer):
    """The tracer of a service without tracing: it passes a caller's context on unchanged."""

    def span(
        self,
        name: str,  # noqa: ARG002 - the tracer's signature
        kind: SpanKind = SpanKind.INTERNAL,  # noqa: ARG002
        attributes: Mapping[str, object] | None = None,  # noqa: ARG002
        parent: Context | None = None,
    ) -> Span:
        """Return a span that records nothing."""
        return _NON_RECORDING_SPAN if parent is None else NonRecordingSpan(parent)

    def begin(
        self,
        name: str,  # noqa: ARG002
        kind: SpanKind,  # noqa: ARG002
        correlation_id: str | None = None,
        traceparent: str | bytes | None = None,
        tracestate: str | None = None,
        started_at: float | None = None,  # noqa: ARG002
    ) -> Span:
        """Make the caller's context active."""
        # As in `Tracer.begin`: the flag is trusted, and the header is parsed when somebody asks for ids.
        sampled = None if traceparent is None else _FLAGS.get(traceparent[_BEFORE_FLAG:])
        if correlation_id is not None and (traceparent is None or (sampled is not None and not tracestate)):
            span = NonRecordingSpan.__new__(NonRecordingSpan)
            span._remote_parent = traceparent
            span._correlation_id = correlation_id
            span._ancestry = span._payment_id = span.details = None
            span.sampled = sampled is True
            span._token = set_active(span)
            return span
        return NonRecordingSpan(_parse_carried(correlation_id, traceparent, tracestate)).__enter__()


NOOP_TRACER: Final = NoopTracer()


def current_span() -> Span:
    """Return the current span; outside of any, one that records nothing."""
    found = get_active()
    return found if isinstance(found, Span) else _NON_RECORDING_SPAN
