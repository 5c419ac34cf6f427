"""Prove the release gate: the good build passes every time, each seeded bad build fails for its own reason.

Run `python tools/prove_gate.py --runs 10`. The builds take turns, so that a busy machine affects all alike.
It prints a table, writes every verdict as JSON, and exits with 0 only if every run had the expected outcome.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "prove-gate.json"
RUN_SECONDS = 600.0

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A build, its expected outcome, and a test that it ended for the expected reason."""

    build: str
    outcome: str
    reason: str
    shows: Callable[[Document], bool]


def discrepancies(document: Document) -> Mapping[str, int]:
    """Return the number of discrepancies of each kind; empty if there was no audit."""
    return dict((document["figures"]["oracle"] or {}).get("discrepancies", {}))


def broken(document: Document) -> set[str]:
    """Return the measures that kept the build from passing."""
    return {each["measure"] for each in document["measures"] if each["status"] in ("broken", "unknown")}


def only_passed(document: Document) -> bool:
    """Tell whether nothing was found."""
    return not broken(document) and not discrepancies(document)


def too_slow(document: Document) -> bool:
    """Tell whether latency failed, and no money is missing or doubled."""
    return "authorization_latency" in broken(document) and not discrepancies(document)


def posting_lost(document: Document) -> bool:
    """Tell whether the audit found captures without posting, their consequences, and nothing else."""
    kinds = set(discrepancies(document))
    return "capture_without_posting" in kinds and kinds <= {"capture_without_posting", "acknowledged_lost"}


def charged_twice(document: Document) -> bool:
    """Tell whether the audit found references that were captured twice."""
    return discrepancies(document).get("reference_charged_twice", 0) > 0


CASES = (
    Case("refpay.app", "passed", "everything met", only_passed),
    Case("loadtests.badbuilds.slower", "failed", "latency", too_slow),
    Case("loadtests.badbuilds.loses_postings", "failed", "lost posting", posting_lost),
    Case("loadtests.badbuilds.charges_twice_under_retry", "failed", "double charge", charged_twice),
)


def run_gate(case: Case, gate_file: Path | None) -> dict[str, Any]:
    """Run the gate once; return its result, and whether that is the expected one."""
    command = [sys.executable, "-m", "moneypath", "gate", "--json", "--build", case.build]
    if gate_file is not None:
        command += ["--file", str(gate_file)]
    begun = time.monotonic()
    process = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    seconds = time.monotonic() - begun
    try:
        document = json.loads(process.stdout)
    except ValueError:
        words = process.stderr.strip()[-500:] or f"exit code {process.returncode}"
        return {"build": case.build, "right": False, "seconds": seconds, "summary": words, "document": None}
    right = document["outcome"] == case.outcome and case.shows(document)
    return {
        "build": case.build,
        "right": right,
        "seconds": round(seconds, 1),
        "summary": document["summary"],
        "document": document,
    }


def show(rows: list[dict[str, Any]]) -> str:
    """Return one line per build."""
    lines = [f"{'build':46} {'has to':8} {'because of':16} {'right':>7} {'longest':>9}"]
    for case in CASES:
        mine = [row for row in rows if row["build"] == case.build]
        if mine:
            count = f"{sum(row['right'] for row in mine)}/{len(mine)}"
            longest = max(row["seconds"] for row in mine)
            lines.append(f"{case.build:46} {case.outcome:8} {case.reason:16} {count:>7} {longest:7.0f} s")
    return "\n".join([*lines, ""])


def main() -> int:
    """Run every build, print the table, write the results."""
    parser = argparse.ArgumentParser(description="Prove the release gate on good and bad builds.")
    parser.add_argument("--runs", type=int, default=1, help="runs of each build (default 1)")
    parser.add_argument("--file", type=Path, help="gate file (default the project's)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file (default %(default)s)")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error("--runs: has to be at least 1")
    rows: list[dict[str, Any]] = []
    for number in range(1, arguments.runs + 1):
        for case in CASES:
            row = run_gate(case, arguments.file)
            rows.append(row)
            sign = "right" if row["right"] else "WRONG"
            sys.stdout.write(f"run {number}: {sign} after {row['seconds']:.0f} s: {row['summary']}\n")
            sys.stdout.flush()
    sys.stdout.write("\n" + show(rows))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"\nevery verdict: {arguments.output}\n")
    return 0 if all(row["right"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
