"""Lint and show the runbooks against the alerts, roles, levers, series and drills that really exist."""

from datetime import UTC, datetime
from pathlib import Path

from moneypath import runbooks
from moneypath.alerting.names import alert_names, recorded_series
from moneypath.errors import MoneypathError
from moneypath.path.loader import FILE_NAME, build_catalogue, load
from moneypath.runbooks.queries import OWN_SERIES

FOLDER = "runbooks"


class RunbooksUnsound(MoneypathError):
    """A runbook that would let down the person who follows it."""

    code = "runbooks_unsound"


class RunbookUnknown(MoneypathError):
    """No runbook of that name."""

    code = "runbook_unknown"


def lint_all_pages(project: Path) -> int:
    """Return how many runbooks are sound; raises RunbooksUnsound with every finding, one a line."""
    path = load(project / FILE_NAME)
    alerts = alert_names(path)
    emitted = {name for spec in build_catalogue(path) for name in spec.sample_names}
    series = emitted | recorded_series(path) | OWN_SERIES
    pages = [runbooks.load(file) for file in sorted((project / FOLDER).glob("*.md"))]
    drills = {file.stem for file in (project / "drills").glob("drill-*.yaml")}
    findings = [
        finding
        for page in pages
        for finding in runbooks.lint(
            page,
            known_alerts=alerts,
            known_roles=path.roles,
            known_levers=runbooks.LEVERS,
            known_series=series,
            drills=drills,
            today=datetime.now(UTC).date(),
            last_passed=None,
        )
    ]
    findings += runbooks.lint_all(pages, known_alerts=alerts)
    if any(finding.level is runbooks.Level.ERROR for finding in findings):
        raise RunbooksUnsound(
            "\n".join(str(finding) for finding in findings),
            hint="correct these pages and run the command again",
        )
    return len(pages)


def show(project: Path, name: str) -> str:
    """Return one runbook as it is printed; raises RunbookUnknown."""
    file = project / FOLDER / f"{name}.md"
    if not file.is_file():
        known = ", ".join(sorted(each.stem for each in (project / FOLDER).glob("*.md")))
        raise RunbookUnknown(f"no runbook: {name}", hint=f"there are: {known}")
    return runbooks.render(runbooks.load(file))
