"""`make prove` says of each sabotage what caught it, and of a drill how often it passed."""

import subprocess
import sys
from pathlib import Path

import pytest

import prove_drills

ROOT = Path(__file__).resolve().parents[2]
FIRST = "tests/drills/sabotage/test_altered_logs.py"


def test_table_names_the_sabotage_and_what_said_so() -> None:
    """The row is of the test that ran, with the sentence of the scorecard."""
    options = [
        "-q",
        "-p",
        "tests.proof_table",
        "-p",
        "no:cacheprovider",
        "-k",
        "lucky_dip or honest_log_passes",
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, FIRST],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    (row,) = (line for line in ended.stdout.splitlines() if "lucky dip" in line)
    assert "customer harm was not seen to end: it came back" in row
    assert "Sabotages caught: 1" in ended.stdout


def test_one_failed_run_of_a_drill_is_counted_and_shown() -> None:
    """A median over those that passed would hide it."""
    good = prove_drills.Run("drill-1", passed=True, score=1.0, seconds=80.0, failures=())
    bad = prove_drills.Run("drill-1", passed=False, score=None, seconds=90.0, failures=("no stack",))
    _, row = prove_drills.show([good, bad]).strip().splitlines()
    assert row.split() == ["drill-1", "1/2", "0.00", "85", "s", "90", "s"]


def test_drill_without_a_scorecard_did_not_pass(tmp_path: Path) -> None:
    """The sentence of the error stands where the failures would."""
    run = prove_drills.run_drill(tmp_path / "no-drill.yaml")
    assert (run.passed, run.score) == (False, None)
    assert "no-drill.yaml" in run.failures[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--runs", "0"], "--runs: has to be from 1 to 100"),
        (["--at-once", "101"], "--at-once: has to be from 1 to 100"),
        (["none.yaml"], "none.yaml: there is no such drill"),
    ],
)
def test_impossible_runs_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """Nothing is started."""
    monkeypatch.setattr(sys, "argv", ["prove_drills.py", *arguments])
    with pytest.raises(SystemExit, match="2"):
        prove_drills.main()
    assert words in capsys.readouterr().err
