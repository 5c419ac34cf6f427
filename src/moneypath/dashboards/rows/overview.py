"""The business metrics, and whether anything fires: the row to read first."""

from collections.abc import Iterator

from moneypath.alerting.business_metrics import BREAKS, COST, LEDGER_SERIES, WATERMARK, objective_words
from moneypath.alerting.conventions import watchdog_name
from moneypath.alerting.counter_guards import ratio_recorded
from moneypath.alerting.gauge_guards import age_series
from moneypath.alerting.latency_sli import QUANTILES
from moneypath.alerting.recorded import WHOLE_PATH, good_share_series, quantile_series
from moneypath.dashboards.amounts import PROVIDER
from moneypath.dashboards.model import Panel, PanelKind, Query, Row, ThresholdStep
from moneypath.dashboards.thresholds import Thresholds, at_least, at_most, zero

MICRO_UNITS = 1_000_000
_FIRING = 'ALERTS{alertstate="firing"'


_LEDGER_MEANING = {
    "moneypath_ledger_writes_total": (
        "Share of ledger transactions of the last 5 minutes that were committed. Below the objective, "
        "money moves that the books do not show yet: follow the runbook before routing anything."
    ),
    "moneypath_ledger_probe_total": (
        "Share of acknowledged ledger writes of the last 5 minutes that a probe read back. Anything below "
        "100 % is a write that was promised and is gone: stop, and follow the runbook."
    ),
}
_LEDGER_CHECKS = {"moneypath_ledger_probe_total": "moneypath_ledger_missing_writes"}


def overview(thresholds: Thresholds) -> Row:
    """Return the row of large numbers: the business metrics and how many alerts fire."""
    return Row(
        "The four business metrics, now",
        (
            *_latency(thresholds),
            *_ledger(thresholds),
            *_lag(thresholds),
            _number(
                "Open breaks",
                "Differences between ledger and settlement reports that nobody has resolved. Each is money "
                "that two books disagree about; the row on reconciliation says which class.",
                f"sum(max by (provider, class) (moneypath_reconciliation_breaks{{{PROVIDER}}}))",
                decimals=0,
                steps=zero(),
                alerts=thresholds.alerts_on(BREAKS),
            ),
            *_cost(thresholds),
            _number(
                "Alerts firing",
                "Alerts that fire now, the heartbeat left out. `heartbeat missing` means that rules are not "
                "evaluated at all, so silence proves nothing. The last row lists them.",
                # By subtraction: when the heartbeat is gone, this has no value rather than a good one.
                f'count({_FIRING}}}) - count({_FIRING}, alertname="{watchdog_name(thresholds.path)}"}})',
                decimals=0,
                steps=zero(),
                no_value="heartbeat missing",
            ),
        ),
    )


def _latency(thresholds: Thresholds) -> Iterator[Panel]:
    for slo in thresholds.latency_slos():
        words, limit = objective_words(slo).capitalize(), float(slo.threshold_seconds)
        for percent in QUANTILES:
            yield _number(
                f"{words} p{percent}",
                f"p{percent} over 5 minutes of what the objective times, time-outs included. The objective "
                f"is {limit:g} s. Slow at one provider only: drain it. Slow at all: look at the ledger and "
                "the database.",
                quantile_series(slo, percent),
                unit="s",
                decimals=3,
                steps=at_most(limit),
                alerts=thresholds.slo_alerts(slo),
            )


def _ledger(thresholds: Thresholds) -> Iterator[Panel]:
    for slo in thresholds.events_slos():
        if slo.series in LEDGER_SERIES:
            checked = _LEDGER_CHECKS.get(slo.series)
            checks = [check for check in thresholds.path.checks if checked in check.series]
            names = [name for check in checks for name in (check.alerts.violated, check.alerts.stale)]
            yield _number(
                objective_words(slo).capitalize(),
                _LEDGER_MEANING[slo.series],
                good_share_series(slo),
                unit="percentunit",
                decimals=3,
                # A check pages for the first one that is missing; without it the objective is the limit.
                steps=at_least(1.0 if checks else float(slo.objective)),
                alerts=(*thresholds.slo_alerts(slo), *names),
            )


def _lag(thresholds: Thresholds) -> Iterator[Panel]:
    catalogue = thresholds.path.known_metrics()
    for guard in thresholds.age_guards(WATERMARK):
        yield _number(
            guard.id.replace("_", " ").capitalize(),
            "How far behind the slowest provider's settlement the comparison with the ledger is. "
            "Nothing younger than this has been checked against the provider's own books.",
            f"max({age_series(guard, catalogue)}{{{PROVIDER}}})",
            unit="s",
            decimals=0,
            steps=at_most(float(guard.older_than_seconds)),
            alerts=(guard.alert, *_reconciliation_stale(thresholds)),
        )


def _reconciliation_stale(thresholds: Thresholds) -> list[str]:
    return [check.alerts.stale for check in thresholds.path.checks if BREAKS in check.series]


def _cost(thresholds: Thresholds) -> Iterator[Panel]:
    catalogue = thresholds.path.known_metrics()
    for guard in thresholds.ratio_guards(COST):
        yield _number(
            guard.id.replace("_", " ").capitalize(),
            "Fees, compute, database, messaging and telemetry over captured payments, last 5 minutes, "
            "idle time included. It rises when traffic falls: look at the captured rate first.",
            f"{ratio_recorded(guard, catalogue, WHOLE_PATH).ratio} / {MICRO_UNITS}",
            unit=f"suffix:{thresholds.path.reporting_currency}",
            decimals=4,
            steps=at_most(float(guard.limit) / MICRO_UNITS),
            alerts=(guard.alert,),
        )


def _number(
    title: str,
    description: str,
    expr: str,
    *,
    unit: str = "none",
    decimals: int,
    steps: tuple[ThresholdStep, ...],
    alerts: tuple[str, ...] = (),
    no_value: str = "no data",
) -> Panel:
    return Panel(
        title,
        PanelKind.STAT,
        description,
        # Instant: the last value of a range would go on showing a series that has ended.
        (Query(expr, title, instant=True),),
        width=6,
        height=4,
        unit=unit,
        decimals=decimals,
        steps=steps,
        alerts=alerts,
        no_value=no_value,
        colour_background=True,
    )
