"""Runbooks: one printed page each, linted in advance and executed step by step in an incident."""

from moneypath.runbooks.action_promises import ACTION_PROMISES
from moneypath.runbooks.context import ExecutionContext
from moneypath.runbooks.dilation import dilated
from moneypath.runbooks.document import load
from moneypath.runbooks.execution import execute, undo
from moneypath.runbooks.lint import AlertRoles, lint, lint_all
from moneypath.runbooks.lint_issues import LintIssue, LintLevel, LintRule
from moneypath.runbooks.model import Approval, Runbook, Step
from moneypath.runbooks.operator_actions import target_actions
from moneypath.runbooks.pending_undos import PendingUndos
from moneypath.runbooks.ports import (
    ActionCall,
    ActionRefused,
    ActionUnanswered,
    Clock,
    OperatorAction,
    Query,
    SystemClock,
)
from moneypath.runbooks.printing import render
from moneypath.runbooks.record import EventKind, Execution, Outcome, Status, StepEvent

__all__ = [
    "ACTION_PROMISES",
    "ActionCall",
    "ActionRefused",
    "ActionUnanswered",
    "AlertRoles",
    "Approval",
    "Clock",
    "EventKind",
    "Execution",
    "ExecutionContext",
    "LintIssue",
    "LintLevel",
    "LintRule",
    "OperatorAction",
    "Outcome",
    "PendingUndos",
    "Query",
    "Runbook",
    "Status",
    "Step",
    "StepEvent",
    "SystemClock",
    "dilated",
    "execute",
    "lint",
    "lint_all",
    "load",
    "render",
    "target_actions",
    "undo",
]
