"""Mutate what decides whether a proof is one, and list which mutations no test notices.

Run `python tools/mutation.py`; `[tool.mutmut]` in pyproject.toml says what is mutated and by which tests.
With `--only` a module is run by itself; the report counts what ran before, and what did not as open.
Whatever survives needs a reason in tests/mutation_survivors.yaml: a pattern that the changed line matches.
Prints the score of each module, then the survivors without a reason; exits with 0 only if there is none.
"""

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
REASONS = ROOT / "tests" / "mutation_survivors.yaml"
RUN_SECONDS = 3 * 3600.0
KILLED = frozenset({"killed", "timeout", "caught by type check"})
UNRUN = "not checked"
_KEYS = {"module", "line", "reason"}


class ReasonsInvalid(Exception):
    """The file of reasons is not as described; the message names the file and the entry."""


@dataclass(frozen=True)
class Reason:
    """Why mutations of some modules may survive: `line` is searched for in the line that the mutant has."""

    module: re.Pattern[str]
    line: re.Pattern[str]
    words: str

    def covers(self, mutant: "Mutant") -> bool:
        """Tell whether it is about this mutant."""
        return bool(self.module.fullmatch(mutant.module)) and any(map(self.line.search, mutant.lines))


@dataclass(frozen=True)
class Mutant:
    """One mutation: its name, its status, and the lines that it has instead of ours."""

    name: str
    status: str
    lines: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """Return the module that it changes."""
        return self.name.rpartition(".")[0]


def read_reasons(file: Path) -> tuple[Reason, ...]:
    """Read the reasons; raises ReasonsInvalid."""
    entries = yaml.safe_load(file.read_text(encoding="utf-8"))
    found = []
    for number, entry in enumerate(entries or (), start=1):
        if not isinstance(entry, dict) or set(entry) != _KEYS:
            raise ReasonsInvalid(f"{file}: entry {number} needs {', '.join(sorted(_KEYS))} and nothing else")
        try:
            patterns = re.compile(entry["module"]), re.compile(entry["line"])
        except re.error as error:
            raise ReasonsInvalid(
                f"{file}: entry {number}: {error.pattern!r} is no pattern: {error}"
            ) from None
        found.append(Reason(*patterns, str(entry["reason"])))
    return tuple(found)


def parse_results(text: str) -> list[Mutant]:
    """Return the mutants of `mutmut results --all true`."""
    lines = (line.strip().rpartition(": ") for line in text.splitlines() if "__mutmut_" in line)
    return [Mutant(name, status) for name, _, status in lines]


def changed_lines(diff: str) -> tuple[str, ...]:
    """Return the lines that a unified diff adds."""
    return tuple(line[1:].strip() for line in diff.splitlines() if re.match(r"\+(?!\+\+ )", line))


def show(mutants: Sequence[Mutant], reasons: Iterable[Reason]) -> tuple[str, bool]:
    """Return the report, and whether every survivor has a reason and every reason a survivor."""
    reasons, used, unreasoned = tuple(reasons), set[int](), []
    rows: dict[str, Counter[str]] = {}
    for mutant in mutants:
        row = rows.setdefault(mutant.module, Counter())
        row["all"] += 1
        if mutant.status in KILLED:
            row["killed"] += 1
            continue
        found = next((place for place, reason in enumerate(reasons) if reason.covers(mutant)), None)
        if found is None:
            unreasoned.append(mutant)
        else:
            used.add(found)
            row["reasoned"] += 1
    lines = [f"{'module':48} {'mutants':>8} {'killed':>8} {'reasoned':>9} {'open':>6} {'score':>7}"]
    for module, row in [*sorted(rows.items()), ("all", sum(rows.values(), Counter()))]:
        score = row["killed"] / max(1, row["all"])
        left = row["all"] - row["killed"] - row["reasoned"]
        figures = f"{row['all']:8} {row['killed']:8} {row['reasoned']:9} {left:6} {score:7.1%}"
        lines.append(f"{module:48} {figures}")
    ran = [one for one in unreasoned if one.status != UNRUN]
    lines += [f"{one.name}: {one.status}: {' / '.join(one.lines)}" for one in ran]
    if len(ran) < len(unreasoned):
        lines.append(f"{len(unreasoned) - len(ran)} mutants were not run")
    unused = [reason.words for place, reason in enumerate(reasons) if place not in used]
    lines += [f"no survivor has this reason any more: {words}" for words in unused]
    return "\n".join(lines) + "\n", not unreasoned and not unused


def run_mutmut(*arguments: str, capture: bool) -> str:
    """Run the mutation tool with the quick examples; raises SystemExit when it fails."""
    ended = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=ROOT,
        env={**os.environ, "MONEYPATH_EXAMPLES": "quick"},
        stdout=subprocess.PIPE if capture else None,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    if ended.returncode != 0:
        sys.exit(f"mutmut {' '.join(arguments)} ended with {ended.returncode}: see its output above")
    return ended.stdout or ""


def with_lines(mutant: Mutant) -> Mutant:
    """Return a survivor with what it changes."""
    from mutmut.mutation.diff_apply import find_mutant, get_diff_for_mutant

    diff = get_diff_for_mutant(mutant.name, path=find_mutant(mutant.name).path)
    return Mutant(mutant.name, mutant.status, changed_lines(diff))


def main() -> int:
    """Mutate, run the tests, print the report."""
    parser = argparse.ArgumentParser(description="List the mutations of the proof that no test notices.")
    parser.add_argument("--children", type=int, default=2, help="mutants at the same time (default 2)")
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        help="run the mutants of this name again, such as 'moneypath.oracle.claims.*'",
    )
    parser.add_argument("--report", action="store_true", help="only show the last run's results again")
    arguments = parser.parse_args()
    try:
        reasons = read_reasons(REASONS)
    except ReasonsInvalid as error:
        parser.error(str(error))
    if not arguments.report:
        only = (arguments.only,) if arguments.only else ()
        run_mutmut("run", "--max-children", str(arguments.children), *only, capture=False)
    os.chdir(ROOT)
    mutants = parse_results(run_mutmut("results", "--all", "true", capture=True))
    if not mutants:
        sys.exit("mutmut found nothing to mutate: see [tool.mutmut] in pyproject.toml")
    survivors = [one if one.status in {*KILLED, UNRUN} else with_lines(one) for one in mutants]
    report, complete = show(survivors, reasons)
    sys.stdout.write(report)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
