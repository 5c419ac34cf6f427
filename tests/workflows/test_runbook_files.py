"""The linter over the whole project: warnings with owners, and when runbooks are due, as metrics."""

import json
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from moneypath.cli import project_commands
from moneypath.runbooks import LintLevel, LintRule
from moneypath.workflows import runbook_files
from moneypath.workflows.runbook_files import LintReport, lint_runbooks, require_sound
from moneypath.workflows.runbook_metrics import MetricsNotWritten, metrics_text, write_metrics

PROJECT = Path(__file__).parents[2]
DRILL = "drill-002-partial-provider-outage"


def evidence(state: Path, *, passed: bool) -> None:
    """Leave the evidence of a drill on this machine."""
    folder = state / "moneypath" / "runs" / "20261122T000000Z-demo-000000" / "drill"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"drill": DRILL}))
    (folder / "scorecard.json").write_text(json.dumps({"passed": passed}))


def report(tmp_path: Path, today: date = date(2026, 11, 23)) -> LintReport:
    """Lint the project with a state folder of its own."""
    return lint_runbooks(PROJECT, today=today, environ={"XDG_STATE_HOME": str(tmp_path)})


def test_a_runbook_that_is_overdue_is_a_warning_with_an_owner(tmp_path: Path) -> None:
    """Three months later nothing in the files has changed, so the check still passes."""
    later = report(tmp_path, date(2027, 3, 1))
    overdue = [issue for issue in later.issues if issue.rule is LintRule.REVIEW_OVERDUE]
    assert len(overdue) == len(later.runbooks)
    assert all(issue.level is LintLevel.WARNING and issue.owner for issue in overdue)
    require_sound(later)


def test_the_project_has_no_error(tmp_path: Path) -> None:
    """What the alerts page and what the runbooks expect agree, among everything else."""
    assert [str(issue) for issue in report(tmp_path).errors] == []


def test_a_drill_without_a_pass_is_a_warning_where_drills_are_run(tmp_path: Path) -> None:
    """A failed drill is no pass; a machine without any evidence knows nothing."""
    assert LintRule.DRILL_STALE not in {issue.rule for issue in report(tmp_path).issues}
    evidence(tmp_path, passed=False)
    stale = [issue for issue in report(tmp_path).issues if issue.rule is LintRule.DRILL_STALE]
    assert "partial-provider-outage.md" in {issue.file.name for issue in stale}
    assert all(issue.level is LintLevel.WARNING for issue in stale)


def test_the_metrics_hold_what_is_known(tmp_path: Path) -> None:
    """Every runbook has a review; only a drill that passed has a sample."""
    unknown = metrics_text(report(tmp_path))
    label = 'runbook="partial-provider-outage",owner_role="ops"'
    assert f"moneypath_runbook_review_due_timestamp_seconds{{{label}}}" in unknown
    assert "moneypath_runbook_drill_due_timestamp_seconds{" not in unknown
    evidence(tmp_path, passed=True)
    known = metrics_text(report(tmp_path))
    assert f"moneypath_runbook_drill_due_timestamp_seconds{{{label}}}" in known
    assert f'moneypath_drill_last_passed_timestamp_seconds{{drill="{DRILL}"}}' in known


def test_the_metrics_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """A folder that is not there is one sentence."""
    file = tmp_path / "runbooks.prom"
    write_metrics(report(tmp_path), file)
    assert file.read_text() == metrics_text(report(tmp_path))
    assert [each.name for each in tmp_path.iterdir()] == ["runbooks.prom"]
    with pytest.raises(MetricsNotWritten, match="cannot be written"):
        write_metrics(report(tmp_path), tmp_path / "nowhere" / "runbooks.prom")


def test_the_command_prints_each_warning_and_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runbook without a drill is said, with its owner; the exit code stays 0."""
    monkeypatch.setattr(runbook_files, "lint_runbooks", lambda _: report(tmp_path))
    result = CliRunner().invoke(project_commands.runbook, ["lint", "--project", str(PROJECT)])
    warnings = [line for line in result.output.splitlines() if ": warning: " in line]
    assert result.exit_code == 0, result.output
    assert len(warnings) == len(report(tmp_path).warnings) > 0
    assert all("(owner: " in line for line in warnings)
    pages = len(list((PROJECT / "runbooks").glob("*.md")))
    assert result.output.splitlines()[-1] == f"{pages} runbooks: 0 errors, {len(warnings)} warnings"


def test_the_command_prints_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for machines."""
    monkeypatch.setattr(runbook_files, "lint_runbooks", lambda _: report(tmp_path))
    result = CliRunner().invoke(project_commands.runbook, ["lint", "--json", "--project", str(PROJECT)])
    document = json.loads(result.output)
    assert document["errors"] == 0
    assert document["warnings"] == len(document["issues"])
    assert {issue["owner_role"] for issue in document["issues"]} <= {"eng", "ops", "compliance", "support"}
