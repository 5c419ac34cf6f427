"""Lint runbooks: find what is wrong before somebody needs them at night."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from moneypath.runbooks.expectations import Quantifier, QueryExpectation
from moneypath.runbooks.lint_issues import LintIssue, LintLevel, LintRule
from moneypath.runbooks.model import SECTIONS, STOP_THE_BLEEDING, Review, Runbook, Step
from moneypath.runbooks.printing import overflow, render
from moneypath.runbooks.queries import PROMETHEUS_SERIES, read
from moneypath.runbooks.structure import structural_issues

DRILL_MAX_AGE: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class AlertRoles:
    """An alert rule and the roles that it pages, none if it pages nobody."""

    alert: str
    paged: frozenset[str]


# The labels that our alerts can carry; a placeholder with another name is never filled.
ALERT_LABELS: Final = frozenset(
    {
        "alertname",
        "check",
        "class",
        "currency",
        "instance",
        "job",
        "provider",
        "queue",
        "reason",
        "rule",
        "severity",
        "slo",
        "stage",
        "tier",
        "alert",
    }
)
_COMMANDS: Final = (
    "bash|sh|zsh|sudo|curl|wget|ssh|scp|psql|kubectl|docker|systemctl|service|kill|pkill|rm|cat|grep|tail|"
    "python3?|make|git|amtool|promtool|redis-cli|aws|gcloud"
)
_SHELL: Final = re.compile(
    rf"^\s*[$#>] \S"  # a prompt
    rf"|`(?:{_COMMANDS})\s[^`]*`"  # a command with arguments in a code span
    r"|`[^`]*(?:&&|\|\||\$\(|\s\|\s|\s>\s*/)[^`]*`"  # plumbing in a code span
)
_METACHARACTERS: Final = re.compile(r"[;&|<>$`\\\n*?~!]")


def lint(
    runbook: Runbook,
    *,
    known_alerts: Collection[str],
    known_roles: Collection[str],
    known_actions: Collection[str],
    known_series: Collection[str],
    drills: Collection[str],
    today: date,
    last_passed: Mapping[str, date] | None,
) -> list[LintIssue]:
    """Return every issue of one runbook, in the order of its lines.

    `known_series` holds every name that a query may read, recorded series and histogram suffixes included.
    `last_passed` maps a drill's id to the day of its latest pass; None means that there is no evidence, and
    then the age of a pass is not checked.
    """
    issues = [
        *_head(runbook, known_alerts, known_roles),
        *_drills(runbook, drills, today, last_passed),
        *_sections(runbook),
        *_holds(runbook),
        *structural_issues(runbook, known_actions),
    ]
    fillable = set(ALERT_LABELS)
    for step in runbook.steps:
        issues.extend(_step(runbook.file, step, known_roles, known_series, fillable))
        fillable |= {step.bind} - {""}
    if over := overflow(render(runbook)):
        issues.append(
            LintIssue(
                LintRule.RUNBOOK_TOO_LONG, runbook.file, 1, f"The runbook is longer than one page: {over}."
            )
        )
    owner = runbook.front.owner_role
    return sorted((replace(issue, owner=owner) for issue in issues), key=lambda issue: issue.line)


def lint_all(runbooks: Sequence[Runbook], *, alert_rules: Sequence[AlertRoles]) -> list[LintIssue]:
    """Return the issues that concern more than one runbook.

    Every alert leads to exactly one runbook, and pages exactly the roles that its runbook expects.
    """
    answered: dict[str, Runbook] = {}
    issues = []
    for runbook in runbooks:
        for alert in runbook.front.triggers:
            if alert in answered:
                what = f"{alert} leads to {answered[alert].file.name} already"
                line = runbook.lines.get("triggers", 1)
                issues.append(LintIssue(LintRule.ALERT_ANSWERED_TWICE, runbook.file, line, what))
            answered.setdefault(alert, runbook)
    issues += _paged_roles(answered, alert_rules)
    folder = runbooks[0].file.parent if runbooks else Path()
    for alert in sorted({rule.alert for rule in alert_rules} - set(answered)):
        issues.append(LintIssue(LintRule.ALERT_UNANSWERED, folder, 1, f"No runbook is triggered by {alert}."))
    return issues


def _paged_roles(answered: Mapping[str, Runbook], alert_rules: Sequence[AlertRoles]) -> Iterator[LintIssue]:
    """Yield an issue for each alert that pages other roles than its runbook expects."""
    for alert, paged in dict.fromkeys((rule.alert, rule.paged) for rule in alert_rules):
        runbook = answered.get(alert)
        if runbook is None or not paged:
            continue
        front = runbook.front
        expected = frozenset(role for role, assignment in front.roles.items() if assignment.page)
        if paged != expected:
            what = (
                f"{alert} pages {', '.join(sorted(paged))}; this runbook expects "
                f"{', '.join(sorted(expected)) or 'nobody'} to be paged. "
                "Make moneypath.yaml and `roles` agree."
            )
            line = runbook.lines.get("roles", 1)
            yield LintIssue(LintRule.PAGED_ROLES_DIFFER, runbook.file, line, what, owner=front.owner_role)


def _head(runbook: Runbook, alerts: Collection[str], roles: Collection[str]) -> Iterator[LintIssue]:
    front, file, lines = runbook.front, runbook.file, runbook.lines
    if front.id != file.stem:
        what = f"the id is {front.id}; the file is {file.name}"
        yield LintIssue(LintRule.ID_MISPLACED, file, lines.get("id", 1), what)
    for alert in front.triggers:
        if alert not in alerts:
            yield LintIssue(LintRule.ALERT_UNKNOWN, file, lines.get("triggers", 1), f"no alert {alert}")
    named = {
        "owner_role": [front.owner_role],
        "roles": list(front.roles),
        "first_hour": [entry.role for entry in front.first_hour],
        "comms": [message.role for message in front.comms],
        "regulatory": [question.role for question in front.regulatory],
    }
    for key, used in named.items():
        for role in dict.fromkeys(used):
            if role not in roles:
                what = f"{key}: no role {role}; allowed: {', '.join(sorted(roles))}"
                yield LintIssue(LintRule.ROLE_UNKNOWN, file, lines.get(key, 1), what)
    for role in dict.fromkeys([*front.roles, *named["comms"], *named["regulatory"]]):
        if role not in named["first_hour"]:
            what = f"{role} has a part in this runbook and nothing to do in the first hour."
            yield LintIssue(LintRule.FIRST_HOUR_INCOMPLETE, file, lines.get("first_hour", 1), what)


def _drills(
    runbook: Runbook, drills: Collection[str], today: date, last_passed: Mapping[str, date] | None
) -> Iterator[LintIssue]:
    front, file = runbook.front, runbook.file
    due = review_due(front.review)
    if today > due:
        line = runbook.lines.get("review", 1)
        what = f"The review was due on {due}. Read the runbook through and date it."
        yield LintIssue(LintRule.REVIEW_OVERDUE, file, line, what, LintLevel.WARNING)
    line = runbook.lines.get("drills", 1)
    for drill in front.drills:
        if drill not in drills:
            yield LintIssue(LintRule.DRILL_UNKNOWN, file, line, f"no drill {drill}")
    if not front.drills:
        what = "No drill proves this runbook."
        yield LintIssue(LintRule.DRILL_MISSING, file, line, what, LintLevel.WARNING)
    elif last_passed is not None:
        drill_by = drill_due(front.drills, last_passed)
        if drill_by is None or today > drill_by:
            passed = "none on record" if drill_by is None else f"the last on {drill_by - DRILL_MAX_AGE}"
            what = f"No linked drill passed in {DRILL_MAX_AGE.days} days, {passed}."
            yield LintIssue(LintRule.DRILL_STALE, file, line, what, LintLevel.WARNING)


def review_due(review: Review) -> date:
    """Return the day by which a runbook has to be read through again."""
    return review.last + timedelta(days=review.every_days)


def drill_due(drills: Sequence[str], last_passed: Mapping[str, date]) -> date | None:
    """Return the day by which one of `drills` has to pass again; None when none of them has passed."""
    passed = max((last_passed[drill] for drill in drills if drill in last_passed), default=None)
    return None if passed is None else passed + DRILL_MAX_AGE


def _sections(runbook: Runbook) -> Iterator[LintIssue]:
    file = runbook.file
    titles = [section.title for section in runbook.sections]
    if titles != list(SECTIONS):
        missing = [title for title in SECTIONS if title not in titles]
        strange = [title for title in titles if title not in SECTIONS]
        parts = [f"missing: {', '.join(missing)}"] if missing else []
        parts += [f"unknown: {', '.join(strange)}"] if strange else []
        what = (
            f"{'; '.join(parts) or 'out of order or repeated'}; allowed, in this order: {', '.join(SECTIONS)}"
        )
        line = next((s.line for s, t in zip(runbook.sections, SECTIONS, strict=False) if s.title != t), 1)
        yield LintIssue(LintRule.SECTION_MISPLACED, file, line, what)
    for section in runbook.sections:
        if not section.steps and not any(text.strip() for _, text in section.prose):
            yield LintIssue(LintRule.SECTION_MISPLACED, file, section.line, f"{section.title} says nothing")
        for fence in section.other_fences:
            what = f"a fenced block of {fence.language or 'no language'}; only yaml steps are fenced"
            yield LintIssue(LintRule.SHELL_FOUND, file, fence.line, what)
        for number, text in section.prose:
            if _SHELL.search(text):
                what = "looks like a command to type; write a query or an operator action"
                yield LintIssue(LintRule.SHELL_FOUND, file, number, what)


def _holds(runbook: Runbook) -> Iterator[LintIssue]:
    """Yield an issue for each mitigation that stops the bleeding and that one lucky answer may prove."""
    stopping = {
        step.id
        for section in runbook.sections
        if section.title == STOP_THE_BLEEDING
        for step in section.steps
        if step.is_action
    }
    mitigation: Step | None = None
    for step in runbook.steps:
        if step.is_action:
            mitigation = step if step.id in stopping else None
        elif mitigation and isinstance(step.expect, QueryExpectation) and _compares(step.expect):
            if step.hold is None:
                what = (
                    f"{step.id} proves {mitigation.id} by one answer; "
                    "say in `expect` how long it holds (`for`) and on how many events (`evidence`)"
                )
                yield LintIssue(LintRule.HOLD_MISSING, runbook.file, step.line, what)
            mitigation = None


def _compares(expectation: QueryExpectation) -> bool:
    return expectation.quantifier is not Quantifier.RECORDED


def _step(
    file: Path, step: Step, roles: Collection[str], series: Collection[str], fillable: Collection[str]
) -> Iterator[LintIssue]:
    if step.role not in roles:
        what = f"{step.id}: no role {step.role}; allowed: {', '.join(sorted(roles))}"
        yield LintIssue(LintRule.ROLE_UNKNOWN, file, step.line, what)
    for name in sorted(step.placeholders() - set(fillable)):
        what = f"{step.id}: no alert carries {name}; allowed: {', '.join(sorted(fillable))}"
        yield LintIssue(LintRule.PLACEHOLDER_UNKNOWN, file, step.line, what)
    if step.is_action:
        for argument in (*step.instruction, *step.undo):
            if _METACHARACTERS.search(argument):
                what = f"{step.id}: an operator action's argument looks like shell: {argument}"
                yield LintIssue(LintRule.SHELL_FOUND, file, step.line, what)
        return
    for query in (step.instruction[0], *((step.hold.counter,) if step.hold else ())):
        reading = read(query)
        if reading.error:
            yield LintIssue(LintRule.QUERY_INVALID, file, step.line, f"{step.id}: {reading.error}")
        for name in sorted(reading.series - set(series) - PROMETHEUS_SERIES):
            yield LintIssue(LintRule.SERIES_UNKNOWN, file, step.line, f"{step.id}: no series {name}")
