"""All rules of a money path as one tree."""

from collections.abc import Iterator

from moneypath.alerting import guards, sli, slo_alerts
from moneypath.alerting.counter_guards import increase_alert, ratio_alert, ratio_recordings
from moneypath.alerting.gauge_guards import age_recording, gauge_alert
from moneypath.alerting.leaf import Alert, Group, Rule
from moneypath.alerting.path_alerts import path_alerts
from moneypath.alerting.path_slis import path_recordings
from moneypath.path.guards import AgeGuard, AnyGuard, IncreaseGuard, RatioGuard
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, Slo
from moneypath.telemetry.catalogue import Catalogue


def build(path: MoneyPath) -> tuple[Group, ...]:
    """Return every group of rules; raise AlertImpossible for what could never fire."""
    catalogue = path.catalogue()
    slos = [Group(f"moneypath-slo-{slo.id}", _slo_rules(path, slo)) for slo in path.slos]
    checks = [
        Group(
            f"moneypath-check-{check.id.replace('_', '-')}",
            (guards.violated(path, check, catalogue), guards.stale(path, check)),
        )
        for check in path.checks
    ]
    watches = [
        Group(f"moneypath-guard-{guard.id.replace('_', '-')}", _guard_rules(path, guard, catalogue))
        for guard in path.guards
    ]
    targets = [guards.target_down(path, target) for target in path.targets]
    # What is expected comes first: the other groups read it.
    return (
        Group("moneypath-expected", (*guards.expected(path, catalogue), *targets, guards.watchdog(path))),
        *slos,
        *checks,
        *watches,
    )


def alerts(groups: tuple[Group, ...]) -> Iterator[Alert]:
    """Yield the alert rules of `groups`."""
    return (rule for group in groups for rule in group.rules if isinstance(rule, Alert))


def _slo_rules(path: MoneyPath, slo: Slo) -> tuple[Rule, ...]:
    if isinstance(slo, AvailabilitySlo):
        return (*sli.recordings(slo), *slo_alerts.alerts(path, slo))
    return (*path_recordings(slo), *path_alerts(path, slo))


def _guard_rules(path: MoneyPath, guard: AnyGuard, catalogue: Catalogue) -> tuple[Rule, ...]:
    if isinstance(guard, IncreaseGuard):
        return (increase_alert(path, guard),)
    if isinstance(guard, RatioGuard):
        return (*ratio_recordings(guard, catalogue), ratio_alert(path, guard, catalogue))
    ages = (age_recording(guard, catalogue),) if isinstance(guard, AgeGuard) else ()
    return (*ages, gauge_alert(path, guard, catalogue))
