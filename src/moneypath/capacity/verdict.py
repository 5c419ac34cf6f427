"""One verdict and one exit code from all findings, and whether it is certain before the time is up."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from moneypath.alerting.conventions import Severity
from moneypath.capacity.criteria import Finding, Status, judge_all
from moneypath.capacity.figures import Counted, Figures, Tally
from moneypath.capacity.gate_file import OF_THE_GATE, Gate, Measure, Promises

# Each checkout writes the ledger twice at the most: its capture, and its refund.
WRITES_A_CHECKOUT: Final = 2


class Outcome(StrEnum):
    """What a pipeline is told. Inconclusive is no pass: the load or the machine was not as it has to be."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


EXIT_CODES: Final = {Outcome.PASSED: 0, Outcome.FAILED: 1, Outcome.INCONCLUSIVE: 3}
# What only a window that was not cut short can show.
OF_A_WHOLE_RUN: Final = frozenset({Measure.RATE, Measure.EVIDENCE})
# What a machine that is busy with other work spoils; money that is lost or doubled is not among it.
OF_SPEED: Final = frozenset(
    {
        Measure.AVAILABILITY,
        Measure.AUTHORIZATION_LATENCY,
        Measure.LEDGER_WRITE_SUCCESS,
        Measure.DRAIN,
        Measure.RECONCILIATION_LAG,
    }
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer; `ended_early` says why the window was cut short, "" when it was not."""

    title: str
    build: str
    outcome: Outcome
    findings: tuple[Finding, ...]
    figures: Figures
    ended_early: str

    @property
    def exit_code(self) -> int:
        """Return 0 passed, 1 failed, 3 inconclusive; 2 is for bad input, before any verdict."""
        return EXIT_CODES[self.outcome]

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Return the findings that keep the build from passing."""
        return tuple(f for f in self.findings if f.status in (Status.BROKEN, Status.UNKNOWN))

    @property
    def summary(self) -> str:
        """Return the verdict in one line."""
        words = [f"{f.measure} {'unknown' if f.status is Status.UNKNOWN else f.seen}" for f in self.broken]
        reasons = "; ".join(words) or ", ".join(
            f"{f.measure} {f.seen}" for f in self.findings if f.measure in OF_THE_GATE
        )
        return f"{self.outcome}: {self.build}: {reasons}"


def judge(figures: Figures, gate: Gate, promises: Promises, *, build: str, ended_early: str = "") -> Verdict:
    """Judge a finished run.

    A broken promise fails at any load, so it outranks a rate that was not reached; but on a machine that
    was busy with other work, promises of speed are inconclusive when broken, and all the more kept when
    kept. A run that was ended early, because its
    verdict was certain, is not held against rate and evidence of a whole one.
    """
    findings = judge_all(figures, gate, promises)
    disturbed = any(f.measure is Measure.MACHINE and f.status is Status.BROKEN for f in findings)
    if ended_early:
        findings = tuple(f for f in findings if f.measure not in OF_A_WHOLE_RUN)
    broken = [f for f in findings if f.status is Status.BROKEN]
    if disturbed and {f.measure for f in broken} == {Measure.MACHINE}:
        findings = tuple(_harmless(f) for f in findings)
        broken = []
    failing = [f for f in findings if f.status is Status.UNKNOWN]
    of_the_build = [f for f in broken if f.measure not in OF_THE_GATE]
    failing += [f for f in of_the_build if not (disturbed and _of_speed(f, figures))]
    outcome = Outcome.INCONCLUSIVE if broken else Outcome.PASSED
    if failing or ended_early:
        outcome = Outcome.FAILED
    return Verdict(gate.title, build, outcome, findings, figures, ended_early)


def certain_failure(counted: Counted, gate: Gate, promises: Promises, *, disturbed: bool = False) -> str:
    """Return why the build can no longer pass, "" while it can.

    Counters only grow, and the load generator never sends more than was planned: more bad events than
    the whole planned window may have are too many whatever comes. While other work disturbs the machine,
    only what is about integrity is certain.
    """
    for alert in counted.alerts or ():
        if alert.severity == Severity.CRITICAL and (alert.integrity or not disturbed):
            return f"critical alert {alert.name} fired"
    if counted.probe is not None and counted.probe.bad > 0:
        return "an acknowledged ledger write is missing"
    if disturbed:
        return ""
    for what, spent, budget in _budgets(counted, gate, promises):
        if spent > budget:
            return f"the budget of the whole window is spent: {spent:.0f} {what}, allowed {budget:.1f}"
    return ""


def _budgets(counted: Counted, gate: Gate, promises: Promises) -> list[tuple[str, float, float]]:
    """Return what is counted against a budget, how much of it, and the budget of the whole window."""
    planned, latency, within = gate.planned_checkouts, counted.latency, promises.within_seconds
    slow = latency.over(within) if latency and within in latency.counts else 0.0
    writes = planned * WRITES_A_CHECKOUT
    spent = [
        ("bad authorizations", _bad(counted.authorizations), promises.availability, planned),
        ("bad ledger writes", _bad(counted.ledger_writes), promises.ledger_writes, writes),
        (f"authorizations over {within:g} s", slow, promises.latency, planned),
    ]
    return [(what, bad, (1 - float(slo.objective)) * events) for what, bad, slo, events in spent]


def _harmless(finding: Finding) -> Finding:
    """Return the finding of a busy machine on which every promise was kept all the same."""
    if finding.measure is not Measure.MACHINE:
        return finding
    return replace(finding, status=Status.MET, seen=f"{finding.seen}, and every promise was kept")


def _of_speed(finding: Finding, figures: Figures) -> bool:
    """Tell whether other work on the machine may be what broke it."""
    if finding.measure is not Measure.ALERTS:
        return finding.measure in OF_SPEED
    alerts = figures.counted.alerts or ()
    return not any(alert.integrity for alert in alerts if alert.severity == Severity.CRITICAL)


def _bad(tally: Tally | None) -> float:
    return 0.0 if tally is None else tally.bad
