"""The alerts that stand guard: broken invariants, checks that do not run, targets gone, the watchdog."""

from moneypath.alerting.conventions import (
    LAST_SUCCESS,
    TARGET_DOWN,
    TARGET_EXPECTED,
    WATCHDOG,
    Severity,
    annotations,
    expected_series,
    latch,
    links,
    roles_label,
)
from moneypath.alerting.leaf import Alert, Expr, Recording, age, expr, fixed, window
from moneypath.path.guards import IncreaseGuard, RatioGuard
from moneypath.path.model import MoneyPath
from moneypath.path.parts import Check, Target
from moneypath.telemetry.catalogue import Catalogue

TARGET_HOLD_SECONDS = 30

_ONE = fixed(1, "one")
_ZERO = fixed(0, "zero")


def expected(path: MoneyPath, catalogue: Catalogue) -> tuple[Recording, ...]:
    """Return a series for each target and member that has to be there, since absence has no labels."""
    constant = expr("vector(", _ONE, ")")
    members = {"provider": path.provider_ids()}
    for guard in path.guards:
        if not isinstance(guard, IncreaseGuard | RatioGuard) and guard.evidence:
            members |= catalogue[guard.evidence.series].labels
    return (
        *(Recording(TARGET_EXPECTED, constant, {"job": target.job}) for target in path.targets),
        *(
            Recording(expected_series(label), constant, {label: value})
            for label, values in members.items()
            for value in values
        ),
    )


def violated(path: MoneyPath, check: Check, catalogue: Catalogue) -> Alert:
    """Return the alert of a broken invariant; it ends only when the gauges are there and 0."""
    by = ", ".join(catalogue[check.series[0]].labels)
    name = check.alerts.violated
    gauges = [f"max by ({by}) ({series})" for series in check.series]
    broken: list[Expr] = []
    proof: list[Expr] = []
    for gauge in gauges:
        broken.append(expr("" if not broken else "\nor\n", gauge, " > ", fixed(0, "tolerance")))
        proof.append(expr("" if not proof else f"\n    and on ({by}) ", gauge, " == ", _ZERO))
    held = expr("\nor\n(\n  ", latch(name, by), f"\n  unless on ({by}) (\n    ", *proof, "\n  )\n)")
    return Alert(
        name=name,
        expr=expr(*broken, held),
        labels=_check_labels(check),
        annotations=annotations(
            path,
            f"{check.title}: violated",
            f"An invariant of the {check.stage} is broken{_named(by)}.",
            check.runbook,
            check.dashboard,
        ),
    )


def stale(path: MoneyPath, check: Check) -> Alert:
    """Return the alert of a check whose last success is too long ago, in the future, or unknown."""
    series = f'{LAST_SUCCESS}{{check="{check.id}"}}'
    limit = check.stale_after_seconds
    return Alert(
        name=check.alerts.stale,
        expr=expr(
            # A time in milliseconds lies far in the future: without abs() it would never be stale.
            *(f"abs(time() - max by (check) ({series})) > ", age(limit, "stale_after")),
            *(f"\nor\nmax by (check) (absent_over_time({series}[", window(limit, "absent_for"), "]))"),
        ),
        labels=_check_labels(check),
        annotations=annotations(
            path,
            f"{check.title}: not checked",
            f"The check {check.id} has not succeeded lately, so its silence proves nothing.",
            check.stale_runbook,
            check.dashboard,
        ),
    )


def target_down(path: MoneyPath, target: Target) -> Alert:
    """Return the alert of a process that does not answer the scrape."""
    return Alert(
        name=TARGET_DOWN,
        expr=expr(
            *(f'{TARGET_EXPECTED}{{job="{target.job}"}}\nunless on (job) ', "max by (job) (up) == ", _ONE),
        ),
        labels={
            "severity": Severity.CRITICAL.value,
            "check": "target_up",
            "job": target.job,
            "stage": target.stage,
            "roles": roles_label(target.roles),
        },
        annotations=annotations(
            path,
            "A process of the money path does not answer the scrape",
            f"{target.job} cannot be seen, and neither can what it guards.",
            target.runbook,
            target.dashboard,
        ),
        hold=window(TARGET_HOLD_SECONDS, "target_hold"),
    )


def watchdog(path: MoneyPath) -> Alert:
    """Return the alert that always fires; whoever receives it raises the alarm when it stops."""
    return Alert(
        name=WATCHDOG,
        expr=expr("vector(", _ONE, ")"),
        labels={
            "severity": Severity.NONE.value,
            "check": "watchdog",
            "stage": path.stages[0].id,
            "roles": roles_label(path.watchdog.roles),
        },
        annotations={
            **links(path, path.watchdog.runbook, path.watchdog.dashboard),
            "summary": "Heartbeat of alerting",
            "description": "Always fires. When it stops arriving, no other alert arrives either.",
        },
    )


def _check_labels(check: Check) -> dict[str, str]:
    return {
        "severity": Severity.CRITICAL.value,
        "check": check.id,
        "stage": check.stage,
        "roles": roles_label(check.roles),
    }


def _named(by: str) -> str:
    return "".join(f", {label} {{{{ $labels.{label} }}}}" for label in by.split(", ") if label)
