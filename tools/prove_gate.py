"""Prove the release gate: the good build passes every time, each seeded bad build fails for its own reason.

Run `python tools/prove_gate.py --runs 10`. The builds take turns, so that a busy machine affects all alike.
It prints a table, writes every verdict as JSON after each run, and exits with 0 only if every run had the
expected outcome. With `--continue` it goes on where a run at the same commit was stopped.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kept_runs import KeptRuns

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "prove-gate.json"
RUN_SECONDS = 720.0

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A build, its expected outcome, and a test that it ended for the expected reason."""

    build: str
    outcome: str
    reason: str
    shows: Callable[[Document], bool]
    baseline: str | None = None

    @property
    def title(self) -> str:
        """Return the build, and what it is compared with."""
        return self.build if self.baseline is None else f"{self.build} v {self.baseline}"


def discrepancies(document: Document) -> Mapping[str, int]:
    """Return the number of discrepancies of each kind; empty if there was no audit."""
    return dict((document["figures"]["oracle"] or {}).get("discrepancies", {}))


def broken(document: Document) -> set[str]:
    """Return the measures that kept the build from passing."""
    return {each["measure"] for each in document["measures"] if each["status"] in ("broken", "unknown")}


def only_passed(document: Document) -> bool:
    """Tell whether nothing was found."""
    return not broken(document) and not discrepancies(document)


def keeps_back(measure: str) -> Callable[[Document], bool]:
    """Return a test that this measure kept the build from passing, and that the audit found nothing."""
    return lambda document: measure in broken(document) and not discrepancies(document)


def denied(document: Document) -> bool:
    """Tell whether clients were refused what the audit found to be made."""
    return "refusals" in broken(document) and "refused_but_charged" in discrepancies(document)


def worse_than_baseline(document: Document) -> bool:
    """Tell whether the comparison alone found it, by a latency."""
    found = (document["figures"]["comparison"] or {}).get("differences", [{}])
    return broken(document) == {"baseline"} and str(found[0].get("measure", "")).startswith("latency")


def posting_lost(document: Document) -> bool:
    """Tell whether the audit found captures without posting, their consequences, and nothing else."""
    kinds = set(discrepancies(document))
    return "capture_without_posting" in kinds and kinds <= {"capture_without_posting", "acknowledged_lost"}


def charged_twice(document: Document) -> bool:
    """Tell whether the audit found references that were captured twice."""
    return discrepancies(document).get("reference_charged_twice", 0) > 0


def owed_to_another(document: Document) -> bool:
    """Tell whether the audit found postings to another merchant than the one who sold."""
    return bool(set(discrepancies(document)) & {"beneficiary_differs", "account_unexpected"})


def failures_hidden(document: Document) -> bool:
    """Tell whether clients saw failures that the metrics do not show."""
    return broken(document) >= {"answers", "metrics"}


BAD = "loadtests.badbuilds"
CASES = (
    Case("refpay.app", "passed", "everything met", only_passed),
    Case("refpay.app", "passed", "no worse", only_passed, baseline="HEAD"),
    Case(f"{BAD}.slower", "failed", "10 % slower", worse_than_baseline, baseline="HEAD"),
    Case(f"{BAD}.hangs", "failed", "hangs", keeps_back("answers")),
    Case(f"{BAD}.refuses_valid", "failed", "refusals", keeps_back("refusals")),
    Case(f"{BAD}.leaks_memory", "failed", "memory", keeps_back("memory")),
    Case(f"{BAD}.leaks_connections", "failed", "connections", keeps_back("connections")),
    Case(f"{BAD}.never_drains", "failed", "drain", lambda document: "drain" in broken(document)),
    Case(f"{BAD}.costs_more", "failed", "cost", keeps_back("cost_per_transaction")),
    Case(f"{BAD}.loses_postings", "failed", "lost posting", posting_lost),
    Case(f"{BAD}.charges_twice_under_retry", "failed", "double charge", charged_twice),
    Case(f"{BAD}.says_no_after_charging", "failed", "denied charge", denied),
    Case(f"{BAD}.pays_wrong_merchant", "failed", "wrong creditor", owed_to_another),
    Case(f"{BAD}.counts_failures_as_declines", "failed", "hidden failures", failures_hidden),
)


def run_gate(case: Case, gate_file: Path | None) -> dict[str, Any]:
    """Run the gate once; return its result, and whether that is the expected one."""
    command = [sys.executable, "-m", "moneypath", "gate", "--json", "--build", case.build]
    if case.baseline is not None:
        command += ["--baseline", case.baseline]
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
        return {"build": case.title, "right": False, "seconds": seconds, "summary": words, "document": None}
    right = document["outcome"] == case.outcome and case.shows(document)
    return {
        "build": case.title,
        "right": right,
        "seconds": round(seconds, 1),
        "summary": document["summary"],
        "document": document,
    }


def show(cases: Sequence[Case], rows: list[dict[str, Any]]) -> str:
    """Return one line per build."""
    lines = [f"{'build':50} {'has to':8} {'because of':16} {'right':>7} {'longest':>9}"]
    for case in cases:
        mine = [row for row in rows if row["build"] == case.title]
        if mine:
            count = f"{sum(row['right'] for row in mine)}/{len(mine)}"
            longest = max(row["seconds"] for row in mine)
            lines.append(f"{case.title:50} {case.outcome:8} {case.reason:16} {count:>7} {longest:7.0f} s")
    return "\n".join([*lines, ""])


def main() -> int:
    """Run every build, print the table, write the results."""
    parser = argparse.ArgumentParser(description="Prove the release gate on good and bad builds.")
    parser.add_argument("--runs", type=int, default=1, help="runs of each build (default 1)")
    parser.add_argument("--file", type=Path, help="gate file (default the project's)")
    parser.add_argument("--only", help="the builds whose name contains this")
    parser.add_argument("--continue", dest="go_on", action="store_true", help="keep the runs of --output")
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file (default %(default)s)")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error("--runs: has to be at least 1")
    cases = [case for case in CASES if (arguments.only or "") in case.title]
    if not cases:
        parser.error(f"--only: no build has this in its name: {', '.join(case.title for case in CASES)}")
    kept = KeptRuns.open(arguments.output, ROOT, go_on=arguments.go_on)
    for number in range(1, arguments.runs + 1):
        for case in cases:
            if kept.count("build", case.title) >= number:
                continue
            row = run_gate(case, arguments.file)
            kept.add(row)
            sign = "right" if row["right"] else "WRONG"
            sys.stdout.write(f"run {number}: {sign} after {row['seconds']:.0f} s: {row['summary']}\n")
            sys.stdout.flush()
    sys.stdout.write("\n" + show(cases, kept.rows))
    sys.stdout.write(f"\nevery verdict: {arguments.output}\n")
    return 0 if all(row["right"] for row in kept.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
