"""Decide the verdict from all results, and whether it is certain before the window ends."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from moneypath.alerting.conventions import Severity
from moneypath.capacity.client import ClientFigures, over
from moneypath.capacity.criteria import evaluate_criteria
from moneypath.capacity.figures import Figures, Tally, WindowCounts
from moneypath.capacity.gate_file import GATE_PRECONDITIONS, DeclaredObjectives, Gate, Measure
from moneypath.capacity.observation import CriterionResult, CriterionStatus

# Each checkout writes the ledger twice at the most: its capture, and its refund.
WRITES_A_CHECKOUT: Final = 2


class GateOutcome(StrEnum):
    """The outcome for a pipeline.

    Inconclusive does not pass: the load, the machine or the baseline was not as it has to be.
    """

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


EXIT_CODES: Final = {GateOutcome.PASSED: 0, GateOutcome.FAILED: 1, GateOutcome.INCONCLUSIVE: 3}
# What only a window that was not cut short can show. The cost is counted from a scrape up to a second before
# the window, which a few seconds of captures do not outweigh.
NEEDS_FULL_WINDOW: Final = frozenset(
    {
        Measure.RATE,
        Measure.EVIDENCE,
        Measure.MEMORY,
        Measure.CONNECTIONS,
        Measure.PROCESSOR_TIME,
        Measure.BYTES_WRITTEN,
        Measure.COST_PER_TRANSACTION,
    }
)
# What a machine that is busy with other work spoils; money that is lost or doubled is not among it.
LOAD_SENSITIVE: Final = frozenset(
    {
        Measure.AVAILABILITY,
        Measure.AUTHORIZATION_LATENCY,
        Measure.CLIENT_LATENCY,
        Measure.ANSWERS,
        Measure.LEDGER_WRITE_SUCCESS,
        Measure.PROCESSOR_TIME,
        Measure.DRAIN,
        Measure.RECONCILIATION_LAG,
    }
)


KEEPS_BACK: Final = (CriterionStatus.BROKEN, CriterionStatus.UNKNOWN, CriterionStatus.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class ReleaseVerdict:
    """The gate's verdict; `ended_early` says why the window was cut short, "" when it was not."""

    title: str
    build: str
    outcome: GateOutcome
    results: tuple[CriterionResult, ...]
    figures: Figures
    ended_early: str

    @property
    def exit_code(self) -> int:
        """Return 0 for passed, 1 for failed, 3 for inconclusive; 2 is for bad input, before any verdict."""
        return EXIT_CODES[self.outcome]

    @property
    def broken(self) -> tuple[CriterionResult, ...]:
        """Return the results that keep the build from passing."""
        return tuple(f for f in self.results if f.status in KEEPS_BACK)

    @property
    def summary(self) -> str:
        """Return the verdict in one line."""
        words = [
            f"{f.measure} {'unknown' if f.status is CriterionStatus.UNKNOWN else f.seen}" for f in self.broken
        ]
        reasons = "; ".join(words) or ", ".join(
            f"{f.measure} {f.seen}" for f in self.results if f.measure in GATE_PRECONDITIONS
        )
        return f"{self.outcome}: {self.build}: {reasons}"


def decide(
    figures: Figures, gate: Gate, objectives: DeclaredObjectives, *, build: str, ended_early: str = ""
) -> ReleaseVerdict:
    """Decide the verdict on a finished run.

    A broken objective fails at any load, so it outranks a rate that was not reached. On a machine that was
    busy with other work, a broken objective of speed is inconclusive instead. A run that ended early, because
    its verdict was certain, does not have to reach rate and evidence.
    """
    results = evaluate_criteria(figures, gate, objectives)
    disturbed = any(f.measure is Measure.MACHINE and f.status is CriterionStatus.BROKEN for f in results)
    if ended_early:
        results = tuple(f for f in results if f.measure not in NEEDS_FULL_WINDOW)
    broken = [f for f in results if f.status is CriterionStatus.BROKEN]
    if disturbed and {f.measure for f in broken} == {Measure.MACHINE}:
        results = tuple(_harmless(f) for f in results)
        broken = []
    failing = [f for f in results if f.status is CriterionStatus.UNKNOWN]
    of_the_build = [f for f in broken if f.measure not in GATE_PRECONDITIONS]
    failing += [f for f in of_the_build if not (disturbed and _is_load_sensitive(f, figures))]
    doubtful = broken or any(f.status is CriterionStatus.INCONCLUSIVE for f in results)
    outcome = GateOutcome.INCONCLUSIVE if doubtful else GateOutcome.PASSED
    if failing or ended_early:
        outcome = GateOutcome.FAILED
    return ReleaseVerdict(gate.title, build, outcome, results, figures, ended_early)


def certain_failure(
    counted: WindowCounts,
    gate: Gate,
    objectives: DeclaredObjectives,
    *,
    client: ClientFigures | None = None,
    disturbed: bool = False,
) -> str:
    """Return why the build can no longer pass, "" while it can.

    Counters only grow, and the load never exceeds the plan: more bad events than the whole window may have
    are certain to fail. While other work disturbs the machine, only integrity is certain.
    """
    for alert in counted.alerts or ():
        if alert.severity == Severity.CRITICAL and (alert.integrity or not disturbed):
            return f"critical alert {alert.name} fired"
    if counted.probe is not None and counted.probe.bad > 0:
        return "an acknowledged ledger write is missing"
    refused = 0 if client is None else client.refused
    allowed = float(gate.limits.refused_at_most_ratio) * gate.planned_requests
    budgets: list[tuple[str, float, float]] = [("refused requests", refused, allowed)]
    if not disturbed:
        budgets += _budgets(counted, gate, objectives)
        budgets += [] if client is None else [_unanswered(client, gate)]
    for what, spent, budget in budgets:
        if spent > budget:
            return f"the budget of the whole window is spent: {spent:.0f} {what}, allowed {budget:.1f}"
    return ""


def _budgets(
    counted: WindowCounts, gate: Gate, objectives: DeclaredObjectives
) -> list[tuple[str, float, float]]:
    """Return what is counted, how much of it there is, and the budget of the whole window."""
    planned, latency, within = gate.planned_checkouts, counted.latency, objectives.within_seconds
    slow = latency.over(within) if latency and within in latency.counts else 0.0
    writes = planned * WRITES_A_CHECKOUT
    spent = [
        ("bad authorizations", _bad(counted.authorizations), objectives.availability, planned),
        ("bad ledger writes", _bad(counted.ledger_writes), objectives.ledger_writes, writes),
        (f"authorizations over {within:g} s", slow, objectives.latency, planned),
    ]
    return [(what, bad, (1 - float(slo.objective)) * events) for what, bad, slo, events in spent]


def _unanswered(client: ClientFigures, gate: Gate) -> tuple[str, float, float]:
    spent = over(client.from_sent, gate.limits.hung_after) + client.failed
    return (
        "requests without a good answer",
        spent,
        float(gate.limits.unanswered_at_most_ratio) * gate.planned_requests,
    )


def _harmless(result: CriterionResult) -> CriterionResult:
    """Return the result of a busy machine on which every objective was met all the same."""
    if result.measure is not Measure.MACHINE:
        return result
    return replace(result, status=CriterionStatus.MET, seen=f"{result.seen}, and every objective was kept")


def _is_load_sensitive(result: CriterionResult, figures: Figures) -> bool:
    """Tell whether other work on the machine may be the cause."""
    if result.measure is not Measure.ALERTS:
        return result.measure in LOAD_SENSITIVE
    alerts = figures.counted.alerts or ()
    return not any(alert.integrity for alert in alerts if alert.severity == Severity.CRITICAL)


def _bad(tally: Tally | None) -> float:
    return 0.0 if tally is None else tally.bad
