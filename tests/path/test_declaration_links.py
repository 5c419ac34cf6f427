"""Where alerts lead: a dashboard or runbook that is not there is refused at its line."""
# the table of mistakes reads better with one mistake a line

from pathlib import Path

import pytest

from moneypath.path.links import check_links, dashboard_links, runbook_links
from moneypath.path.loader import load
from moneypath.path.problems import DeclarationInvalid

FILE = Path(__file__).parents[2] / "moneypath.yaml"
RUNBOOKS = frozenset(page.stem for page in (FILE.parent / "runbooks").glob("*.md"))
DASHBOARDS = ("money-path",)


def refusals(tmp_path: Path, before: str, after: str) -> list[str]:
    """Return the problems of the links after one change of the repository's declaration."""
    text = FILE.read_text(encoding="utf-8")
    assert before in text
    changed = tmp_path / "moneypath.yaml"
    changed.write_text(text.replace(before, after, 1), encoding="utf-8")
    try:
        check_links(load(changed), changed, dashboards=DASHBOARDS, runbooks=RUNBOOKS)
    except DeclarationInvalid as refused:
        return refused.what.splitlines()
    return []


def test_every_link_of_the_repository_leads_somewhere() -> None:
    """The twin of the refusals below: what is declared passes."""
    check_links(load(FILE), FILE, dashboards=DASHBOARDS, runbooks=RUNBOOKS)


@pytest.mark.parametrize("part", ["targets[0]", "slos[0]", "checks[0]", "guards[0]", "watchdog"])
def test_an_unknown_dashboard_is_refused_at_every_part(part: str) -> None:
    """File, line, key, what is wrong and what would be right, for each part that raises an alert."""
    path = load(FILE)
    with pytest.raises(DeclarationInvalid) as refused:
        check_links(path, FILE, dashboards=("money-paths",), runbooks=RUNBOOKS)
    (problem,) = (each for each in refused.value.problems if each.key == f"{part}.dashboard")
    line = FILE.read_text(encoding="utf-8").splitlines()[problem.line - 1]
    assert line.strip() == "dashboard: money-path"
    expected = 'there is no dashboard "money-path", did you mean "money-paths"?; allowed: money-paths'
    assert problem.text("moneypath.yaml").endswith(f"{part}.dashboard: {expected}")


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("    runbook: slow-authorizations\n", "    runbook: no-such-book\n", "slos[1].runbook"),
        ("      runbook: telemetry-blackout\n", "      runbook: no-such-book\n", "slos[0].traffic.runbook"),
        (
            "    stale_runbook: telemetry-blackout\n",
            "    stale_runbook: no-such-book\n",
            "checks[0].stale_runbook",
        ),
        ("    runbook: double-charge\n", "    runbook: no-such-book\n", "checks[3].runbook"),
        ("    runbook: cost-spike\n", "    runbook: no-such-book\n", "guards[10].runbook"),
        (
            "\n  runbook: telemetry-blackout\n  dashboard",
            "\n  runbook: no-such-book\n  dashboard",
            "watchdog.runbook",
        ),
    ],
)
def test_an_unknown_runbook_is_refused(tmp_path: Path, before: str, after: str, key: str) -> None:
    """Each key that names a runbook is looked at."""
    (problem,) = refusals(tmp_path, before, after)
    assert f'{key}: there is no runbook "no-such-book"; allowed: alert-silenced, ' in problem


def test_every_key_that_names_a_link_is_looked_at() -> None:
    """As many links as there are keys called runbook, stale_runbook and dashboard in the file."""
    path, text = load(FILE), FILE.read_text(encoding="utf-8")
    assert len(list(dashboard_links(path))) == text.count(" dashboard: ")
    assert len(list(runbook_links(path))) == text.count(" runbook: ") + text.count(" stale_runbook: ")
