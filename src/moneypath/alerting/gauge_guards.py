"""The alerts of guards over gauges: something is too old, overdue, or too high.

What ends such an alert is the gauge, back within its limit. A gauge that is gone ends nothing: the
alert holds itself until the evidence is there again, and where the evidence is gone for long, it begins.
"""

from moneypath.alerting.conventions import Severity, annotations, expected_series, latch, roles_label
from moneypath.alerting.leaf import Alert, Expr, Recording, age, count, expr, window
from moneypath.path.guards import AgeGuard, AnyGuard, DeadlineGuard, GaugeGuard
from moneypath.path.model import MoneyPath
from moneypath.telemetry.catalogue import Catalogue


def age_recording(guard: AgeGuard, catalogue: Catalogue) -> Recording:
    """Return the recording rule of how long ago the time of each member is, in seconds."""
    labels = tuple(catalogue[guard.series].labels)
    by = ", ".join(labels)
    return Recording(_age_series(guard, labels), expr(f"time() - max by ({by}) ({guard.series})"))


def gauge_alert(path: MoneyPath, guard: GaugeGuard, catalogue: Catalogue) -> Alert:
    """Return the alert of `guard`, one instance each member of the series."""
    labels = tuple(catalogue[guard.series].labels)
    by = ", ".join(labels)
    return Alert(
        name=guard.alert,
        expr=expr(_condition(guard, labels), *_without_evidence(guard, by)),
        labels=guard_labels(guard),
        annotations=annotations(
            path, f"{guard.title}: not kept", f"{_lead(guard)}{named(by)}.", guard.runbook, guard.dashboard
        ),
    )


def guard_labels(guard: AnyGuard) -> dict[str, str]:
    """Return the labels of the alert of a guard."""
    return {
        "severity": Severity.CRITICAL.value,
        "check": guard.id,
        "stage": guard.stage,
        "roles": roles_label(guard.roles),
    }


def named(by: str) -> str:
    """Return the labels of an instance as the end of a sentence, as a template."""
    return "".join(f", {label} {{{{ $labels.{label} }}}}" for label in by.split(", ") if label)


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


def _without_evidence(guard: GaugeGuard, by: str) -> tuple[Expr, ...]:
    if guard.evidence is None:
        return ()
    series = guard.evidence.series
    return (
        expr("\nor\n(\n  ", latch(guard.alert, by, check=guard.id)),
        expr(f"\n  unless on ({by}) max by ({by}) ({series})\n)"),
        expr(f"\nor\n(\n  {expected_series(by)}\n  unless on ({by}) max by ({by}) (max_over_time({series}["),
        expr(window(guard.evidence.missing_after_seconds, "missing_after"), "]))\n)"),
    )


def _lead(guard: GaugeGuard) -> str:
    if isinstance(guard, AgeGuard):
        return "Too long ago, or not known"
    if isinstance(guard, DeadlineGuard):
        return "Overdue, or not known"
    return "Too many, or not known" if guard.evidence else "Too many"
