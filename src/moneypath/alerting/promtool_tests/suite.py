"""All generated promtool test files, one for each alert rule."""

from moneypath.alerting import rule_groups
from moneypath.alerting.baseline import api_job
from moneypath.alerting.conventions import target_down_name
from moneypath.alerting.promtool_tests import check_cases, counter_guard_cases, gauge_guard_cases
from moneypath.alerting.promtool_tests.case import Case, file_text
from moneypath.alerting.promtool_tests.slo_cases import slo_cases
from moneypath.alerting.rules import AlertRule, SubjectKind
from moneypath.path.guards import AnyGuard, IncreaseGuard, RatioGuard
from moneypath.path.model import MoneyPath


def files(path: MoneyPath) -> dict[str, str]:
    """Return the test files by name; every alert rule has one."""
    alerts = tuple(rule_groups.alerts(rule_groups.build(path)))
    return {file_name(alert, alerts): file_text(path, alert, _cases(path, alert, alerts)) for alert in alerts}


def file_name(alert: AlertRule, alerts: tuple[AlertRule, ...]) -> str:
    """Return the name of the file that tests `alert`; its labels tell it from others of its name."""
    kept = ["tier", "job"]
    if len({other.source.subject for other in alerts if other.name == alert.name}) > 1:
        kept.append("check")
    return ".".join(
        (alert.name, *(alert.labels[label] for label in kept if label in alert.labels), "test.yml")
    )


def _cases(path: MoneyPath, alert: AlertRule, alerts: tuple[AlertRule, ...]) -> tuple[Case, ...]:
    catalogue, subject = path.known_metrics(), alert.source.subject
    if alert.source.kind is SubjectKind.SLO:
        slo = next(slo for slo in path.slos if slo.id == subject)
        return tuple(slo_cases(path, slo, alert, catalogue))
    for check in path.checks:
        if alert.name == check.alerts.violated:
            return check_cases.violated_cases(path, check, catalogue)
        if alert.name == check.alerts.stale:
            return check_cases.stale_cases(path, check, catalogue)
    for guard in path.guards:
        if subject == guard.id:
            return _guard_cases(path, guard, alert, alerts)
    if alert.name == target_down_name(path):
        target = next(target for target in path.targets if target.job == alert.labels["job"])
        return check_cases.target_cases(path, target, catalogue)
    return check_cases.watchdog_cases(path)


def _guard_cases(
    path: MoneyPath, guard: AnyGuard, alert: AlertRule, alerts: tuple[AlertRule, ...]
) -> tuple[Case, ...]:
    catalogue = path.known_metrics()
    if isinstance(guard, IncreaseGuard):
        return counter_guard_cases.increase_cases(api_job(path), guard, catalogue)
    if isinstance(guard, RatioGuard):
        return counter_guard_cases.ratio_cases(api_job(path), guard, catalogue)
    same_evidence = {
        other.id
        for other in path.guards
        if not isinstance(other, IncreaseGuard | RatioGuard) and other.evidence == guard.evidence
    }
    siblings = tuple(
        other
        for other in alerts
        if other.name == alert.name and other is not alert and other.source.subject in same_evidence
    )
    return gauge_guard_cases.gauge_cases(path, guard, catalogue, siblings)
