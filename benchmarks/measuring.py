"""What the measurements share: interleaved medians, rows with a goal, a table, a JSON file.

A row of the speed table is added by a script `benchmarks/telemetry_<what>.py` that makes its rows and
hands them to `tell`; `telemetry_table.py` finds it by that name, runs it in a process of its own and
puts its rows beside the others.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import process_time

# Does the measured thing so many times.
Work = Callable[[int], None]

PACKAGES = (
    "prometheus-client",
    "opentelemetry-sdk",
    "fastapi",
    "starlette",
    "uvicorn",
    "prometheus-fastapi-instrumentator",
    "opentelemetry-instrumentation-fastapi",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: `measured` has to be at most `goal`; without a goal it is there to compare with.

    `unit` says what both count ("x observe", "ms"); `detail` how the number came about, in a few words.
    """

    name: str
    measured: float
    unit: str
    goal: float | None = None
    detail: str = ""

    @property
    def is_met(self) -> bool | None:
        """Tell whether the goal is met; None where there is none."""
        return None if self.goal is None else self.measured <= self.goal


def interleave(
    candidates: Mapping[str, Work],
    *,
    repeats: int,
    rounds: int,
    clock: Callable[[], float] = process_time,
) -> dict[str, list[float]]:
    """Return what one round of each candidate took, in seconds, once a repetition.

    The candidates run in turn, so that a busy machine slows all of them alike. The clock is CPU time,
    or whatever else the machine does would count; what waits has to be given a clock of the wall. The
    collector is off meanwhile, as `timeit` has it: it would run in whichever candidate comes next.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for work in candidates.values():
        work(max(rounds // 10, 1))
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            for name, work in candidates.items():
                begun = clock()
                work(rounds)
                times[name].append((clock() - begun) / rounds)
    finally:
        if collecting:
            gc.enable()
    return times


def medians(
    candidates: Mapping[str, Work],
    *,
    repeats: int,
    rounds: int,
    clock: Callable[[], float] = process_time,
) -> dict[str, float]:
    """Return the median seconds of one round of each candidate, run interleaved."""
    times = interleave(candidates, repeats=repeats, rounds=rounds, clock=clock)
    return {name: statistics.median(taken) for name, taken in times.items()}


def table(rows: Iterable[Row]) -> str:
    """Return the rows as lines of text, goal and measured side by side."""
    cells = [("what", "goal", "measured", "", "how")]
    for row in rows:
        goal = "" if row.goal is None else f"{row.goal:g} {row.unit}"
        met = {None: "", True: "met", False: "MISSED"}[row.is_met]
        cells.append((row.name, goal, f"{row.measured:.3g} {row.unit}", met, row.detail))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
    return "\n".join([lines[0], "-" * min(sum(widths) + 8, 140), *lines[1:], ""])


def machine() -> dict[str, object]:
    """Return what the numbers depend on: processors, interpreter, versions."""
    versions: dict[str, str] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "packages": versions,
    }


def write(file: Path, rows: Iterable[Row]) -> None:
    """Write the rows with their goals as JSON."""
    told = [{**asdict(row), "is_met": row.is_met} for row in rows]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"machine": machine(), "rows": told}, indent=2) + "\n", encoding="utf-8")


def read(file: Path) -> list[Row]:
    """Read the rows that `write` wrote."""
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    return [Row(**{name: value for name, value in row.items() if name != "is_met"}) for row in rows]


class _Smoke(argparse.Action):
    def __call__(self, parser: object, namespace: argparse.Namespace, *_: object) -> None:  # noqa: ARG002
        vars(namespace).update(self.const)


def parser(description: str, **smallest: object) -> argparse.ArgumentParser:
    """Return a command line with `--json FILE` and `--smoke`, to be extended and read by the script.

    `smallest` are the options of the least run that still does everything once.
    """
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE too")
    told = "run as little as can be, to see that it runs: the numbers mean nothing"
    made.add_argument("--smoke", action=_Smoke, nargs=0, const=smallest, default=argparse.SUPPRESS, help=told)
    return made


def tell(rows: Iterable[Row], file: Path | None) -> None:
    """Print the table; with a file, write it as JSON too."""
    rows = list(rows)
    sys.stdout.write(table(rows))
    if file is not None:
        write(file, rows)
