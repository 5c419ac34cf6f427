"""The alerts of an availability objective: burn, hard down, and missing traffic.

Burn and hard down end on evidence only. Once firing they hold themselves through `ALERTS`, until
their provider is routed to and its short window shows enough valid events with few enough bad
ones. A provider that was drained, or that nobody calls any more, has proven nothing.

Nor do they begin for a provider that is drained: its last answers are the slow ones, and those are the
failures, so that the share of a window that empties rises towards 1 although nobody is harmed anew.
"""

from moneypath.alerting.burn import TIERS, Tier, threshold
from moneypath.alerting.conventions import (
    ROUTING,
    Severity,
    annotations,
    expected_series,
    latch,
    roles_label,
)
from moneypath.alerting.leaf import Alert, Expr, Leaf, count, expr, fixed, window
from moneypath.alerting.sli import HARD_DOWN_SECONDS, TRAFFIC_SECONDS, Recorded, noun, recorded
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, HardDown
from moneypath.telemetry.catalogue.vocabulary import Operation

TRAFFIC_HOLD_SECONDS = 300

_DRAINED = expr(f"max by (provider) ({ROUTING}) == ", fixed(0, "drained"))


def alert_name(slo: AvailabilitySlo, condition: str) -> str:
    """Return the name of an alert of `slo`: `MoneyPathAuthorizationHardDown`."""
    return f"MoneyPath{noun(slo).capitalize()}{condition}"


def traffic_alert_name(slo: AvailabilitySlo) -> str:
    """Return the name of the alert of missing traffic; authorization is where traffic arrives."""
    return (
        "MoneyPathTrafficMissing"
        if slo.operation is Operation.AUTHORIZE
        else alert_name(slo, "TrafficMissing")
    )


def alerts(path: MoneyPath, slo: AvailabilitySlo) -> tuple[Alert, ...]:
    """Return all alerts of `slo`; raise AlertImpossible for one that could never fire."""
    hard_down = [_hard_down(path, slo, slo.hard_down)] if slo.hard_down else []
    burns = [_burn(path, slo, TIERS[tier]) for tier in slo.burn.tiers]
    return (*hard_down, *burns, _traffic_missing(path, slo))


def _labels(slo: AvailabilitySlo, roles: tuple[str, ...]) -> dict[str, str]:
    return {
        "severity": Severity.CRITICAL.value,
        "slo": slo.id,
        "stage": slo.stage,
        "roles": roles_label(roles),
    }


def _hard_down(path: MoneyPath, slo: AvailabilitySlo, declared: HardDown) -> Alert:
    name = alert_name(slo, "HardDown")
    seen = recorded(slo, HARD_DOWN_SECONDS)
    share = fixed(declared.bad_share, "bad_share")
    enough = count(declared.min_events, "min_events")
    return Alert(
        name=name,
        expr=_until_proven(
            expr(f"{seen.ratio} > ", share, f"\n  and on (provider) {seen.valid} >= ", enough),
            latch(name, "provider"),
            seen,
            share,
            enough,
        ),
        labels=_labels(slo, slo.roles),
        annotations=annotations(
            path,
            f"{slo.title}: a provider is down",
            f"Most live {noun(slo)}s at {{{{ $labels.provider }}}} fail.",
            slo.runbook,
            slo.dashboard,
        ),
    )


def _burn(path: MoneyPath, slo: AvailabilitySlo, tier: Tier) -> Alert:
    name = alert_name(slo, "BudgetBurn")
    long, short = recorded(slo, tier.long_seconds), recorded(slo, tier.short_seconds)
    limit = fixed(threshold(slo, tier), "burn_threshold")
    return Alert(
        name=name,
        expr=_until_proven(
            expr(f"{long.ratio} > ", limit, f"\n  and on (provider) {short.ratio} > ", limit),
            latch(name, "provider", tier=tier.id),
            short,
            limit,
            count(slo.traffic.min_events, "evidence_events"),
        ),
        labels={**_labels(slo, slo.roles), "tier": tier.id.value},
        annotations=annotations(
            path,
            f"{slo.title}: the error budget burns",
            f"Live {noun(slo)}s at {{{{ $labels.provider }}}} fail faster than the error budget allows.",
            slo.runbook,
            slo.dashboard,
        ),
    )


def _until_proven(condition: Expr, held: str, short: Recorded, limit: Leaf, enough: Leaf) -> Expr:
    proof = expr(f"{short.ratio} <= ", limit, f"\n    and on (provider) {short.valid} >= ", enough)
    return expr(
        *(
            "(\n  ",
            condition,
            "\n  unless on (provider) ",
            _DRAINED,
            "\n)\nor\n(\n  ",
            held,
            "\n  unless on (provider) (\n    ",
        ),
        *(proof, "\n    unless on (provider) ", _DRAINED, "\n  )\n)"),
    )


def _traffic_missing(path: MoneyPath, slo: AvailabilitySlo) -> Alert:
    seen = recorded(slo, TRAFFIC_SECONDS)
    return Alert(
        name=traffic_alert_name(slo),
        expr=expr(
            *(expected_series("provider"), "\nunless on (provider) ", _DRAINED),
            *(f"\nunless on (provider) {seen.valid} >= ", count(slo.traffic.min_events, "traffic_floor")),
        ),
        labels=_labels(slo, slo.traffic.roles),
        annotations=annotations(
            path,
            f"{slo.title}: traffic is missing",
            f"{{{{ $labels.provider }}}} is routed to, yet hardly any live {noun(slo)}s are seen there.",
            slo.traffic.runbook,
            slo.dashboard,
        ),
        hold=window(TRAFFIC_HOLD_SECONDS, "traffic_hold"),
    )
