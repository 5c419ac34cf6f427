"""Where a panel's colour turns: exactly where the rule fires that pages, or where the objective lies."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from moneypath.alerting import tree
from moneypath.alerting.leaf import Alert, Group, Leaf, Mark
from moneypath.dashboards.model import Colour, Step
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import LatencySlo

# Above nothing at all: counts and amounts that have to be 0 turn with the smallest unit.
_ANYTHING = 1e-9
_COMPARED = re.compile(r"[<>]=?\s*$")


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers of the declaration that a board draws, read from the rules generated from it."""

    path: MoneyPath
    groups: tuple[Group, ...]

    @classmethod
    def of(cls, path: MoneyPath) -> "Limits":
        """Collect them; raises what building the rules raises."""
        return cls(path, tree.build(path))

    def fires_at(self, alert: str, mark: Mark) -> float | None:
        """Return the number that `alert` compares with, of the kind `mark`; None when there is no such."""
        for rule in self._alerts(alert):
            for leaf in _compared(rule):
                if leaf.mark is mark:
                    return float(leaf.value)
        return None

    def objective(self, slo: str) -> float | None:
        """Return the objective of an SLO as a share; None when it is not declared."""
        return next((float(each.objective) for each in self.path.slos if each.id == slo), None)

    def fast_enough_seconds(self) -> float | None:
        """Return the latency up to which an authorization counts as fast; None when no objective says."""
        promised = (slo for slo in self.path.slos if isinstance(slo, LatencySlo))
        return next((float(slo.threshold_seconds) for slo in promised), None)

    def stale_after(self) -> dict[str, float]:
        """Return for each check how many seconds may pass since its last success."""
        return {check.id: float(check.stale_after_seconds) for check in self.path.checks}

    def runbooks(self) -> dict[str, str]:
        """Return the address of the runbook of each alert."""
        return {
            rule.name: rule.annotations["runbook_url"]
            for group in self.groups
            for rule in group.rules
            if isinstance(rule, Alert)
        }

    def _alerts(self, name: str) -> Iterator[Alert]:
        for group in self.groups:
            yield from (rule for rule in group.rules if isinstance(rule, Alert) and rule.name == name)


def _compared(rule: Alert) -> Iterator[Leaf]:
    for before, part in itertools.pairwise(rule.expr.parts):
        if isinstance(part, Leaf) and isinstance(before, str) and _COMPARED.search(before):
            yield part


def zero() -> tuple[Step, ...]:
    """Return the steps of what has to be 0."""
    return Step(None, Colour.GOOD), Step(_ANYTHING, Colour.BAD)


def at_most(limit: float | None) -> tuple[Step, ...]:
    """Return the steps of what is bad from `limit` on; without a limit nothing is judged."""
    if limit is None:
        return (Step(None, Colour.PLAIN),)
    return Step(None, Colour.GOOD), Step(limit, Colour.BAD)


def at_least(limit: float | None) -> tuple[Step, ...]:
    """Return the steps of what is bad below `limit`; without a limit nothing is judged."""
    if limit is None:
        return (Step(None, Colour.PLAIN),)
    return Step(None, Colour.BAD), Step(limit, Colour.GOOD)
