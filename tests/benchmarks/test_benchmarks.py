"""Every benchmark runs and makes its rows; what they measure depends on the machine and is not tested."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# What the scripts import or start.
HELPERS = {
    "measuring",
    "loop_clock",
    "fastapi_candidates",
    "refpay_authorize_build",
    "refpay_authorize_client",
    "refpay_authorize_pgbench",
}
# It runs each `telemetry_*.py` in a process of its own and fails with it.
TABLE = "telemetry_table"
PARTS = {file.stem for file in BENCHMARKS.glob("telemetry_*.py")} - {TABLE}
SCRIPTS = {file.stem for file in BENCHMARKS.glob("*.py")} - HELPERS - PARTS
# As the rows of the table are promised: goal and unit.
GOALS = {
    "full payment record": (0.5, "x observe"),
    "public context manager": (1.2, "x observe"),
    "memory of a histogram child": (0.5, "KB"),
    "memory of a histogram child, scraped": (1.0, "KB"),
    "lost records": (0, "records"),
    "shared between processes": (0.25, "x multiprocess observe"),
    "shared between processes: bound observe": (0.25, "x multiprocess observe"),
    "10,000 series lines rendered": (5.0, "ms"),
    "p99 of other requests while being scraped": (1.5, "x without"),
}


def run(script: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a script in its smallest form; its warnings are errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", str(script), "--smoke", *options],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_every_benchmark_prints_its_rows_with_finite_numbers(name: str, tmp_path: Path) -> None:
    """Each script of the folder has a smallest form, which starts all that the measurement starts."""
    file = tmp_path / "results" / "rows.json"
    done = run(BENCHMARKS / f"{name}.py", "--json", str(file))
    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert rows
    printed = done.stdout.splitlines()
    for row in rows:
        assert math.isfinite(row["measured"]), row
        (line, *_) = (line for line in printed if line.startswith(f"{row['name']}  "))
        assert ("MISSED" in line) is (row["is_met"] is False)
        assert row["is_met"] is (None if row["goal"] is None else row["measured"] <= row["goal"])
    if name == TABLE:
        named = {row["name"]: row for row in rows}
        assert {goal: (named[goal]["goal"], named[goal]["unit"]) for goal in GOALS} == GOALS
        assert named["lost records"]["measured"] == 0
        assert named["memory of a histogram child"]["is_met"]
        assert named["memory of a histogram child, scraped"]["is_met"]
        # The caller's thread, and all threads.
        assert "full payment record, traced: whole process" in named


ROWS = "from measuring import Row, parser, tell; tell([{}], parser('-').parse_args().json)"


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("import nothing_of_that_name", "telemetry_part.py: exit code 1, 0 rows"),
        (ROWS.format(""), "telemetry_part.py: exit code 0, 0 rows"),
        (ROWS.format("Row('one', 1, 's')"), ""),
    ],
)
def test_the_table_fails_with_a_part(part: str, told: str, tmp_path: Path) -> None:
    """A part is found by its name; one that breaks or makes no row ends the table with 1, and is named."""
    for name in ("measuring", TABLE):
        shutil.copy(BENCHMARKS / f"{name}.py", tmp_path)
    (tmp_path / "telemetry_part.py").write_text(part, encoding="utf-8")
    done = run(tmp_path / f"{TABLE}.py")
    assert done.returncode == int(bool(told))
    assert told in done.stderr
    assert ("one  " in done.stdout) is not bool(told)


def test_the_table_keeps_the_rows_of_a_part_that_judges_itself(tmp_path: Path) -> None:
    """What was measured is shown, and the exit code is 1."""
    for name in ("measuring", TABLE):
        shutil.copy(BENCHMARKS / f"{name}.py", tmp_path)
    part = ROWS.format("Row('one', 1, 's')") + "; raise SystemExit(1)"
    (tmp_path / "telemetry_part.py").write_text(part, encoding="utf-8")
    done = run(tmp_path / f"{TABLE}.py")
    assert (done.returncode, "one  " in done.stdout) == (1, True)
    assert "telemetry_part.py: exit code 1, 1 rows" in done.stderr


def test_make_bench_runs_them_all() -> None:
    """The same scripts, none twice."""
    dry = subprocess.run(
        ["make", "-n", "bench"], cwd=BENCHMARKS.parent, capture_output=True, text=True, timeout=30, check=True
    )
    (loop,) = (line for line in dry.stdout.splitlines() if line.startswith("for script in"))
    named = [Path(word).stem for word in loop.partition(";")[0].split() if word.startswith("benchmarks/")]
    assert sorted(named) == sorted(SCRIPTS)
