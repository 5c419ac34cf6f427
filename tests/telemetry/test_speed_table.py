"""The speed table is made by one command, with each goal beside what was measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# As the rows are promised; what they measure depends on the machine and is no matter of a test.
GOALS = {
    "telemetry_record": {
        "full payment record": (0.5, "x observe"),
        "public context manager": (1.2, "x observe"),
        "cells of a histogram child": (0.5, "KB"),
        "lost records": (0, "records"),
    },
    "telemetry_shared": {
        "shared between processes": (0.25, "x multiprocess observe"),
        "shared between processes: bound observe": (0.25, "x multiprocess observe"),
    },
    "telemetry_scrape": {
        "10,000 series lines rendered": (5.0, "ms"),
        "p99 of other requests while being scraped": (1.5, "x without"),
    },
}
QUICK = {
    "telemetry_record": ("--repeats", "1", "--rounds", "10", "--records", "1000"),
    "telemetry_shared": ("--repeats", "1", "--rounds", "10", "--dead", "3", "--theirs", "1"),
    "telemetry_scrape": ("--repeats", "1", "--spells", "1", "--seconds", "0.2"),
}


@pytest.mark.parametrize("name", GOALS)
def test_rows_stand_beside_their_goals(name: str, tmp_path: Path) -> None:
    """Printed and written as JSON alike; what can be known beforehand is checked."""
    file = tmp_path / "results" / "rows.json"
    run = subprocess.run(
        [sys.executable, "-W", "error", str(BENCHMARKS / f"{name}.py"), *QUICK[name], "--json", str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    rows = {row["name"]: row for row in json.loads(file.read_text(encoding="utf-8"))["rows"]}
    for row_name, (goal, unit) in GOALS[name].items():
        row = rows[row_name]
        assert (row["goal"], row["unit"]) == (goal, unit)
        assert row["is_met"] is (row["measured"] <= goal)
        (line,) = (line for line in run.stdout.splitlines() if line.startswith(f"{row_name}  "))
        assert ("MISSED" in line) is not row["is_met"]
    if name == "telemetry_record":
        assert rows["lost records"]["measured"] == 0
        assert rows["cells of a histogram child"]["is_met"]


def test_every_part_of_the_table_is_found_by_its_name() -> None:
    """A row is added by adding a script; the table itself is no part of itself."""
    code = "import telemetry_table; print(*sorted(part.stem for part in telemetry_table.parts()))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True, timeout=60, check=True
    ).stdout.split()
    assert {*GOALS} <= {*found}
    assert "telemetry_table" not in found
