"""Prove the drills: each unmodified drill passes every time, two at a time so that the machine is busy.

Run `python tools/prove_drills.py --runs 20`. The drills take turns, so that a busy machine affects all alike.
It prints a table, writes every scorecard as JSON after each run, and exits with 0 only if every run passed.
With `--continue` it goes on where a run at the same commit was stopped.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from kept_runs import KeptRuns

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "prove-drills.json"
RUN_SECONDS = 900.0


@dataclass(frozen=True)
class Run:
    """How one run of a drill ended; `score` is None without a scorecard."""

    drill: str
    passed: bool
    score: float | None
    seconds: float
    failures: tuple[str, ...]


def run_drill(file: Path) -> Run:
    """Run a drill on a stack of its own."""
    command = [sys.executable, "-m", "moneypath", "drill", "run", "--json", str(file)]
    begun = time.monotonic()
    process = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    seconds = round(time.monotonic() - begun, 1)
    try:
        card = json.loads(process.stdout)
    except ValueError:
        words = process.stderr.strip()[-500:] or f"exit code {process.returncode}"
        return Run(file.stem, passed=False, score=None, seconds=seconds, failures=(words,))
    passed = process.returncode == 0 and card["passed"]
    return Run(file.stem, passed, card["score"], seconds, tuple(card["failures"]))


def read_run(row: Mapping[str, Any]) -> Run:
    """Return a run that was kept."""
    return Run(**{**row, "failures": tuple(row["failures"])})


def still_due(files: Sequence[Path], kept: KeptRuns, *, runs: int) -> Iterator[Path]:
    """Yield the drills that were not run often enough, in turns."""
    done = {file: kept.count("drill", file.stem) for file in files}
    for number in range(runs):
        yield from (file for file in files if done[file] <= number)


def run_all(files: Iterable[Path], *, at_once: int) -> Iterator[Run]:
    """Yield each run as it is due in the table's order."""
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(run_drill, files)


def show(rows: Sequence[Run]) -> str:
    """Return one line per drill."""
    lines = [f"{'drill':40} {'passed':>8} {'least score':>12} {'median':>8} {'longest':>8}"]
    for drill in dict.fromkeys(row.drill for row in rows):
        mine = [row for row in rows if row.drill == drill]
        count = f"{sum(row.passed for row in mine)}/{len(mine)}"
        least = min(row.score or 0.0 for row in mine)
        seconds = [row.seconds for row in mine]
        lines.append(f"{drill:40} {count:>8} {least:>12.2f} {median(seconds):6.0f} s {max(seconds):6.0f} s")
    return "\n".join([*lines, ""])


def main() -> int:
    """Run every drill, print the table, write the results."""
    parser = argparse.ArgumentParser(description="Prove that the unmodified drills pass on a busy machine.")
    parser.add_argument("drills", nargs="*", type=Path, help="drill files (default all of drills/)")
    parser.add_argument("--runs", type=int, default=1, help="runs of each drill (default 1)")
    parser.add_argument("--at-once", type=int, default=2, help="drills at the same time (default 2)")
    parser.add_argument("--continue", dest="go_on", action="store_true", help="keep the runs of --output")
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file (default %(default)s)")
    arguments = parser.parse_args()
    for name in ("runs", "at_once"):
        if not 1 <= getattr(arguments, name) <= 100:
            parser.error(f"--{name.replace('_', '-')}: has to be from 1 to 100")
    files = arguments.drills or sorted((ROOT / "drills").glob("*.yaml"))
    for file in files:
        if not file.is_file():
            parser.error(f"{file}: there is no such drill; `ls drills` lists them")
    kept = KeptRuns.open(arguments.output, ROOT, go_on=arguments.go_on)
    due = list(still_due(files, kept, runs=arguments.runs))
    for row in run_all(due, at_once=arguments.at_once):
        kept.add(asdict(row))
        sign = f"passed, {row.score:.2f}" if row.passed else f"FAILED: {'; '.join(row.failures)}"
        sys.stdout.write(f"{row.drill} after {row.seconds:.0f} s: {sign}\n")
        sys.stdout.flush()
    rows = [read_run(row) for row in kept.rows]
    sys.stdout.write("\n" + show(rows))
    sys.stdout.write(f"\nevery scorecard: {arguments.output}\n")
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
