"""All generated promtool test files: one for each name of an alert."""

from moneypath.alerting import tree
from moneypath.alerting.conventions import TARGET_DOWN
from moneypath.alerting.leaf import Alert
from moneypath.alerting.promtests import guard_cases, slo_cases
from moneypath.alerting.promtests.case import Case, file_text
from moneypath.alerting.slo_alerts import alert_name
from moneypath.path.loader import build_catalogue
from moneypath.path.model import MoneyPath


def files(path: MoneyPath) -> dict[str, str]:
    """Return the test files by name; every alert of the tree has one."""
    return {
        file_name(alert): file_text(path, alert, _cases(path, alert))
        for alert in tree.alerts(tree.build(path))
    }


def file_name(alert: Alert) -> str:
    """Return the name of the file that tests `alert`."""
    labels = (alert.labels[label] for label in ("tier", "job") if label in alert.labels)
    return ".".join((alert.name, *labels, "test.yml"))


def _cases(path: MoneyPath, alert: Alert) -> tuple[Case, ...]:
    for slo in path.slos:
        if alert.labels.get("slo") != slo.id:
            continue
        if alert.name == alert_name(slo, "BudgetBurn"):
            return slo_cases.burn_cases(path, slo, alert, slo_cases.tier_of(alert))
        if slo.hard_down and alert.name == alert_name(slo, "HardDown"):
            return slo_cases.hard_down_cases(path, slo, alert, slo.hard_down)
        return slo_cases.traffic_cases(path, slo)
    for check in path.checks:
        if alert.name == check.alerts.violated:
            return guard_cases.violated_cases(check, build_catalogue(path))
        if alert.name == check.alerts.stale:
            return guard_cases.stale_cases(check)
    if alert.name == TARGET_DOWN:
        target = next(target for target in path.targets if target.job == alert.labels["job"])
        return guard_cases.target_cases(path, target)
    return guard_cases.watchdog_cases()
