"""When a drill last passed, read from what runs left."""

import json
import os
from datetime import date
from pathlib import Path

from moneypath.workflows.drill_evidence import last_passed


def bundle(runs: Path, run: str, drill: str, day: float, *, passed: bool) -> None:
    """Leave the evidence of one run; `day` counts from the epoch."""
    folder = runs / run / "drill"
    folder.mkdir(parents=True)
    (folder / "scorecard.json").write_text(json.dumps({"passed": passed}))
    (folder / "manifest.json").write_text(json.dumps({"drill": drill}))
    os.utime(folder / "manifest.json", (day * 86400, day * 86400))


def test_without_evidence_nothing_is_known(tmp_path: Path) -> None:
    """A machine on which no drill ran cannot say that none passed."""
    assert last_passed(tmp_path / "runs") is None


def test_the_latest_pass_counts(tmp_path: Path) -> None:
    """A failed run is no pass, and the order of the folders does not matter."""
    bundle(tmp_path, "1", "drill-002-a", 10, passed=True)
    bundle(tmp_path, "2", "drill-002-a", 5, passed=True)
    bundle(tmp_path, "3", "drill-002-a", 20, passed=False)
    bundle(tmp_path, "4", "drill-006-b", 20, passed=False)
    assert last_passed(tmp_path) == {"drill-002-a": date(1970, 1, 11)}


def test_broken_evidence_is_no_pass(tmp_path: Path) -> None:
    """A scorecard that cannot be read proves nothing."""
    bundle(tmp_path, "1", "drill-002-a", 10, passed=True)
    (tmp_path / "1" / "drill" / "scorecard.json").write_text("[")
    assert last_passed(tmp_path) == {}
