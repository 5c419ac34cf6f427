"""The alerts of guards on gauges: too old, overdue, or too high.

Such an alert ends when the gauge is back within its limit. A gauge that disappears does not end it: the
alert holds itself until the evidence is back. An alert begins when the evidence is missing for too long.
"""

from moneypath.alerting.conventions import alert_rule, expected_series, instance_text, while_firing
from moneypath.alerting.matchers import one_of
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
    window,
)
from moneypath.path.guards import AgeGuard, AnyGuard, DeadlineGuard, GaugeGuard
from moneypath.path.model import MoneyPath
from moneypath.telemetry.catalogue import Catalogue

# Between three scrapes of one target lie two intervals, and within one every other target is asked. The
# window holds three of a Prometheus that asks every 100 s.
AWAKE_SECONDS = 300
AWAKE_SCRAPES = 3


def age_recording(guard: AgeGuard, catalogue: Catalogue) -> RecordingRule:
    """Return the recording rule of the age of each member, in seconds."""
    labels = tuple(catalogue[guard.series].labels)
    by = ", ".join(labels)
    return RecordingRule(_age_series(guard, labels), expr(f"time() - max by ({by}) ({guard.series})"))


def gauge_alert(path: MoneyPath, guard: GaugeGuard, catalogue: Catalogue) -> AlertRule:
    """Return the alert of `guard`, with one instance for each member of the series."""
    labels = tuple(catalogue[guard.series].labels)
    by = ", ".join(labels)
    return alert_rule(
        path,
        guard_source(guard),
        name=guard.alert,
        expr=expr(_condition(guard, labels), *_without_evidence(path, guard, by)),
        summary=f"{guard.title}: not kept",
        detail=f"{_detail(guard)}{instance_text(by)}.",
    )


def guard_source(guard: AnyGuard) -> AlertSource:
    """Return the subject, roles and links of the alert of a guard."""
    return AlertSource(
        kind=SubjectKind.CHECK,
        subject=guard.id,
        stage=guard.stage,
        roles=guard.roles,
        runbook=guard.runbook,
        dashboard=guard.dashboard,
    )


def age_series(guard: AgeGuard, catalogue: Catalogue) -> str:
    """Return the recorded series of the age of each member."""
    return _age_series(guard, tuple(catalogue[guard.series].labels))


def _age_series(guard: AgeGuard, labels: tuple[str, ...]) -> str:
    return f"{'_'.join(labels) or 'path'}:{guard.id}:seconds"


def _condition(guard: GaugeGuard, labels: tuple[str, ...]) -> Expr:
    gauge = f"max by ({', '.join(labels)}) ({guard.series})"
    if isinstance(guard, AgeGuard):
        # A time in milliseconds lies far in the future: without abs() it would never be old.
        return expr(f"abs({_age_series(guard, labels)}) > ", age(guard.older_than_seconds, "older_than"))
    if isinstance(guard, DeadlineGuard):
        return expr(f"time() - {gauge} > ", age(guard.grace_seconds, "grace"))
    return expr(f"{gauge} > ", count(guard.above, "level"))


def _without_evidence(path: MoneyPath, guard: GaugeGuard, by: str) -> tuple[Expr, ...]:
    """Return the conditions under which the evidence is missing.

    A Prometheus that goes on after a pause knows of nothing, and must not page for what it has not asked.
    It evaluates rules seconds before it asks. Without any target `TargetDown` speaks.
    """
    if guard.evidence is None:
        return ()
    series, patience = guard.evidence.series, guard.evidence.missing_after_seconds
    jobs = one_of("job", tuple(target.job for target in path.targets))
    return (
        expr("\nor\n(\n  ", while_firing(guard.alert, by, check=guard.id)),
        expr(f"\n  unless on ({by}) max by ({by}) ({series})\n)"),
        expr("\nor\n(\n  ", _expected(by), f"\n  unless on ({by}) max by ({by}) (max_over_time({series}["),
        expr(window(patience, "missing_after"), "]))\n  and on () "),
        expr(f"max(count_over_time(up{{{jobs}}}[", window(min(AWAKE_SECONDS, patience), "awake"), "])) >= "),
        expr(fixed(AWAKE_SCRAPES, "scrapes"), "\n)"),
    )


def _expected(by: str) -> Expr:
    """Return what exists for each member; a gauge without labels is one member."""
    return expr(expected_series(by)) if by else expr("vector(", fixed(1, "one"), ")")


def _detail(guard: GaugeGuard) -> str:
    if isinstance(guard, AgeGuard):
        return "Too long ago, or not known"
    if isinstance(guard, DeadlineGuard):
        return "Overdue, or not known"
    whole = guard.above == guard.above.to_integral_value()
    found = "Too many" if whole else "Too high"
    return f"{found}, or not known" if guard.evidence else found
