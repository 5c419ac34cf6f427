"""Set the colours of panels: they change exactly where a rule pages, or at the objective."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from moneypath.alerting import rule_groups
from moneypath.alerting.rules import AlertRule, LiteralKind, RuleGroup, RuleLiteral, SubjectKind
from moneypath.dashboards.model import Colour, ThresholdStep
from moneypath.path.guards import AgeGuard, AnyGuard, IncreaseGuard, RatioGuard
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import EventsSlo, LatencySlo, Slo

# Above nothing at all: counts and amounts that have to be 0 turn with the smallest unit.
_ANYTHING = 1e-9
_COMPARED = re.compile(r"[<>]=?\s*$")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The numbers and objectives that a board draws, from the declaration and its rules."""

    path: MoneyPath
    groups: tuple[RuleGroup, ...]

    @classmethod
    def of(cls, path: MoneyPath) -> "Thresholds":
        """Build the rules of `path` and collect the numbers; raises what building raises."""
        return cls(path, rule_groups.build(path))

    def fires_at(self, series: str, kind: LiteralKind) -> float | None:
        """Return the literal of `kind` that the alert of a guard on `series` compares with, or None."""
        guards = {guard.id for guard in self.path.guards if _watched(guard) == series}
        for rule in self._alerts():
            if rule.source.kind is SubjectKind.CHECK and rule.source.subject in guards:
                for literal in _compared(rule):
                    if literal.kind is kind:
                        return float(literal.value)
        return None

    def alerts_on(self, *names: str) -> tuple[str, ...]:
        """Return the alerts of checks and guards on any of these series, in their order."""
        found: list[str] = []
        for name in names:
            found += [check.alerts.violated for check in self.path.checks if name in check.series]
            found += [guard.alert for guard in self.path.guards if _watched(guard) == name]
        return tuple(dict.fromkeys(found))

    def latency_slos(self) -> tuple[LatencySlo, ...]:
        """Return the declared latency objectives."""
        return tuple(slo for slo in self.path.slos if isinstance(slo, LatencySlo))

    def events_slos(self) -> tuple[EventsSlo, ...]:
        """Return the declared objectives on the events of a counter."""
        return tuple(slo for slo in self.path.slos if isinstance(slo, EventsSlo))

    def age_guards(self, series: str) -> tuple[AgeGuard, ...]:
        """Return the guards on the age of `series`."""
        guards = (guard for guard in self.path.guards if isinstance(guard, AgeGuard))
        return tuple(guard for guard in guards if guard.series == series)

    def ratio_guards(self, numerator: str) -> tuple[RatioGuard, ...]:
        """Return the guards on the ratio of the series `numerator` to another."""
        guards = (guard for guard in self.path.guards if isinstance(guard, RatioGuard))
        return tuple(guard for guard in guards if guard.numerator.series == numerator)

    def slo_alerts(self, slo: Slo) -> tuple[str, ...]:
        """Return the names of the alerts of an objective."""
        names = (
            rule.name
            for rule in self._alerts()
            if rule.source.kind is SubjectKind.SLO and rule.source.subject == slo.id
        )
        return tuple(dict.fromkeys(names))

    def stale_after(self) -> dict[str, float]:
        """Return for each check how many seconds may pass since its last success."""
        return {check.id: float(check.stale_after_seconds) for check in self.path.checks}

    def runbooks(self) -> dict[str, str]:
        """Return the address of the runbook of each alert that has one; a place in the project is none."""
        links = ((rule.name, rule.annotations.get("runbook_url", "")) for rule in self._alerts())
        return {name: link for name, link in links if link.startswith(("http://", "https://"))}

    def _alerts(self) -> Iterator[AlertRule]:
        return rule_groups.alerts(self.groups)


def _watched(guard: AnyGuard) -> str:
    """Return the series that a guard looks at; of a ratio it is the numerator."""
    if isinstance(guard, IncreaseGuard):
        return guard.counter.series
    return guard.numerator.series if isinstance(guard, RatioGuard) else guard.series


def _compared(rule: AlertRule) -> Iterator[RuleLiteral]:
    for before, part in itertools.pairwise(rule.expr.parts):
        if isinstance(part, RuleLiteral) and isinstance(before, str) and _COMPARED.search(before):
            yield part


def zero() -> tuple[ThresholdStep, ...]:
    """Return the steps of a value that must be 0."""
    return ThresholdStep(None, Colour.GOOD), ThresholdStep(_ANYTHING, Colour.BAD)


def at_most(limit: float | None) -> tuple[ThresholdStep, ...]:
    """Return the steps of a value that is bad from `limit` on; neutral without a limit."""
    if limit is None:
        return (ThresholdStep(None, Colour.PLAIN),)
    return ThresholdStep(None, Colour.GOOD), ThresholdStep(limit, Colour.BAD)


def at_least(limit: float | None) -> tuple[ThresholdStep, ...]:
    """Return the steps of a value that is bad below `limit`; neutral without a limit."""
    if limit is None:
        return (ThresholdStep(None, Colour.PLAIN),)
    return ThresholdStep(None, Colour.BAD), ThresholdStep(limit, Colour.GOOD)
