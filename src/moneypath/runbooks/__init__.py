"""Runbooks: one printed page each, linted before the night and executed step by step during it."""

from moneypath.runbooks.context import ExecutionContext
from moneypath.runbooks.dilation import dilated
from moneypath.runbooks.document import load
from moneypath.runbooks.execution import execute, undo
from moneypath.runbooks.findings import Finding, Level, Rule
from moneypath.runbooks.levers import LEVERS, http_lever, http_levers
from moneypath.runbooks.lint import lint, lint_all
from moneypath.runbooks.model import Runbook, Step
from moneypath.runbooks.page import render
from moneypath.runbooks.ports import (
    Clock,
    Lever,
    LeverCall,
    LeverRefused,
    LeverUnanswered,
    Query,
    QueryFailed,
    Sample,
    SystemClock,
)
from moneypath.runbooks.prometheus import prometheus_query
from moneypath.runbooks.record import EventKind, Execution, Outcome, Status, StepEvent
from moneypath.runbooks.reversal import Reversals

__all__ = [
    "LEVERS",
    "Clock",
    "EventKind",
    "Execution",
    "ExecutionContext",
    "Finding",
    "Level",
    "Lever",
    "LeverCall",
    "LeverRefused",
    "LeverUnanswered",
    "Outcome",
    "Query",
    "QueryFailed",
    "Reversals",
    "Rule",
    "Runbook",
    "Sample",
    "Status",
    "Step",
    "StepEvent",
    "SystemClock",
    "dilated",
    "execute",
    "http_lever",
    "http_levers",
    "lint",
    "lint_all",
    "load",
    "prometheus_query",
    "render",
    "undo",
]
