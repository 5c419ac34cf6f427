"""All generated promtool test files: one for each rule that raises an alert."""

from moneypath.alerting import tree
from moneypath.alerting.burn import TIERS, Tier
from moneypath.alerting.conventions import TARGET_DOWN
from moneypath.alerting.leaf import Alert
from moneypath.alerting.promtests import counter_cases, gauge_cases, guard_cases, path_cases, slo_cases
from moneypath.alerting.promtests.case import Case, file_text
from moneypath.alerting.slo_alerts import alert_name
from moneypath.path.guards import AnyGuard, IncreaseGuard, RatioGuard
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo


def files(path: MoneyPath) -> dict[str, str]:
    """Return the test files by name; every alert rule of the tree has one."""
    alerts = tuple(tree.alerts(tree.build(path)))
    return {file_name(alert, alerts): file_text(path, alert, _cases(path, alert, alerts)) for alert in alerts}


def file_name(alert: Alert, alerts: tuple[Alert, ...]) -> str:
    """Return the name of the file that tests `alert`; its labels tell it from others of its name."""
    kept = ["tier", "job"]
    if len({other.labels.get("check") for other in alerts if other.name == alert.name}) > 1:
        kept.append("check")
    return ".".join(
        (alert.name, *(alert.labels[label] for label in kept if label in alert.labels), "test.yml")
    )


def _cases(path: MoneyPath, alert: Alert, alerts: tuple[Alert, ...]) -> tuple[Case, ...]:
    catalogue = path.catalogue()
    for slo in path.slos:
        if alert.labels.get("slo") == slo.id and isinstance(slo, AvailabilitySlo):
            return _availability_cases(path, slo, alert)
        if alert.labels.get("slo") == slo.id and not isinstance(slo, AvailabilitySlo) and slo.burn:
            return path_cases.burn_cases(slo, catalogue, slo.burn, _tier(alert))
    for check in path.checks:
        if alert.name == check.alerts.violated:
            return guard_cases.violated_cases(check, catalogue)
        if alert.name == check.alerts.stale:
            return guard_cases.stale_cases(path, check, catalogue)
    for guard in path.guards:
        if alert.labels.get("check") == guard.id:
            return _guard_cases(path, guard, alert, alerts)
    if alert.name == TARGET_DOWN:
        target = next(target for target in path.targets if target.job == alert.labels["job"])
        return guard_cases.target_cases(path, target, catalogue)
    return guard_cases.watchdog_cases()


def _availability_cases(path: MoneyPath, slo: AvailabilitySlo, alert: Alert) -> tuple[Case, ...]:
    if alert.name == alert_name(slo, "BudgetBurn"):
        return slo_cases.burn_cases(path, slo, alert, _tier(alert))
    if slo.hard_down and alert.name == alert_name(slo, "HardDown"):
        return slo_cases.hard_down_cases(path, slo, alert, slo.hard_down)
    return slo_cases.traffic_cases(path, slo)


def _guard_cases(
    path: MoneyPath, guard: AnyGuard, alert: Alert, alerts: tuple[Alert, ...]
) -> tuple[Case, ...]:
    catalogue = path.catalogue()
    if isinstance(guard, IncreaseGuard):
        return counter_cases.increase_cases(guard, catalogue)
    if isinstance(guard, RatioGuard):
        return counter_cases.ratio_cases(guard, catalogue)
    same_evidence = {
        other.id
        for other in path.guards
        if not isinstance(other, IncreaseGuard | RatioGuard) and other.evidence == guard.evidence
    }
    siblings = tuple(
        other
        for other in alerts
        if other.name == alert.name and other is not alert and other.labels["check"] in same_evidence
    )
    return gauge_cases.gauge_cases(path, guard, catalogue, siblings)


def _tier(alert: Alert) -> Tier:
    return next(tier for tier in TIERS.values() if tier.id == alert.labels["tier"])
