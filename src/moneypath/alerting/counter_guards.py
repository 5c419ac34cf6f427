"""The alerts of guards on counters: a sudden increase, and a ratio on the wrong side of its limit."""

from dataclasses import dataclass

from moneypath.alerting.conventions import (
    alert_rule,
    fires_until_recovered,
    instance_text,
    while_firing,
)
from moneypath.alerting.gauge_guards import guard_source
from moneypath.alerting.matchers import selector
from moneypath.alerting.rules import (
    AlertRule,
    Expr,
    RecordingRule,
    RuleLiteral,
    count,
    duration_text,
    expr,
    fixed,
    window,
)
from moneypath.path.guards import IncreaseGuard, RatioGuard, Side
from moneypath.path.model import MoneyPath
from moneypath.path.selection import SeriesSelector
from moneypath.telemetry.catalogue import Catalogue

_ZERO = fixed(0, "zero")


def increase_alert(path: MoneyPath, guard: IncreaseGuard) -> AlertRule:
    """Return the alert of a counter that grows too fast."""
    by = ", ".join(match.label for match in guard.counter.select)
    return alert_rule(
        path,
        guard_source(guard),
        name=guard.alert,
        expr=expr(
            _increase(guard.counter, by, window(guard.window_seconds, "increase_window")),
            " >= ",
            count(guard.at_least, "at_least"),
        ),
        summary=f"{guard.title}: not kept",
        detail=f"Too many at once{instance_text(by)}.",
    )


@dataclass(frozen=True, slots=True)
class RatioRecorded:
    """The names of the series recorded of a ratio at one level; they keep the window of production."""

    level: str
    id: str
    unit: str
    span: RuleLiteral

    @property
    def events(self) -> str:
        """Return the series of the denominator's events in the window."""
        return f"{self.level}:{self.id}_events:increase{duration_text(self.span.value)}"

    @property
    def ratio(self) -> str:
        """Return the series of the ratio; absent without events."""
        return f"{self.level}:{self.id}:{self.unit}_rate{duration_text(self.span.value)}"


def ratio_recorded(guard: RatioGuard, catalogue: Catalogue, level: str) -> RatioRecorded:
    """Return the names at `level`: `path`, or the label that the guard is kept apart by."""
    unit = catalogue[guard.numerator.series].unit.value or "ratio"
    return RatioRecorded(level, guard.id, unit, window(guard.window_seconds, "ratio_window"))


def ratio_recordings(guard: RatioGuard, catalogue: Catalogue) -> tuple[RecordingRule, ...]:
    """Return the recording rules of a ratio, over the whole path and for each member."""
    rules: list[RecordingRule] = []
    for by in dict.fromkeys((guard.by or "", "")):
        names = ratio_recorded(guard, catalogue, by or "path")
        part = _increase(guard.numerator, by, names.span)
        rules += [
            RecordingRule(names.events, _increase(guard.denominator, by, names.span)),
            RecordingRule(
                names.ratio,
                expr(
                    "(\n  ", part, f"\n  or {names.events} * ", _ZERO, f"\n) / ({names.events} > ", _ZERO, ")"
                ),
            ),
        ]
    return tuple(rules)


def ratio_alert(path: MoneyPath, guard: RatioGuard, catalogue: Catalogue) -> AlertRule:
    """Return the alert of a ratio beyond its limit; it ends only on enough events within the limit."""
    by = guard.by or ""
    names = ratio_recorded(guard, catalogue, by or "path")
    limit, enough = fixed(guard.limit, "limit"), count(guard.min_events, "min_events")
    wrong, right = (">", "<=") if guard.fires is Side.ABOVE else ("<", ">=")
    return alert_rule(
        path,
        guard_source(guard),
        name=guard.alert,
        expr=fires_until_recovered(
            expr(f"{names.ratio} {wrong} ", limit, f"\n  and on ({by}) {names.events} >= ", enough),
            while_firing(guard.alert, by, check=guard.id),
            by,
            expr(f"{names.ratio} {right} ", limit, f"\n    and on ({by}) {names.events} >= ", enough),
        ),
        summary=f"{guard.title}: not kept",
        detail=f"{guard.fires.capitalize()} the limit{instance_text(by)}.",
    )


def _increase(counter: SeriesSelector, by: str, span: RuleLiteral) -> Expr:
    aggregate = f"sum by ({by})" if by else "sum"
    return expr(f"{aggregate} (increase({counter.series}{selector(counter.select)}[", span, "]))")
