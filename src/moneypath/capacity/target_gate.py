"""The gate of a deployed service: its plan, and the verdict on one window of its own objectives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from moneypath.alerting.conventions import Severity
from moneypath.capacity.figures import FiredAlert, Tally
from moneypath.capacity.observation import CriterionResult, CriterionStatus
from moneypath.capacity.verdict import EXIT_CODES, KEEPS_BACK, GateOutcome
from moneypath.path import yaml_document
from moneypath.path.durations import Duration
from moneypath.path.model import MoneyPath
from moneypath.path.parts import Declared, Ratio, Slug, Title
from moneypath.path.problems import DeclarationInvalid, DeclarationIssue, key_text, suggest
from moneypath.path.source import Problem, parse_yaml, read_text

RATE: Final = "rate"
EVIDENCE: Final = "evidence"
ALERTS: Final = "alerts"
MONEY: Final = "money"
GATES_OWN: Final = frozenset({RATE, EVIDENCE})
"""What is of the gate itself: when it is broken, nothing is known of the service."""
MAX_SHOWN: Final = 5


class TargetGateLoad(Declared):
    """How often the load of the target's file asks in a second, and by how many users."""

    per_second: Annotated[int, Field(ge=1, le=200, description="a whole number from 1 to 200")]
    users: Annotated[int, Field(ge=1, le=200, description="a whole number from 1 to 200")]
    seed: Annotated[int, Field(ge=0, le=2**31, description="a whole number from 0")] = 1
    # The share of what is asked for below which the gate proves nothing.
    least_rate_ratio: Ratio = Decimal("0.8")


class TargetGate(Declared):
    """What a deployed service has to keep while its own load drives it.

    `objectives` are ids of moneypath.yaml; without any, all of them. Each has to have `least_events` in the
    window. `warnings_fail` lets every alert fail the gate and not only critical ones. `ledger_truth: unknown`
    says beforehand that nobody audits the money.
    """

    title: Title
    load: TargetGateLoad
    warm_up: Duration = Field(ge=1, le=600, description="a duration from 1s to 10m")
    duration: Duration = Field(ge=5, le=3600, description="a duration from 5s to 1h")
    drain: Duration = Field(default=45.0, ge=1, le=600, description="a duration from 1s to 10m")
    objectives: Annotated[tuple[Slug, ...], Field(max_length=100)] = ()
    least_events: Annotated[int, Field(ge=1, le=10**9, description="a whole number from 1")] = 100
    warnings_fail: bool = False
    ledger_truth: Literal["whole", "unknown"] = "whole"


@dataclass(frozen=True, slots=True)
class ObjectiveTally:
    """How many events an objective had in the window; None is not known. `objective` is its least share."""

    id: str
    objective: Decimal
    tally: Tally | None


@dataclass(frozen=True, slots=True)
class TargetFigures:
    """What one window showed; None is not known.

    `asked` counts what the service answered in `seconds`. `money` is whether the witnesses agree, with
    `reasons`; without witnesses it is None and `unaudited`.
    """

    seconds: float
    asked: float | None
    objectives: tuple[ObjectiveTally, ...]
    alerts: tuple[FiredAlert, ...] | None
    money: bool | None
    reasons: tuple[str, ...] = ()
    unaudited: bool = False


@dataclass(frozen=True, slots=True)
class TargetVerdict:
    """The verdict on a deployed service, which `build` names."""

    title: str
    build: str
    outcome: GateOutcome
    results: tuple[CriterionResult, ...]
    figures: TargetFigures
    ended_early: str = ""

    @property
    def exit_code(self) -> int:
        """Return 0 for passed, 1 for failed, 3 for inconclusive."""
        return EXIT_CODES[self.outcome]

    @property
    def summary(self) -> str:
        """Return the verdict in one line."""
        words = [f"{one.measure} {one.seen}" for one in self.results if one.status in KEEPS_BACK]
        words = words or [f"{one.measure} {one.seen}" for one in self.results if one.measure in GATES_OWN]
        return f"{self.outcome}: {self.build}: {'; '.join(words)}"


def load_target_gate(file: Path, path: MoneyPath) -> TargetGate:
    """Return the plan in `file`; raises DeclarationInvalid, also for an objective that is not declared."""
    text = read_text(file)
    gate = parse_yaml(text, TargetGate, file=file)
    known = [slo.id for slo in path.slos]
    lines = yaml_document.parse(text, 1)
    problems = [
        DeclarationIssue(
            ("objectives", index),
            f'moneypath.yaml has no such objective: "{name}"{suggest(name, known)}',
            ", ".join(known) or "none",
        )
        for index, name in enumerate(gate.objectives)
        if name not in known
    ]
    if not known:
        problems.append(DeclarationIssue(("objectives",), "moneypath.yaml declares no objective", "one"))
    if problems:
        raise DeclarationInvalid(
            file, [Problem(lines.line(m.location), key_text(m.location), m.what, m.allowed) for m in problems]
        )
    return gate


def decide_on_target(figures: TargetFigures, gate: TargetGate, *, target: str) -> TargetVerdict:
    """Decide the verdict: what is broken fails, what is not known fails, a load that was too small proves
    nothing.
    """
    results = (
        _rate(figures, gate),
        _evidence(figures, gate),
        *(_objective(one) for one in figures.objectives),
        _alerts(figures, gate),
        _money(figures, gate),
    )
    of_the_service = [one for one in results if one.measure not in GATES_OWN]
    if any(one.status in (CriterionStatus.BROKEN, CriterionStatus.UNKNOWN) for one in of_the_service):
        outcome = GateOutcome.FAILED
    elif any(one.status in KEEPS_BACK for one in results):
        outcome = GateOutcome.INCONCLUSIVE
    else:
        outcome = GateOutcome.PASSED
    return TargetVerdict(gate.title, target, outcome, results, figures)


def target_document(verdict: TargetVerdict, *, phases: Mapping[str, float]) -> dict[str, object]:
    """Return the verdict as JSON values; `phases` says how many seconds each phase took."""
    figures = verdict.figures
    return {
        "title": verdict.title,
        "target": verdict.build,
        "outcome": verdict.outcome.value,
        "exit_code": verdict.exit_code,
        "summary": verdict.summary,
        "measures": [
            {
                "measure": str(one.measure),
                "status": one.status.value,
                "seen": one.seen,
                "allowed": one.allowed,
                "details": list(one.details),
            }
            for one in verdict.results
        ],
        "figures": {
            "seconds": round(figures.seconds, 3),
            "asked": figures.asked,
            "objectives": {
                one.id: None if one.tally is None else {"valid": one.tally.valid, "bad": one.tally.bad}
                for one in figures.objectives
            },
            "whole": figures.money,
        },
        "phases_seconds": {name: round(seconds, 1) for name, seconds in phases.items()},
    }


def _rate(figures: TargetFigures, gate: TargetGate) -> CriterionResult:
    share, asked = float(gate.load.least_rate_ratio), gate.load.per_second
    allowed = f"at least {share:.0%} of {asked}/s"
    if figures.asked is None or figures.seconds <= 0:
        return CriterionResult(RATE, CriterionStatus.UNMEASURED, "no objective counts every request", allowed)
    reached = figures.asked / figures.seconds
    status = CriterionStatus.MET if reached >= share * asked else CriterionStatus.INCONCLUSIVE
    return CriterionResult(RATE, status, f"{reached:.1f}/s = {reached / asked:.1%}", allowed)


def _evidence(figures: TargetFigures, gate: TargetGate) -> CriterionResult:
    few = [
        f"{one.id}: {one.tally.valid:.0f}"
        for one in figures.objectives
        if one.tally is not None and one.tally.valid < gate.least_events
    ]
    counted = [one.tally.valid for one in figures.objectives if one.tally is not None]
    status = CriterionStatus.INCONCLUSIVE if few or not counted else CriterionStatus.MET
    least = f"{min(counted):.0f} events of the rarest objective" if counted else "nothing was counted"
    allowed = f"at least {gate.least_events} events of each objective"
    return CriterionResult(EVIDENCE, status, least, allowed, tuple(few[:MAX_SHOWN]))


def _objective(one: ObjectiveTally) -> CriterionResult:
    allowed = f"at least {100 * one.objective:f} %"
    if one.tally is None:
        return CriterionResult(one.id, CriterionStatus.UNKNOWN, "could not be read", allowed)
    if one.tally.valid <= 0:
        return CriterionResult(one.id, CriterionStatus.INCONCLUSIVE, "no event was counted", allowed)
    valid, bad = one.tally.valid, one.tally.bad
    holds = bad <= float(1 - one.objective) * valid * (1 + 1e-12)
    seen = f"{100 * (1 - bad / valid):.4g} % of {valid:.0f} were good"
    return CriterionResult(one.id, CriterionStatus.MET if holds else CriterionStatus.BROKEN, seen, allowed)


def _alerts(figures: TargetFigures, gate: TargetGate) -> CriterionResult:
    kinds = "alert" if gate.warnings_fail else "critical alert"
    allowed = f"no {kinds}, and the watchdog's beat throughout"
    if figures.alerts is None:
        what = "the watchdog's beat could not be read"
        return CriterionResult(ALERTS, CriterionStatus.UNKNOWN, what, allowed)
    failing = _failing(figures.alerts, gate)
    names = sorted({alert.name for alert in failing})
    seen = f"fired: {', '.join(names) or 'none'}; {len(figures.alerts) - len(failing)} others"
    details = tuple(
        f"{alert.name} ({', '.join(filter(None, (alert.severity, alert.about)))}) "
        f"after {alert.after_seconds:.0f} s"
        for alert in figures.alerts[:MAX_SHOWN]
    )
    status = CriterionStatus.BROKEN if failing else CriterionStatus.MET
    return CriterionResult(ALERTS, status, seen, allowed, details)


def _failing(alerts: Sequence[FiredAlert], gate: TargetGate) -> list[FiredAlert]:
    return [alert for alert in alerts if gate.warnings_fail or alert.severity == Severity.CRITICAL]


def _money(figures: TargetFigures, gate: TargetGate) -> CriterionResult:
    allowed = "the witnesses agree"
    if figures.unaudited:
        optional = gate.ledger_truth == "unknown"
        status = CriterionStatus.UNMEASURED if optional else CriterionStatus.UNKNOWN
        return CriterionResult(MONEY, status, "the target has no witnesses", allowed)
    if figures.money is None:
        return CriterionResult(MONEY, CriterionStatus.UNKNOWN, "the witnesses could not be read", allowed)
    if figures.money:
        return CriterionResult(MONEY, CriterionStatus.MET, "whole", allowed, figures.reasons[:MAX_SHOWN])
    seen = f"not whole: {len(figures.reasons)} reasons"
    return CriterionResult(MONEY, CriterionStatus.BROKEN, seen, allowed, figures.reasons[:MAX_SHOWN])
