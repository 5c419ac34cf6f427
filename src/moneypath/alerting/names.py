"""The names that other packages may refer to: alerts, and series that rules record."""

from moneypath.alerting.conventions import Severity
from moneypath.alerting.rule_groups import alerts, build
from moneypath.alerting.rules import RecordingRule
from moneypath.path.model import MoneyPath


def alert_names(path: MoneyPath) -> frozenset[str]:
    """Return the name of every alert of the money path."""
    return frozenset(alert.name for alert in alerts(build(path)))


def paged_roles(path: MoneyPath) -> dict[str, frozenset[str]]:
    """Return the roles that each critical alert pages; the rules of one name together."""
    found: dict[str, frozenset[str]] = {}
    for alert in alerts(build(path)):
        if alert.labels["severity"] == Severity.CRITICAL:
            found[alert.name] = found.get(alert.name, frozenset()) | set(alert.source.roles)
    return found


def runbooks(path: MoneyPath) -> dict[str, str]:
    """Return the runbook that each alert leads to."""
    return {alert.name: alert.source.runbook for alert in alerts(build(path))}


def recorded_series(path: MoneyPath) -> frozenset[str]:
    """Return the name of every series that a recording rule writes."""
    return frozenset(
        rule.record for group in build(path) for rule in group.rules if isinstance(rule, RecordingRule)
    )
