"""The alerts of checks, targets and the watchdog."""

from moneypath.alerting.conventions import (
    LAST_SUCCESS,
    SILENCES,
    TARGET_EXPECTED,
    Severity,
    alert_rule,
    expected_series,
    instance_text,
    links,
    silence_check,
    source_labels,
    target_down_name,
    violations_money,
    watchdog_name,
    while_firing,
)
from moneypath.alerting.rules import (
    AlertRule,
    AlertSource,
    Expr,
    RecordingRule,
    SubjectKind,
    age,
    count,
    expr,
    fixed,
    hold,
    window,
)
from moneypath.path.guards import IncreaseGuard, RatioGuard
from moneypath.path.model import MoneyPath
from moneypath.path.parts import Check, Target
from moneypath.path.sql_checks import AmountUnit
from moneypath.telemetry.catalogue import Catalogue

TARGET_UP = "target_up"
TARGET_HOLD_SECONDS = 30
# Three scrapes of production.
STALE_HOLD_SECONDS = 15

_ONE = fixed(1, "one")
_ZERO = fixed(0, "zero")


def expected(path: MoneyPath, catalogue: Catalogue) -> tuple[RecordingRule, ...]:
    """Return a series for each target and member that must exist, since absence has no labels."""
    constant = expr("vector(", _ONE, ")")
    members: dict[str, tuple[str, ...]] = {"provider": path.provider_ids()}
    for guard in path.guards:
        if not isinstance(guard, IncreaseGuard | RatioGuard) and guard.evidence:
            members |= catalogue[guard.evidence.series].labels
    return (
        *(RecordingRule(TARGET_EXPECTED, constant, {"job": target.job}) for target in path.targets),
        *(
            RecordingRule(expected_series(label), constant, {label: value})
            for label, values in members.items()
            for value in values
        ),
    )


def violated(path: MoneyPath, check: Check, catalogue: Catalogue) -> AlertRule:
    """Return the alert of a broken invariant; it ends only when the gauges exist and are 0."""
    by = ", ".join(catalogue[check.series[0]].labels)
    name = check.alerts.violated
    # One gauge for the checks of all teams: an alert is about its own.
    own = f'{{check="{check.id}"}}' if "check" in catalogue[check.series[0]].labels else ""
    gauges = [f"max by ({by}) ({series}{own})" for series in check.series]
    broken: list[Expr] = []
    recovery: list[Expr] = []
    for gauge in gauges:
        broken.append(expr("" if not broken else "\nor\n", gauge, " > ", fixed(0, "tolerance")))
        recovery.append(expr("" if not recovery else f"\n    and on ({by}) ", gauge, " == ", _ZERO))
    held = expr("\nor\n(\n  ", while_firing(name, by), f"\n  unless on ({by}) (\n    ", *recovery, "\n  )\n)")
    return alert_rule(
        path,
        _check_source(check, roles=check.roles, runbook=check.runbook),
        name=name,
        expr=expr(*broken, held),
        summary=f"{check.title}: violated",
        detail=f"{_what_is_wrong(check)}{instance_text(by)}.{_money_found(check)}",
    )


def stale(path: MoneyPath, check: Check) -> AlertRule:
    """Return the alert of a check whose last success is too long ago, in the future, or unknown.

    It is judged at the time at which Prometheus last saw it, and held until every target was asked again: a
    Prometheus that stood still knows nothing, and must not page for it.
    """
    series = f'{LAST_SUCCESS}{{check="{check.id}"}}'
    limit = check.stale_after_seconds
    return alert_rule(
        path,
        _check_source(check, roles=check.stale_roles, runbook=check.stale_runbook),
        name=check.alerts.stale,
        expr=expr(
            # A time in milliseconds lies far in the future: without abs() it would never be stale.
            f"abs(max by (check) (timestamp({series})) - max by (check) ({series})) > ",
            age(limit, "stale_after"),
            f"\nor\nmax by (check) (absent_over_time({series}[",
            window(limit, "absent_for"),
            "]))",
        ),
        summary=f"{check.title}: not checked",
        detail=f"The check {check.id} has not succeeded lately, so its silence proves nothing.",
        hold=hold(STALE_HOLD_SECONDS, "stale_hold"),
    )


def target_down(path: MoneyPath, target: Target) -> AlertRule:
    """Return the alert of a service with an instance that does not answer, or with too few of them."""
    answering = expr("min by (job) (up) == ", _ONE)
    if target.instances > 1:
        enough = count(target.instances, "instances")
        answering = expr("(\n  ", answering, "\n  and on (job) count by (job) (up) >= ", enough, "\n)")
    return alert_rule(
        path,
        AlertSource(
            kind=SubjectKind.CHECK,
            subject=TARGET_UP,
            stage=target.stage,
            roles=target.roles,
            runbook=target.runbook,
            dashboard=target.dashboard,
        ),
        name=target_down_name(path),
        expr=expr(
            f'{TARGET_EXPECTED}{{job="{target.job}"}}\nunless on (job) ',
            answering,
        ),
        labels={"job": target.job},
        summary="A process of the money path does not answer the scrape",
        detail=f"{target.job} cannot be seen, and neither can what it guards.",
        hold=hold(TARGET_HOLD_SECONDS, "target_hold"),
    )


def watchdog(path: MoneyPath) -> AlertRule:
    """Return the alert that always fires; its receiver raises the alarm when it stops.

    It stops while the alert that tells of silences is silenced: nobody inside Alertmanager could tell then.
    """
    silences = silence_check(path)
    heard: tuple[Expr, ...] = ()
    if silences is not None:
        silenced = f'max({SILENCES}{{alert="{silences.alerts.violated}"}}) > '
        heard = (expr(f"\nunless on ()\n{silenced}", _ZERO),)
    source = AlertSource(
        kind=SubjectKind.CHECK,
        subject="watchdog",
        stage=path.stages[0].id,
        roles=path.watchdog.roles,
        runbook=path.watchdog.runbook,
        dashboard=path.watchdog.dashboard,
    )
    return AlertRule(
        name=watchdog_name(path),
        source=source,
        expr=expr("vector(", _ONE, ")", *heard),
        labels=source_labels(source, Severity.NONE),
        annotations={
            **links(path, source),
            "summary": "Heartbeat of alerting",
            "description": "Always fires. When it stops arriving, no other alert arrives either.",
        },
    )


def _check_source(check: Check, *, roles: tuple[str, ...], runbook: str) -> AlertSource:
    return AlertSource(
        kind=SubjectKind.CHECK,
        subject=check.id,
        stage=check.stage,
        roles=roles,
        runbook=runbook,
        dashboard=check.dashboard,
    )


def _money_found(check: Check) -> str:
    """Return the money in the violations of an SQL check, as a template; of another check nothing."""
    if check.sql is None or check.sql.amount is AmountUnit.NONE:
        return ""
    return f" In its violations: {violations_money(check.id)}`moneypath exporter --once` lists them."


def _what_is_wrong(check: Check) -> str:
    if SILENCES in check.series:
        return "An integrity alert is silenced"
    return f"An invariant of the {check.stage} is broken"
