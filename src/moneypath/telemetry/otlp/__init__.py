"""The second way out: a recorder's numbers over OTLP, through the OpenTelemetry SDK.

Needs the extra `moneypath[otel]`. Importing does nothing; `push` starts to send.
"""

from moneypath.telemetry.otlp.conversion import resource_metrics
from moneypath.telemetry.otlp.push import push
from moneypath.telemetry.otlp.reader import RecorderReader

__all__ = ["RecorderReader", "push", "resource_metrics"]
