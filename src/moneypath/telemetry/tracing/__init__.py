"""Spans: sampled before they are made, redacted and exported off the hot path.

Nothing here depends on OpenTelemetry. `tracing.otel` converts spans for its SDK; import it by name.
"""

from moneypath.telemetry.tracing.span import Span
from moneypath.telemetry.tracing.span_data import FaultDomain, KeepReason, SpanData, SpanKind
from moneypath.telemetry.tracing.tracer import NOOP_TRACER, NoopTracer, Tracer, current_span

__all__ = [
    "NOOP_TRACER",
    "FaultDomain",
    "KeepReason",
    "NoopTracer",
    "Span",
    "SpanData",
    "SpanKind",
    "Tracer",
    "current_span",
]
