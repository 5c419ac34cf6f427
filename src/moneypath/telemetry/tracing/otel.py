"""Exports spans through the OpenTelemetry SDK, and shares its context.

No other module of `tracing` depends on OpenTelemetry. Needs the extra `moneypath[otel]`.
"""

from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace as otel_trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, TraceState

from moneypath.telemetry.correlation import Context, Trace
from moneypath.telemetry.correlation.context import Active
from moneypath.telemetry.tracing.redacted_span import RedactedSpan
from moneypath.telemetry.tracing.span import Span
from moneypath.telemetry.tracing.span_data import SpanKind

_KINDS: Final = {
    SpanKind.INTERNAL: otel_trace.SpanKind.INTERNAL,
    SpanKind.SERVER: otel_trace.SpanKind.SERVER,
    SpanKind.CLIENT: otel_trace.SpanKind.CLIENT,
    SpanKind.PRODUCER: otel_trace.SpanKind.PRODUCER,
    SpanKind.CONSUMER: otel_trace.SpanKind.CONSUMER,
}
_SCOPE: Final = InstrumentationScope("moneypath.telemetry")


class OtelSpans:
    """A sink that sends spans through an exporter of the OpenTelemetry SDK.

    `make_exporter` (`OTLPSpanExporter`, for example) is called once in each process, so that a forked
    worker does not share its parent's connection.
    """

    def __init__(self, make_exporter: Callable[[], SpanExporter], *, service: str) -> None:
        self._make_exporter = make_exporter
        self._exporter: SpanExporter | None = None
        # Includes OTEL_RESOURCE_ATTRIBUTES.
        self._resource = Resource.create({SERVICE_NAME: service})

    def open(self) -> None:
        """Make the exporter."""
        self._exporter = self._make_exporter()

    def export(self, spans: Sequence[RedactedSpan]) -> bool:
        """Send spans. Return False if the exporter failed."""
        if self._exporter is None:
            return False
        # The exporter's own calls must not be instrumented: each would make new spans.
        token = otel_context.attach(otel_context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            made = [_make_span(span, self._resource) for span in spans]
            return self._exporter.export(made) is SpanExportResult.SUCCESS
        finally:
            otel_context.detach(token)

    def close(self) -> None:
        """Shut down the exporter; an export that waits gives up."""
        if self._exporter is not None:
            self._exporter.shutdown()


class OtelContext:
    """Connects our spans with OpenTelemetry's: each can be the other's parent.

    Pass it to `Tracer(bridge=...)`. Libraries that use OpenTelemetry's API see our span as the current one.
    Our spans begin under a span that is active there if it belongs to our current trace, or if we have no
    current trace.
    """

    def adopt(self, span: Span, parent: Active | None) -> Active | None:
        """Return the parent of the span."""
        theirs = otel_trace.get_current_span().get_span_context()
        if not theirs.is_valid:
            return parent
        ours = None if parent is None else parent.trace
        trace_id, span_id = f"{theirs.trace_id:032x}", f"{theirs.span_id:016x}"
        if ours is not None and (ours.trace_id != trace_id or ours.span_id == span_id):
            return parent
        if not theirs.is_remote and span.kind is SpanKind.SERVER:
            # Another library has already made the server span of this request; a second one would count it
            # twice.
            span.kind = SpanKind.INTERNAL
        state = theirs.trace_state.to_header()
        trace = Trace(trace_id, span_id, theirs.trace_flags.sampled, state)
        if parent is None:
            return Context(trace_id, trace)
        return Context(parent.correlation_id, trace, parent.context.payment_id)

    def attach(self, span: Span) -> object:
        """Make the span the parent of spans that libraries begin."""
        context = otel_trace.set_span_in_context(NonRecordingSpan(_span_context(span.trace, is_remote=False)))
        return otel_context.attach(context)

    def detach(self, token: object) -> None:
        """Restore what was active before."""
        otel_context.detach(token)  # type: ignore[arg-type]


def _span_context(trace: Trace, *, is_remote: bool) -> SpanContext:
    return SpanContext(
        int(trace.trace_id, 16),
        int(trace.span_id, 16),
        is_remote,
        TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT),
        TraceState.from_header([trace.state]) if trace.state else TraceState(),
    )


def _make_span(span: RedactedSpan, resource: Resource) -> ReadableSpan:
    error = span.error
    events = []
    if error is not None:
        said = {"exception.type": error[0], "exception.message": error[1]}
        events.append(Event("exception", said, span.end_time_ns))
    return ReadableSpan(
        name=span.name,
        context=_span_context(span.trace, is_remote=False),
        parent=None if span.parent is None else _span_context(span.parent, is_remote=span.is_parent_remote),
        resource=resource,
        attributes=span.attributes,
        events=events,
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR, error[0] if error else None) if span.is_failed else Status(),
        start_time=span.start_time_ns,
        end_time=span.end_time_ns,
        instrumentation_scope=_SCOPE,
    )
