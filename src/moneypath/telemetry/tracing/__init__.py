"""Spans: sampled before they are made, built and exported off the path. Nothing here knows OpenTelemetry.

What turns them into OpenTelemetry's stands in `tracing.otel` and is imported by name.
"""

from moneypath.telemetry.tracing.finished import FaultDomain, Finished, Kept, SpanKind
from moneypath.telemetry.tracing.span import Span
from moneypath.telemetry.tracing.tracer import SILENT, SilentTracer, Tracer, current_span

__all__ = [
    "SILENT",
    "FaultDomain",
    "Finished",
    "Kept",
    "SilentTracer",
    "Span",
    "SpanKind",
    "Tracer",
    "current_span",
]
