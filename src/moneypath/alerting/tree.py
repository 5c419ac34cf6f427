"""All rules of a money path as one tree."""

from collections.abc import Iterator

from moneypath.alerting import guards, sli, slo_alerts
from moneypath.alerting.leaf import Alert, Group
from moneypath.path.loader import build_catalogue
from moneypath.path.model import MoneyPath


def build(path: MoneyPath) -> tuple[Group, ...]:
    """Return every group of rules; raise AlertImpossible or RuleInvalid for what cannot work."""
    catalogue = build_catalogue(path)
    slos = [
        Group(f"moneypath-{slo.id}", (*sli.recordings(slo), *slo_alerts.alerts(path, slo)))
        for slo in path.slos
    ]
    checks = [
        Group(
            f"moneypath-{check.id.replace('_', '-')}",
            (guards.violated(path, check, catalogue), guards.stale(path, check)),
        )
        for check in path.checks
    ]
    targets = [guards.target_down(path, target) for target in path.targets]
    # What is expected comes first: the other groups read it.
    return (
        Group("moneypath-expected", (*guards.expected(path), *targets, guards.watchdog(path))),
        *slos,
        *checks,
    )


def alerts(groups: tuple[Group, ...]) -> Iterator[Alert]:
    """Yield the alert rules of `groups`."""
    return (rule for group in groups for rule in group.rules if isinstance(rule, Alert))
