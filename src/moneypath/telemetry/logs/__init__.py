"""Structured logs: one bounded, redacted JSON line for each event, with the ids of request and payment.

Nothing is configured until `configure` is called.
"""

from moneypath.telemetry.logs.configuring import LEVELS, configure
from moneypath.telemetry.logs.lines import (
    EXCEPTION_LIMIT,
    HEAD,
    IDS,
    LINE_LIMIT,
    RAW_LIMIT,
    VALUE_LIMIT,
    redact_event,
    render_line,
)

__all__ = [
    "EXCEPTION_LIMIT",
    "HEAD",
    "IDS",
    "LEVELS",
    "LINE_LIMIT",
    "RAW_LIMIT",
    "VALUE_LIMIT",
    "configure",
    "redact_event",
    "render_line",
]
