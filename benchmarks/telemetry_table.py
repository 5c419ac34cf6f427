"""The performance table of the instrumentation library: all `telemetry_*.py` in this folder as one table.

Run `python benchmarks/telemetry_table.py`. Each part runs in a process of its own, one after the other. If
a part fails or prints no row, all other rows are kept and the exit code is 1. A missed goal is only printed,
because a busy machine is no defect; a part that has a control that must miss its goal judges itself.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import measuring

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "telemetry.json"


def parts() -> list[Path]:
    """Return the scripts whose rows are in the table."""
    return sorted(script for script in HERE.glob("telemetry_*.py") if script != Path(__file__).resolve())


def measure(script: Path, folder: Path, options: tuple[str, ...]) -> tuple[list[measuring.Row], bool]:
    """Run one script and return its rows, and whether it failed."""
    file = folder / f"{script.stem}.json"
    # Its table is printed with the others' at the end; what it has to say beside it comes on stderr.
    command = [sys.executable, *(f"-W{each}" for each in sys.warnoptions), str(script), *options]
    done = subprocess.run(  # noqa: S603 - a script of ours
        [*command, "--json", str(file)], check=False, stdout=subprocess.DEVNULL
    )
    rows = measuring.read(file) if file.exists() else []
    failed = done.returncode != 0 or not rows
    if failed:
        sys.stderr.write(f"{script.name}: exit code {done.returncode}, {len(rows)} rows\n")
    return rows, failed


def main() -> int:
    """Measure, print, and write the file."""
    arguments = measuring.parser("The speed table of the instrumentation library.", options=("--smoke",))
    arguments.set_defaults(json=RESULTS, options=())
    given = arguments.parse_args()
    file: Path = given.json
    with tempfile.TemporaryDirectory() as folder:
        measured = [measure(script, Path(folder), given.options) for script in parts()]
    measuring.tell([row for rows, _ in measured for row in rows], file)
    sys.stdout.write(f"written to {file}\n")
    return int(any(failed for _, failed in measured))


if __name__ == "__main__":
    sys.exit(main())
