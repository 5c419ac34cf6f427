"""Lint and show the runbooks against the alerts, roles, actions, series and drills that really exist."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from moneypath import runbooks
from moneypath.alerting import facts
from moneypath.alerting.timing import Scale
from moneypath.errors import MoneypathError
from moneypath.path.model import MoneyPath
from moneypath.runbooks import AlertRoles, LintIssue, LintLevel, Runbook
from moneypath.workflows.declaration import load_declaration
from moneypath.workflows.drill_evidence import last_passed
from moneypath.workflows.folders import runs_folder
from moneypath.workflows.known_series import known_series
from moneypath.workflows.targets import known_actions

FOLDER = "runbooks"
UNPAGED_SEVERITY = "none"


class RunbooksUnsound(MoneypathError):
    """A runbook that would let down the person who follows it."""

    code = "runbooks_unsound"


class RunbookUnknown(MoneypathError):
    """No runbook of that name."""

    code = "runbook_unknown"


@dataclass(frozen=True, slots=True)
class LintReport:
    """Every runbook and everything that the linter found; `passed` holds the latest pass of each drill."""

    runbooks: tuple[Runbook, ...]
    issues: tuple[LintIssue, ...]
    passed: Mapping[str, date] | None
    today: date

    @property
    def errors(self) -> tuple[LintIssue, ...]:
        """Return the issues that make the linter fail."""
        return tuple(issue for issue in self.issues if issue.level is LintLevel.ERROR)

    @property
    def warnings(self) -> tuple[LintIssue, ...]:
        """Return the issues that somebody has to look at in time."""
        return tuple(issue for issue in self.issues if issue.level is LintLevel.WARNING)

    @property
    def summary(self) -> str:
        """Return the counts as one sentence."""
        return f"{len(self.runbooks)} runbooks: {len(self.errors)} errors, {len(self.warnings)} warnings"


def lint_runbooks(
    project: Path, *, today: date | None = None, environ: Mapping[str, str] = os.environ
) -> LintReport:
    """Lint every runbook of the project. Raises what reading the declaration and the runbooks raises."""
    today = today or datetime.now(UTC).date()
    path = load_declaration(project)
    rules = alert_roles(path)
    alerts = {rule.alert for rule in rules}
    series = known_series(path)
    actions = known_actions(project)
    found = tuple(runbooks.load(file) for file in sorted((project / FOLDER).glob("*.md")))
    drills = {file.stem for file in (project / "drills").glob("drill-*.yaml")}
    passed = last_passed(runs_folder(environ))
    issues = [
        issue
        for runbook in found
        for issue in runbooks.lint(
            runbook,
            known_alerts=alerts,
            known_roles=path.roles,
            known_actions=actions,
            known_series=series,
            drills=drills,
            today=today,
            last_passed=passed,
        )
    ]
    issues += runbooks.lint_all(found, alert_rules=rules)
    return LintReport(found, tuple(issues), passed, today)


def require_sound(report: LintReport) -> None:
    """Raise RunbooksUnsound with every error, one a line, unless there is none."""
    if report.errors:
        raise RunbooksUnsound(
            "\n".join(str(issue) for issue in report.errors),
            hint="Correct these runbooks and run the command again.",
        )


def alert_roles(path: MoneyPath) -> list[AlertRoles]:
    """Return each alert rule with the roles that it pages."""
    return [
        AlertRoles(rule.name, frozenset() if rule.severity == UNPAGED_SEVERITY else frozenset(rule.roles))
        for rule in facts.describe(path, Scale(1))
    ]


def show(project: Path, name: str, columns: int) -> str:
    """Return one runbook as it is printed; raises RunbookUnknown."""
    file = project / FOLDER / f"{name}.md"
    if not file.is_file():
        known = ", ".join(sorted(each.stem for each in (project / FOLDER).glob("*.md")))
        raise RunbookUnknown(f"no runbook: {name}", hint=f"Name one of these: {known}.")
    return runbooks.render(runbooks.load(file), columns)
