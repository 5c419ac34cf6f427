"""What a transaction costs, and what makes it so."""

from moneypath.dashboards.amounts import PROVIDER
from moneypath.dashboards.limits import Limits, at_most
from moneypath.dashboards.model import Kind, Panel, Query, Row
from moneypath.dashboards.rows.glance import MICRO_UNITS, cost_limit

HIGH = "MoneyPathCostPerTransactionHigh"
_HOUR = 3600
# What is provisioned belongs to no provider; choosing one must not hide it.
_PAID_FOR = 'provider=~"none|${provider:regex}"'


def costs(limits: Limits) -> Row:
    """Return the row on costs, all in the reporting currency."""
    unit = f"suffix:{limits.path.reporting_currency}"
    spent = f"rate(moneypath_cost_micro_units_total{{{_PAID_FOR}}}[$__rate_interval])"
    captured = (
        f'moneypath_payments_total{{operation="capture", outcome="succeeded", traffic="live", {PROVIDER}}}'
    )
    return Row(
        "Cost",
        (
            Panel(
                "Cost by component, per hour",
                Kind.TIMESERIES,
                "Provider fees follow captured payments; everything else is provisioned and runs while "
                "nobody pays. A step without a step in traffic is a change of prices or of provisioning.",
                (Query(f"sum by (component) ({spent}) * {_HOUR} / {MICRO_UNITS}", "{{component}}"),),
                width=8,
                height=7,
                unit=unit,
                decimals=2,
                least=0,
                stacked=True,
                watches=(HIGH,),
            ),
            Panel(
                "Cost per transaction",
                Kind.TIMESERIES,
                "All costs over captured payments, 5 minutes, idle capacity included. The red line is the "
                "declared limit.",
                (Query(f"path:cost_per_transaction:micro_units_rate5m / {MICRO_UNITS}", "per transaction"),),
                width=8,
                height=7,
                unit=unit,
                decimals=4,
                least=0,
                steps=at_most(cost_limit(limits)),
                watches=(HIGH,),
            ),
            Panel(
                "Captured payments",
                Kind.TIMESERIES,
                "What the cost is divided by. When it falls, the cost of one rises though nothing became "
                "dearer.",
                (Query(f"sum by (provider) (rate({captured}[$__rate_interval]))", "{{provider}}"),),
                width=8,
                height=7,
                unit="reqps",
                least=0,
                watches=(HIGH,),
            ),
        ),
    )
