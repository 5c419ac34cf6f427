"""A long proof that was stopped goes on where it was, and only with the program that it began with."""

import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

import prove_drills
from kept_runs import KeptRuns, describe
from prove_drills import Run, still_due


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with one commit."""
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "code.py").write_text("first\n")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        name = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *name, *arguments], cwd=root, check=True)
    return root


def test_each_run_is_there_after_a_stop(tmp_path: Path, checkout: Path) -> None:
    """Nothing has to be written at the end."""
    file = tmp_path / "runs.json"
    kept = KeptRuns.open(file, checkout, go_on=False)
    kept.add({"drill": "a", "passed": True})
    kept.add({"drill": "b", "passed": False})
    again = KeptRuns.open(file, checkout, go_on=True)
    assert again.rows == kept.rows
    assert (again.count("drill", "a"), again.count("drill", "c")) == (1, 0)
    assert KeptRuns.open(file, checkout, go_on=False).rows == []


@pytest.mark.parametrize("commit_it", [True, False])
def test_runs_of_another_program_do_not_count(tmp_path: Path, checkout: Path, commit_it: bool) -> None:
    """Neither those of another commit, nor those beside a change that is not committed."""
    file = tmp_path / "runs.json"
    KeptRuns.open(file, checkout, go_on=False).add({"drill": "a"})
    (checkout / "code.py").write_text("second\n")
    if commit_it:
        name = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *name, "commit", "-qam", "second"], cwd=checkout, check=True)
    with pytest.raises(SystemExit, match="leave out --continue to begin anew"):
        KeptRuns.open(file, checkout, go_on=True)


def test_a_file_that_is_none_is_refused(tmp_path: Path, checkout: Path) -> None:
    """And stays as it is."""
    file = tmp_path / "runs.json"
    file.write_text("[]")
    with pytest.raises(SystemExit, match=r"runs\.json: no runs of this proof"):
        KeptRuns.open(file, checkout, go_on=True)
    assert file.read_text() == "[]"


def test_runs_outside_of_a_checkout_are_of_no_known_program(tmp_path: Path) -> None:
    """So they can be kept, and not continued."""
    assert describe(tmp_path) == "unknown+"


def test_what_is_due_is_what_was_not_run_often_enough(tmp_path: Path) -> None:
    """In turns, and the drill that is behind first."""
    one, two = Path("one.yaml"), Path("two.yaml")
    kept = KeptRuns(tmp_path / "runs.json", "c")
    for drill in ("one", "one", "two"):
        kept.add({"drill": drill})
    assert list(still_due([one, two], kept, runs=3)) == [two, one, two]
    assert list(still_due([one, two], kept, runs=1)) == []


def test_a_kept_run_reads_as_it_was(tmp_path: Path) -> None:
    """The failures are those of the scorecard."""
    run = Run("a", passed=False, score=0.5, seconds=3.0, failures=("late",))
    kept = KeptRuns(tmp_path / "runs.json", "c")
    kept.add(asdict(run))
    assert prove_drills.read_run(kept.rows[0]) == run
