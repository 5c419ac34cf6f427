"""Count the false verdicts of the comparison: windows of one build, split at random into two builds.

Run `python tools/false_verdicts.py` on a quiet machine. It records 40 windows of the good build (ten
minutes), or reads those of `--windows FILE`. It ends with 0 only if at most three of 100 draws are told
apart, and 10 % more latency is found in each of five.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

from moneypath.capacity.gate_file import Gate, load_gate
from moneypath.capacity.permutation import WindowMeasures, compare_windows
from moneypath.capacity.recorded_windows import RecordedWindows
from moneypath.path.loader import FILE_NAME, load

ROOT = Path(__file__).resolve().parent.parent
GATE = ROOT / "loadtests" / "gate.yaml"
RESULTS = ROOT / "benchmarks" / "results"
RECORDED = 40
DRAWS, FALSE_AT_MOST = 100, 3
SLOWER, FOUND_DRAWS = 1.10, 5
RUN_SECONDS = 1_200.0


def record(file: Path, gate: Gate) -> None:
    """Record windows of the good build; the verdict of that gate is not of interest."""
    text = GATE.read_text(encoding="utf-8")
    windows = f"\n  windows: {gate.baseline.windows}\n"
    if text.count(windows) != 1:
        sys.exit(f"{GATE}: has no line{windows}".replace("\n", " "))
    more = file.with_suffix(".yaml")
    more.write_text(text.replace(windows, f"\n  windows: {RECORDED}\n"), encoding="utf-8")
    command = [sys.executable, "-m", "moneypath", "gate", "--file", str(more), "--record-baseline", str(file)]
    subprocess.run(command, cwd=ROOT, timeout=RUN_SECONDS, check=False)


def tells_apart(build: Sequence[WindowMeasures], baseline: Sequence[WindowMeasures], gate: Gate) -> bool:
    """Return whether the comparison calls the build worse."""
    differences = compare_windows(build, baseline, margin=float(gate.baseline.worse_at_most_ratio))
    return differences[0].chance <= float(gate.baseline.level)


def main() -> int:
    """Record or read, draw, count."""
    parser = argparse.ArgumentParser(description="Count the false verdicts of the comparison.")
    parser.add_argument("--windows", type=Path, help="recorded windows (default: record new ones)")
    parser.add_argument("--seed", type=int, default=1, help="of the draws (default %(default)s)")
    arguments = parser.parse_args()
    gate, _ = load_gate(GATE, load(ROOT / FILE_NAME))
    file = arguments.windows
    if file is None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        file = RESULTS / "windows.json"
        record(file, gate)
    windows = RecordedWindows.read(file).windows
    each = gate.baseline.windows
    if len(windows) < 2 * each:
        sys.exit(f"{file}: {len(windows)} windows, needed: {2 * each}")
    draw = Random(arguments.seed)  # noqa: S311 - draws that can be repeated, not a secret
    false = found = 0
    for number in range(DRAWS):
        chosen = draw.sample(windows, 2 * each)
        build, baseline = chosen[:each], chosen[each:]
        false += tells_apart(build, baseline, gate)
        if number < FOUND_DRAWS:
            slower = [
                {name: value * (SLOWER if name.startswith("latency") else 1) for name, value in one.items()}
                for one in build
            ]
            found += tells_apart(slower, baseline, gate)
    sys.stdout.write(
        f"{len(windows)} windows of one build: {false} false verdicts in {DRAWS} draws, "
        f"at most {FALSE_AT_MOST}; {SLOWER - 1:.0%} more latency found in {found} of {FOUND_DRAWS}\n"
    )
    return 0 if false <= FALSE_AT_MOST and found == FOUND_DRAWS else 1


if __name__ == "__main__":
    sys.exit(main())
