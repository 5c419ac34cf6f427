"""The alerts of guards over counters: a sudden increase, and a ratio on the wrong side of its limit."""

from dataclasses import dataclass

from moneypath.alerting.conventions import annotations, latch, until_proven
from moneypath.alerting.gauge_guards import guard_labels, named
from moneypath.alerting.leaf import Alert, Expr, Leaf, Recording, count, duration_text, expr, fixed, window
from moneypath.alerting.path_slis import selector
from moneypath.path.guards import IncreaseGuard, RatioGuard, Side
from moneypath.path.model import MoneyPath
from moneypath.path.selection import Counted
from moneypath.telemetry.catalogue import Catalogue

_ZERO = fixed(0, "zero")


def increase_alert(path: MoneyPath, guard: IncreaseGuard) -> Alert:
    """Return the alert of a counter that grows too fast; it ends when it no longer does."""
    by = ", ".join(match.label for match in guard.counted.select)
    return Alert(
        name=guard.alert,
        expr=expr(
            _increase(guard.counted, by, window(guard.window_seconds, "increase_window")),
            *(" >= ", count(guard.at_least, "at_least")),
        ),
        labels=guard_labels(guard),
        annotations=annotations(
            path, f"{guard.title}: not kept", f"Too many at once{named(by)}.", guard.runbook, guard.dashboard
        ),
    )


@dataclass(frozen=True, slots=True)
class RatioRecorded:
    """The names of what is recorded of a ratio at one level; they keep the unscaled window."""

    level: str
    id: str
    unit: str
    span: Leaf

    @property
    def events(self) -> str:
        """Return the series of the denominator's events in the window."""
        return f"{self.level}:{self.id}_events:increase{duration_text(self.span.value)}"

    @property
    def ratio(self) -> str:
        """Return the series of the ratio; absent without events."""
        return f"{self.level}:{self.id}:{self.unit}_rate{duration_text(self.span.value)}"


def ratio_recorded(guard: RatioGuard, catalogue: Catalogue, level: str) -> RatioRecorded:
    """Return the names at `level`, which is `path` or what the guard is kept apart by."""
    unit = catalogue[guard.numerator.series].unit.value or "ratio"
    return RatioRecorded(level, guard.id, unit, window(guard.window_seconds, "ratio_window"))


def ratio_recordings(guard: RatioGuard, catalogue: Catalogue) -> tuple[Recording, ...]:
    """Return the recording rules of a ratio: over the whole path, and apart where it is kept apart."""
    rules: list[Recording] = []
    for by in dict.fromkeys((guard.by or "", "")):
        names = ratio_recorded(guard, catalogue, by or "path")
        part = _increase(guard.numerator, by, names.span)
        rules += [
            Recording(names.events, _increase(guard.denominator, by, names.span)),
            Recording(
                names.ratio,
                expr(
                    *("(\n  ", part, f"\n  or {names.events} * ", _ZERO),
                    *(f"\n) / ({names.events} > ", _ZERO, ")"),
                ),
            ),
        ]
    return tuple(rules)


def ratio_alert(path: MoneyPath, guard: RatioGuard, catalogue: Catalogue) -> Alert:
    """Return the alert of a ratio beyond its limit; it ends only on enough events within it."""
    by = guard.by or ""
    names = ratio_recorded(guard, catalogue, by or "path")
    limit, enough = fixed(guard.limit, "limit"), count(guard.min_events, "min_events")
    wrong, right = (">", "<=") if guard.fires is Side.ABOVE else ("<", ">=")
    return Alert(
        name=guard.alert,
        expr=until_proven(
            expr(f"{names.ratio} {wrong} ", limit, f"\n  and on ({by}) {names.events} >= ", enough),
            latch(guard.alert, by, check=guard.id),
            by,
            expr(f"{names.ratio} {right} ", limit, f"\n    and on ({by}) {names.events} >= ", enough),
        ),
        labels=guard_labels(guard),
        annotations=annotations(
            path,
            f"{guard.title}: not kept",
            f"{guard.fires.capitalize()} the limit{named(by)}.",
            guard.runbook,
            guard.dashboard,
        ),
    )


def _increase(counted: Counted, by: str, span: Leaf) -> Expr:
    aggregate = f"sum by ({by})" if by else "sum"
    return expr(f"{aggregate} (increase({counted.series}{selector(counted.select)}[", span, "]))")
