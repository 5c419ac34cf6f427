"""The cost of a transaction, and its parts."""

from collections.abc import Iterator

from moneypath.alerting.business_metrics import COST
from moneypath.alerting.counter_guards import ratio_recorded
from moneypath.alerting.recorded import WHOLE_PATH
from moneypath.dashboards.amounts import PROVIDER
from moneypath.dashboards.model import Panel, PanelKind, Query, Row
from moneypath.dashboards.rows.overview import MICRO_UNITS
from moneypath.dashboards.thresholds import Thresholds, at_most
from moneypath.path.exported import exported

_HOUR = 3600
# What is provisioned belongs to no provider; choosing one must not hide it.
_PAID_FOR = 'provider=~"none|${provider:regex}"'


def costs(thresholds: Thresholds) -> Row:
    """Return the row on costs, all in the reporting currency."""
    unit = f"suffix:{thresholds.path.reporting_currency}"
    spent = f"rate(moneypath_cost_micro_units_total{{{_PAID_FOR}}}[$__rate_interval])"
    return Row(
        "Cost",
        (
            Panel(
                "Cost by component, per hour",
                PanelKind.TIMESERIES,
                "Provider fees follow captured payments; everything else is provisioned and runs while "
                "nobody pays. A step without a step in traffic is a change of prices or of provisioning.",
                (Query(f"sum by (component) ({spent}) * {_HOUR} / {MICRO_UNITS}", "{{component}}"),),
                width=8,
                height=7,
                unit=unit,
                decimals=2,
                min_value=0,
                stacked=True,
                alerts=thresholds.alerts_on(COST),
            ),
            *_per_transaction(thresholds, unit),
            *_captured(thresholds),
        ),
    )


def _captured(thresholds: Thresholds) -> Iterator[Panel]:
    captured = (
        f'moneypath_payments_total{{operation="capture", outcome="succeeded", traffic="live", {PROVIDER}}}'
    )
    if COST in exported(thresholds.path):
        yield Panel(
            "Captured payments",
            PanelKind.TIMESERIES,
            "What the cost is divided by. When it falls, the cost of one rises though nothing became dearer.",
            (Query(f"sum by (provider) (rate({captured}[$__rate_interval]))", "{{provider}}"),),
            width=8,
            height=7,
            unit="reqps",
            min_value=0,
            alerts=thresholds.alerts_on(COST),
        )


def _per_transaction(thresholds: Thresholds, unit: str) -> Iterator[Panel]:
    catalogue = thresholds.path.known_metrics()
    for guard in thresholds.ratio_guards(COST):
        recorded = ratio_recorded(guard, catalogue, WHOLE_PATH).ratio
        yield Panel(
            guard.id.replace("_", " ").capitalize(),
            PanelKind.TIMESERIES,
            "All costs over captured payments, 5 minutes, idle capacity included. The red line is the "
            "declared limit.",
            (Query(f"{recorded} / {MICRO_UNITS}", "per transaction"),),
            width=8,
            height=7,
            unit=unit,
            decimals=4,
            min_value=0,
            steps=at_most(float(guard.limit) / MICRO_UNITS),
            alerts=(guard.alert,),
        )
