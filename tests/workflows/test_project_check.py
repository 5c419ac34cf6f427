"""`moneypath check` finds what is wrong in each kind of file, and names it, without running anything."""

import json
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Final

import pytest

from moneypath.workflows.project_check import FileState, check_project
from moneypath.workflows.scaffold.answers import LedgerKind, read_answers
from moneypath.workflows.scaffold.writing import init_project

REPOSITORY: Final = Path(__file__).parents[2]
TODAY: Final = date(2026, 11, 25)
DRILL: Final = "drills/drill-001-top-up-failing.yaml"
TARGET: Final = "targets/shop.yaml"


@pytest.fixture(scope="session")
def sound_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with each kind of file; nobody changes it."""
    folder = tmp_path_factory.mktemp("sound") / "shop"
    answers = read_answers(
        folder_name="shop",
        providers=("bank_one", "bank_two"),
        operations=("top_up",),
        ledger=LedgerKind.POSTGRESQL,
    )
    init_project(folder, answers, today=TODAY)
    return folder


@pytest.fixture
def project(sound_project: Path, tmp_path: Path) -> Path:
    """A copy of it to break."""
    return Path(shutil.copytree(sound_project, tmp_path / "shop"))


def edit(file: Path, old: str, new: str) -> None:
    """Replace what stands in a file."""
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_the_repository_is_sound() -> None:
    """Its own files, the plan of the stack's gate included."""
    report = check_project(REPOSITORY)
    assert [one for one in report.results if one.state is not FileState.SOUND] == []
    assert report.is_sound
    assert "loadtests/gate.yaml" in {one.file for one in report.results}


def test_every_kind_of_file_is_looked_at(sound_project: Path) -> None:
    """What nobody looks at could not fail."""
    report = check_project(sound_project, today=TODAY)
    assert report.is_sound, report
    assert [one.file for one in report.results] == [
        "moneypath.yaml",
        "moneypath.sha256",
        TARGET,
        "runbooks/service-not-seen.md",
        "runbooks/top-up-failing.md",
        DRILL,
        "loadtests/gate.yaml",
        "witnesses.yaml",
    ]
    assert report.summary == "8 files: 8 ok, 0 failed, 0 not checked"


# File, text, what takes its place, the file that fails, and words of the sentence.
BROKEN: Final = {
    "declaration": ("moneypath.yaml", 'objective: "0.99"', 'objective: "1"', "moneypath.yaml", "objective"),
    "a runbook that is not there": (
        "moneypath.yaml", "runbook: service-not-seen}\n\n# An", "runbook: gone}\n\n# An",
        "moneypath.yaml", 'there is no runbook "gone"',
    ),
    "rules that were edited": (
        "alerts/rules/moneypath.rules.yml", "critical", "warning",
        "moneypath.sha256", "generated files differ from moneypath.yaml: alerts/rules/moneypath.rules.yml",
    ),
    "a placeholder of a call": (TARGET, "canary-{unique}", "canary-{uniqe}", TARGET, "there is no {uniqe}"),
    "a variable": (TARGET, "${pager}/pages?", "${pgaer}/pages?", TARGET, "${pgaer} is used and not declared"),
    "an undo": (TARGET, "undo: provider.restore", "undo: provider.heal", TARGET, "no action provider.heal"),
    "an address": (TARGET, "prometheus: http://127", "prometheus: ftp://127", TARGET, "http"),
    "witnesses that are not there": (
        TARGET, "witnesses: ../witnesses.yaml", "witnesses: ../other.yaml", "other.yaml", "does not exist",
    ),
    "a step": (
        "runbooks/top-up-failing.md", "step: 3", "step: three",
        "runbooks/top-up-failing.md", "step",
    ),
    "an action of a step": (
        "runbooks/top-up-failing.md", "action: [provider.drain", "action: [provider.dry",
        "runbooks/top-up-failing.md", "no action provider.dry",
    ),
    "an alert without a runbook": (
        "runbooks/service-not-seen.md", ", MoneyPathWatchdog]", "]",
        "runbooks", "No runbook is triggered by MoneyPathWatchdog",
    ),
    "an alert of a drill": (DRILL, "{name: MoneyPathTopUpHard", "{name: MoneyPathTopUpSo", DRILL, "TopUpSo"),
    "a fault of a drill": (DRILL, "network.latency", "network.gone", DRILL, "unknown fault: network.gone"),
    "a parameter of a fault": (DRILL, "milliseconds: 60000", "millis: 60000", DRILL, "params.millis"),
    "a parameter out of bounds": (DRILL, "milliseconds: 60000", "milliseconds: 0", DRILL, "out of bounds"),
    "a place of a fault": (DRILL, "target: bank_one", "target: bank_six", DRILL, "allowed: bank_one"),
    "an objective of the gate": (
        "loadtests/gate.yaml", "[top-up-availability", "[top-up-availibility",
        "loadtests/gate.yaml", 'no such objective: "top-up-availibility", did you mean',
    ),
    "a word of the witnesses": (
        "witnesses.yaml", "shape: two_sided", "shape: threesome", "witnesses.yaml", "shape",
    ),
    "a query that is not there": (
        "witnesses.yaml", "sql: sql/ledger.sql", "sql: sql/book.sql", "witnesses.yaml", "sql/book.sql",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named(name: str, project: Path) -> None:
    """The file that somebody has to correct fails, in words; those that need it are not checked."""
    file, old, new, failing, words = BROKEN[name]
    edit(project / file, old, new)
    report = check_project(project, today=TODAY)
    assert not report.is_sound
    failed = {one.file: one for one in report.results if one.state is FileState.FAILED}
    assert set(failed) == {failing}
    (problem,) = (line for line in failed[failing].problems if words in line)
    assert str(project) not in problem
    unchecked = [one for one in report.results if one.state is FileState.NOT_CHECKED]
    assert all(re.fullmatch(r"\S+ has to be sound first", one.problems[0]) for one in unchecked)


def test_what_needs_a_broken_file_is_not_checked(project: Path) -> None:
    """Its sentence would be about the other file; what needs nothing is checked all the same."""
    edit(project / "moneypath.yaml", 'objective: "0.99"', 'objective: "1"')
    states = {one.file: one.state for one in check_project(project, today=TODAY).results}
    sound = {name for name, state in states.items() if state is FileState.SOUND}
    assert sound == {TARGET, "witnesses.yaml"}
    assert [name for name, state in states.items() if state is FileState.FAILED] == ["moneypath.yaml"]


def test_a_broken_target_leaves_drills_and_runbooks_unchecked(project: Path) -> None:
    """They name its faults and actions."""
    edit(project / TARGET, "live: true", "live: maybe")
    states = {one.file: one.state for one in check_project(project, today=TODAY).results}
    assert states[DRILL] is states["runbooks/top-up-failing.md"] is FileState.NOT_CHECKED
    assert states["loadtests/gate.yaml"] is FileState.SOUND


def test_a_variable_without_a_value_is_no_mistake(project: Path) -> None:
    """Somebody gives it when the target is asked."""
    edit(project / TARGET, 'service: "http://127.0.0.1:8000"', "service: null")
    assert check_project(project, today=TODAY).is_sound


def test_two_targets_of_one_name_are_refused(project: Path) -> None:
    """A stack would be either."""
    shutil.copy(project / TARGET, project / "targets" / "zweite.yaml")
    failed = [one for one in check_project(project, today=TODAY).results if one.state is FileState.FAILED]
    assert failed[0].problems == (f"targets/zweite.yaml: target: shop is the name of {TARGET} too",)


def test_a_drill_that_is_not_called_so_is_refused(project: Path) -> None:
    """Its id stands in metrics and runbooks."""
    (project / DRILL).rename(project / "drills" / "first.yaml")
    results = {one.file: one for one in check_project(project, today=TODAY).results}
    assert results["drills/first.yaml"].problems == (
        "drills/first.yaml: is not called as a drill; allowed: drill-NNN-slug.yaml",
    )


def test_an_overdue_review_is_a_warning(project: Path) -> None:
    """Somebody has to look at it in time; nothing is broken."""
    report = check_project(project, today=date(2027, 11, 25))
    assert report.is_sound
    assert any("review-overdue" in line for one in report.results for line in one.warnings)


def test_one_target_with_the_fault_is_enough(project: Path) -> None:
    """A drill runs where its fault is; another environment may have none."""
    other = project / "targets" / "another.yaml"
    shutil.copy(project / TARGET, other)
    edit(other, "target: shop\n", "target: another\n")
    edit(other, "most: 600000", "most: 1000")
    assert check_project(project, today=TODAY).is_sound


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `moneypath check` as a user does."""
    command = [sys.executable, "-m", "moneypath", "check", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)


def test_the_command_prints_a_line_a_file(sound_project: Path, project: Path) -> None:
    """Exit code 0 when all are sound, 1 when one is not; the same as JSON."""
    done = run(cwd=sound_project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ok           {DRILL}\n" in done.stdout
    edit(project / DRILL, "network.latency", "network.gone")
    done = run(cwd=project)
    assert done.returncode == 1
    assert f"failed       {DRILL}\n" in done.stdout
    as_json = run("--json", cwd=project)
    assert as_json.returncode == 1
    document = json.loads(as_json.stdout)
    assert document["sound"] is False
    (drill,) = (one for one in document["files"] if one["file"] == DRILL)
    assert drill["state"] == "failed"
    assert drill["problems"] == [f"{DRILL}: unknown fault: network.gone"]


def test_a_folder_without_a_declaration_is_no_project(tmp_path: Path) -> None:
    """In a sentence."""
    done = run("--project", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 1
    assert "no moneypath.yaml here or above" in done.stderr
