"""The names that other rooms may refer to: alerts, and series that rules record."""

from moneypath.alerting.leaf import Recording
from moneypath.alerting.tree import alerts, build
from moneypath.path.model import MoneyPath


def alert_names(path: MoneyPath) -> frozenset[str]:
    """Return the name of every alert of the money path."""
    return frozenset(alert.name for alert in alerts(build(path)))


def recorded_series(path: MoneyPath) -> frozenset[str]:
    """Return the name of every series that a recording rule writes."""
    return frozenset(
        rule.record for group in build(path) for rule in group.rules if isinstance(rule, Recording)
    )
