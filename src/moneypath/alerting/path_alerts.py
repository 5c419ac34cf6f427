"""The burn alerts of objectives over the whole path; once firing they end on evidence only."""

from collections.abc import Iterator

from moneypath.alerting.burn import TIERS, Tier, threshold
from moneypath.alerting.conventions import Severity, annotations, latch, roles_label, until_proven
from moneypath.alerting.leaf import Alert, count, expr, fixed
from moneypath.alerting.path_slis import path_recorded
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import PathBurn, PathSlo


def path_alerts(path: MoneyPath, slo: PathSlo) -> Iterator[Alert]:
    """Yield the alerts of `slo`; raises AlertImpossible for one that could never fire."""
    if slo.burn:
        yield from (_burn(path, slo, slo.burn, TIERS[tier]) for tier in slo.burn.tiers)


def _burn(path: MoneyPath, slo: PathSlo, burn: PathBurn, tier: Tier) -> Alert:
    long, short = path_recorded(slo, tier.long_seconds), path_recorded(slo, tier.short_seconds)
    limit = fixed(threshold(slo, tier), "burn_threshold")
    return Alert(
        name=burn.alert,
        expr=until_proven(
            expr(f"{long.ratio} > ", limit, f"\n  and on () {short.ratio} > ", limit),
            latch(burn.alert, "", tier=tier.id),
            "",
            expr(
                *(f"{short.ratio} <= ", limit),
                *(f"\n    and on () {short.valid} >= ", count(burn.min_events, "evidence_events")),
            ),
        ),
        labels={
            "severity": Severity.CRITICAL.value,
            "slo": slo.id,
            "stage": slo.stage,
            "roles": roles_label(slo.roles),
            "tier": tier.id.value,
        },
        annotations=annotations(
            path,
            f"{slo.title}: the error budget burns",
            f"{slo.title}: not kept, faster than the error budget allows.",
            slo.runbook,
            slo.dashboard,
        ),
    )
