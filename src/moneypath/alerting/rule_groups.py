"""Build all rule groups of a money path."""

from collections.abc import Iterator

from moneypath.alerting import check_alerts, sli, slo_alerts
from moneypath.alerting.counter_guards import increase_alert, ratio_alert, ratio_recordings
from moneypath.alerting.gauge_guards import age_recording, gauge_alert
from moneypath.alerting.rules import AlertRule, Rule, RuleGroup
from moneypath.path.guards import AgeGuard, AnyGuard, IncreaseGuard, RatioGuard
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import Slo
from moneypath.telemetry.catalogue import Catalogue


def build(path: MoneyPath) -> tuple[RuleGroup, ...]:
    """Return every group of rules; raise AlertImpossible for what could never fire."""
    catalogue = path.known_metrics()
    slos = [RuleGroup(f"moneypath-slo-{slo.id}", _slo_rules(path, slo)) for slo in path.slos]
    checks = [
        RuleGroup(
            f"moneypath-check-{check.id.replace('_', '-')}",
            (check_alerts.violated(path, check, catalogue), check_alerts.stale(path, check)),
        )
        for check in path.checks
    ]
    watches = [
        RuleGroup(f"moneypath-guard-{guard.id.replace('_', '-')}", _guard_rules(path, guard, catalogue))
        for guard in path.guards
    ]
    targets = [check_alerts.target_down(path, target) for target in path.targets]
    # What is expected comes first: the other groups read it.
    return (
        RuleGroup(
            "moneypath-expected",
            (*check_alerts.expected(path, catalogue), *targets, check_alerts.watchdog(path)),
        ),
        *slos,
        *checks,
        *watches,
    )


def alerts(groups: tuple[RuleGroup, ...]) -> Iterator[AlertRule]:
    """Yield the alert rules of `groups`."""
    return (rule for group in groups for rule in group.rules if isinstance(rule, AlertRule))


def _slo_rules(path: MoneyPath, slo: Slo) -> tuple[Rule, ...]:
    return (*sli.recordings(slo), *slo_alerts.recordings(slo), *slo_alerts.alerts(path, slo))


def _guard_rules(path: MoneyPath, guard: AnyGuard, catalogue: Catalogue) -> tuple[Rule, ...]:
    if isinstance(guard, IncreaseGuard):
        return (increase_alert(path, guard),)
    if isinstance(guard, RatioGuard):
        return (*ratio_recordings(guard, catalogue), ratio_alert(path, guard, catalogue))
    ages = (age_recording(guard, catalogue),) if isinstance(guard, AgeGuard) else ()
    return (*ages, gauge_alert(path, guard, catalogue))
