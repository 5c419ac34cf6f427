"""Exports a recorder's metrics over OTLP, through the OpenTelemetry SDK.

Needs the extra `moneypath[otel]`. Importing it has no side effect; `push` starts to export.
"""

from moneypath.telemetry.otlp.conversion import resource_metrics
from moneypath.telemetry.otlp.push import push
from moneypath.telemetry.otlp.reader import RecorderReader

__all__ = ["RecorderReader", "push", "resource_metrics"]
