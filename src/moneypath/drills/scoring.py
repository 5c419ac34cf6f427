"""The score of a drill: a pure function of the event log, between 0 and 1, that anyone can compute again.

The first event carries the scenario, so the log is all that is needed. Each part is worth 1 when the
measured time is within its objective, falls linearly to 0 at twice the objective, and is 0 when the event
is missing. An unmet pass criterion caps the score just below passing; a ledger that is not whole makes it
0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from moneypath.drills.business import BusinessRow, rows
from moneypath.drills.harm_criteria import mitigated_after
from moneypath.drills.pass_criteria import ledger_failures, unmet_criteria
from moneypath.drills.runbook_criteria import steps_satisfied
from moneypath.drills.scenario import Scenario
from moneypath.errors import MoneypathError
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import IncidentTimes, Kind, measure
from moneypath.path.source import parse_yaml

RULES: Final = 5
"""The version of the rules. Raise it with every change after which a log may score otherwise, and keep
what it takes to score by the earlier one, or say in `workflows.scoring_again` that it is gone."""
RULES_KEY: Final = "rules"
"""The key under which a log's first event says for which rules it was written; without it, for 2."""
CAP_BELOW_PASS: Final = 0.01


class LogWithoutScenario(MoneypathError):
    """An event log that does not begin with its scenario."""

    code = "log_without_scenario"


@dataclass(frozen=True, slots=True)
class ScorePart:
    """One weighted part of the score; seconds are production time."""

    name: str
    score: float
    weight: float
    measured_seconds: float | None
    objective_seconds: float | None


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The result of one drill: passed or not, the score and its parts, and every reason to fail.

    `waits_for_reports` says that its times begin to count with the provider's next settlement report, which
    the scale does not bring nearer.
    """

    title: str
    passed: bool
    score: float
    parts: tuple[ScorePart, ...]
    failures: tuple[str, ...]
    times: IncidentTimes
    scale: int
    business: tuple[BusinessRow, ...] = ()
    waits_for_reports: bool = False


def score(events: Sequence[Event], *, rules: int = RULES) -> Scorecard:
    """Score a drill from its events; raises LogWithoutScenario when the first event does not carry one.

    Rules 4 are those of today without what a target's file promises and lacks, and without the labels of
    pages, rules 3 are rules 4 without
    the repair that harm has to end by, rules 2 are rules 3 without the comparison of the metrics, which their
    logs do not have.
    """
    scenario, scale = _scenario(events)
    names = tuple(alert.name for alert in scenario.expect.alerts)
    # Harm counts as ended only when it stayed so, which the scenario says how to tell.
    times = replace(measure(events, relevant_alerts=names), mitigate=mitigated_after(scenario, events))
    parts = _parts(scenario, events, times, scale)
    weights = sum(part.weight for part in parts)
    total = sum(part.score * part.weight for part in parts) / weights
    broken_ledger = ledger_failures(scenario, events)
    failures = (*broken_ledger, *unmet_criteria(scenario, events, rules))
    if failures:
        total = min(total, max(0.0, scenario.scoring.pass_at - CAP_BELOW_PASS))
    if broken_ledger:
        total = 0.0
    if not failures and total < scenario.scoring.pass_at:
        failures = (f"score {total:.2f} is below {scenario.scoring.pass_at:.2f}",)
    return Scorecard(
        title=scenario.title,
        passed=not failures,
        score=total,
        parts=parts,
        failures=failures,
        times=times,
        scale=scale,
        business=rows(events),
        waits_for_reports=scenario.waits_for_reports,
    )


def _scenario(events: Sequence[Event]) -> tuple[Scenario, int]:
    if not events or events[0].kind != Kind.DRILL_STARTED or "scenario" not in events[0].payload:
        raise LogWithoutScenario("event log does not begin with a scenario", hint="Score the log of a drill.")
    scenario = _parse(str(events[0].payload["scenario"]))
    scale = int(events[0].payload.get("scale", scenario.clock.scale))
    return (scenario if scale == scenario.clock.scale else scenario.at_scale(scale)), scale


@lru_cache(maxsize=8)
def _parse(text: str) -> Scenario:
    """Return a scenario, which is frozen, so that a log that is scored often is read once."""
    return parse_yaml(text, Scenario, file="the log's scenario")


def _parts(
    scenario: Scenario, events: Sequence[Event], times: IncidentTimes, scale: int
) -> tuple[ScorePart, ...]:
    expect = scenario.expect
    measured: dict[str, tuple[float | None, float]] = {
        "detect": (times.detect, min(alert.within for alert in expect.alerts)),
        "page": (times.fault_to_page, min(page.within for page in expect.pages)),
        "acknowledge": (times.acknowledge, min(page.ack for page in expect.pages)),
        "mitigate": (times.mitigate, expect.harm.within),
        "restore": (times.restore, expect.restored_within),
    }
    parts: list[ScorePart] = []
    for name, weight in scenario.scoring.weights.items():
        if name in measured:
            seconds, objective = measured[name]
            undilated = None if seconds is None else seconds * scale
            parts.append(ScorePart(name, _within(undilated, objective), weight, undilated, objective))
        elif name == "runbook":
            parts.append(ScorePart(name, steps_satisfied(events), weight, None, None))
        else:
            parts.append(ScorePart(name, _quiet(scenario, events), weight, None, None))
    return tuple(parts)


def _within(seconds: float | None, objective: float) -> float:
    if seconds is None:
        return 0.0
    if seconds <= objective:
        return 1.0
    return max(0.0, 2.0 - seconds / objective) if objective > 0 else 0.0


def _quiet(scenario: Scenario, events: Sequence[Event]) -> float:
    """Return 1 up to the alert budget, falling to 0 at twice the budget."""
    fired = len(
        {
            (e.payload.get("alert"), str(e.payload.get("labels")))
            for e in events
            if e.kind == Kind.ALERT_FIRING
        }
    )
    return max(0.0, min(1.0, 2.0 - fired / scenario.expect.alert_budget))
