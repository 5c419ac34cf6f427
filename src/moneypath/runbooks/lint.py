"""Says what is wrong with a page before somebody needs it at night."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from moneypath.runbooks.findings import Finding, Level, Rule
from moneypath.runbooks.model import SECTIONS, Runbook, Step
from moneypath.runbooks.page import excess, render
from moneypath.runbooks.queries import OWN_SERIES, read
from moneypath.runbooks.structure import structural_findings

DRILL_MAX_AGE_DAYS: Final = 90
# The labels that our alerts can carry; a placeholder with another name is never filled.
ALERT_LABELS: Final = frozenset(
    {
        *(
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
        ),
        *("severity", "slo", "stage", "tier"),
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
    known_levers: Collection[str],
    known_series: Collection[str],
    drills: Collection[str],
    today: date,
    last_passed: Mapping[str, date] | None,
) -> list[Finding]:
    """Return every finding, in the order of the page; the page is good when none is an error.

    `known_series` holds every name that a query may read (recorded series and histogram suffixes
    included). `last_passed` maps a drill's id to the day of its latest pass; None means that no
    evidence is at hand, and age is not judged.
    """
    findings = [
        *_head(runbook, known_alerts, known_roles),
        *_drills(runbook, drills, today, last_passed),
        *_sections(runbook),
        *structural_findings(runbook, known_levers),
    ]
    fillable = set(ALERT_LABELS)
    for step in runbook.steps:
        findings.extend(_step(runbook.file, step, known_roles, known_series, fillable))
        fillable |= {step.learn} - {""}
    if over := excess(render(runbook)):
        findings.append(Finding(Rule.PAGE_TOO_LONG, runbook.file, 1, f"more than one page: {over}"))
    return sorted(findings, key=lambda finding: finding.line)


def lint_all(runbooks: Sequence[Runbook], *, known_alerts: Collection[str]) -> list[Finding]:
    """Return what no page can know alone: every alert leads to exactly one page."""
    answered: dict[str, Runbook] = {}
    findings = []
    for runbook in runbooks:
        for alert in runbook.front.triggers:
            if alert in answered:
                what = f"{alert} leads to {answered[alert].file.name} already"
                line = runbook.lines.get("triggers", 1)
                findings.append(Finding(Rule.ALERT_ANSWERED_TWICE, runbook.file, line, what))
            answered.setdefault(alert, runbook)
    folder = runbooks[0].file.parent if runbooks else Path()
    for alert in sorted(set(known_alerts) - set(answered)):
        findings.append(Finding(Rule.ALERT_UNANSWERED, folder, 1, f"no page is triggered by {alert}"))
    return findings


def _head(runbook: Runbook, alerts: Collection[str], roles: Collection[str]) -> Iterator[Finding]:
    front, file, lines = runbook.front, runbook.file, runbook.lines
    if front.id != file.stem:
        what = f"the id is {front.id}; the file is {file.name}"
        yield Finding(Rule.ID_MISPLACED, file, lines.get("id", 1), what)
    for alert in front.triggers:
        if alert not in alerts:
            yield Finding(Rule.ALERT_UNKNOWN, file, lines.get("triggers", 1), f"no alert {alert}")
    named = {
        "owner_role": [front.owner_role],
        "roles": list(front.roles),
        "first_hour": [entry.role for entry in front.first_hour],
        "comms": [told.role for told in front.comms],
        "regulatory": [question.role for question in front.regulatory],
    }
    for key, used in named.items():
        for role in dict.fromkeys(used):
            if role not in roles:
                what = f"{key}: no role {role}; allowed: {', '.join(sorted(roles))}"
                yield Finding(Rule.ROLE_UNKNOWN, file, lines.get(key, 1), what)
    for role in dict.fromkeys([*front.roles, *named["comms"], *named["regulatory"]]):
        if role not in named["first_hour"]:
            what = f"{role} has a part in this page and nothing to do in the first hour"
            yield Finding(Rule.FIRST_HOUR_INCOMPLETE, file, lines.get("first_hour", 1), what)


def _drills(
    runbook: Runbook, drills: Collection[str], today: date, last_passed: Mapping[str, date] | None
) -> Iterator[Finding]:
    front, file = runbook.front, runbook.file
    due = front.review.last + timedelta(days=front.review.every_days)
    if today > due:
        line = runbook.lines.get("review", 1)
        yield Finding(Rule.REVIEW_OVERDUE, file, line, f"was due on {due}; read it through and date it")
    line = runbook.lines.get("drills", 1)
    for drill in front.drills:
        if drill not in drills:
            yield Finding(Rule.DRILL_UNKNOWN, file, line, f"no drill {drill}")
    if not front.drills:
        what = "no drill proves this page"
        yield Finding(Rule.DRILL_MISSING, file, line, what, Level.WARNING)
    elif last_passed is not None:
        passed = max((last_passed[drill] for drill in front.drills if drill in last_passed), default=None)
        if passed is None or today - passed > timedelta(days=DRILL_MAX_AGE_DAYS):
            when = f"the last on {passed}" if passed else "none on record"
            what = f"no linked drill passed in {DRILL_MAX_AGE_DAYS} days, {when}"
            yield Finding(Rule.DRILL_STALE, file, line, what)


def _sections(runbook: Runbook) -> Iterator[Finding]:
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
        yield Finding(Rule.SECTION_MISPLACED, file, line, what)
    for section in runbook.sections:
        if not section.steps and not any(text.strip() for _, text in section.prose):
            yield Finding(Rule.SECTION_MISPLACED, file, section.line, f"{section.title} says nothing")
        for fence in section.other_fences:
            what = f"a fenced block of {fence.language or 'no language'}; only yaml steps are fenced"
            yield Finding(Rule.SHELL_FOUND, file, fence.line, what)
        for number, text in section.prose:
            if _SHELL.search(text):
                what = "looks like a command to type; write a query or a lever"
                yield Finding(Rule.SHELL_FOUND, file, number, what)


def _step(
    file: Path, step: Step, roles: Collection[str], series: Collection[str], fillable: Collection[str]
) -> Iterator[Finding]:
    if step.role not in roles:
        what = f"{step.id}: no role {step.role}; allowed: {', '.join(sorted(roles))}"
        yield Finding(Rule.ROLE_UNKNOWN, file, step.line, what)
    for name in sorted(step.placeholders() - set(fillable)):
        what = f"{step.id}: no alert carries {name}; allowed: {', '.join(sorted(fillable))}"
        yield Finding(Rule.PLACEHOLDER_UNKNOWN, file, step.line, what)
    if step.pulls_lever:
        for argument in (*step.action, *step.undo):
            if _METACHARACTERS.search(argument):
                what = f"{step.id}: a lever's argument looks like shell: {argument}"
                yield Finding(Rule.SHELL_FOUND, file, step.line, what)
        return
    reading = read(step.action[0])
    if reading.error:
        yield Finding(Rule.QUERY_INVALID, file, step.line, f"{step.id}: {reading.error}")
    for name in sorted(reading.series - set(series) - OWN_SERIES):
        yield Finding(Rule.SERIES_UNKNOWN, file, step.line, f"{step.id}: no series {name}")
