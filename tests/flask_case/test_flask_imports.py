"""The till has no line of ours, and its runbook is sound."""

import ast
import shutil
import sys
from datetime import date
from pathlib import Path

from moneypath.workflows import generate, runbook_files

TILL = Path(__file__).with_name("till")


def test_no_line_of_the_service_knows_us() -> None:
    """It imports Flask, prometheus_client and a driver; so do the programs beside it, or less."""
    found = set()
    for file in TILL.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).partition(".")[0])
    assert found - sys.stdlib_module_names == {"flask", "prometheus_client", "psycopg"}


def test_its_runbook_is_sound(tmp_path: Path) -> None:
    """It fits a page, and names alerts, roles, series, actions and drills that there are."""
    project = tmp_path / "till"
    shutil.copytree(TILL, project)
    generate.write(project)
    report = runbook_files.lint_runbooks(project, today=date(2026, 11, 25))
    assert [page.id for page in report.runbooks] == ["sales-fail"]
    assert [str(issue) for issue in report.errors] == []
