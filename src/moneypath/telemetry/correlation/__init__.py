"""The ids that connect the logs, spans, responses, calls and messages of one request."""

from moneypath.telemetry.correlation.carriers import extract, inject
from moneypath.telemetry.correlation.context import (
    Context,
    active,
    bound,
    current,
    entered,
    name_payment,
    sampled_trace,
)
from moneypath.telemetry.correlation.ids import HEADER, accept, mint
from moneypath.telemetry.correlation.trace import Trace

__all__ = [
    "HEADER",
    "Context",
    "Trace",
    "accept",
    "active",
    "bound",
    "current",
    "entered",
    "extract",
    "inject",
    "mint",
    "name_payment",
    "sampled_trace",
]
