"""The four business metrics, and whether anything fires: what is read first."""

from moneypath.alerting.conventions import WATCHDOG
from moneypath.alerting.leaf import Mark
from moneypath.dashboards.amounts import PROVIDER
from moneypath.dashboards.limits import Limits, at_least, at_most, zero
from moneypath.dashboards.model import Kind, Panel, Query, Row, Step

MICRO_UNITS = 1_000_000
_FIRING = 'ALERTS{alertstate="firing"'


def glance(limits: Limits) -> Row:
    """Return the row of eight large numbers."""
    fast = limits.fast_enough_seconds()
    return Row(
        "The four business metrics, now",
        (
            _latency("p95", fast),
            _latency("p99", fast),
            _number(
                "Ledger write success",
                "Share of ledger transactions of the last 5 minutes that were committed. Below the "
                "objective, money moves that the books do not show yet: follow the runbook before routing "
                "anything.",
                "path:ledger_write_success:ratio_rate5m",
                unit="percentunit",
                decimals=3,
                steps=at_least(limits.objective("ledger-write-success")),
                watches=("MoneyPathLedgerWriteBudgetBurn",),
            ),
            _number(
                "Ledger durability",
                "Share of acknowledged ledger writes of the last 5 minutes that a probe read back. Anything "
                "below 100 % is a write that was promised and is gone: stop, and follow the runbook.",
                "path:ledger_durability:ratio_rate5m",
                unit="percentunit",
                decimals=3,
                steps=at_least(1.0),
                watches=("MoneyPathLedgerWriteMissing", "MoneyPathLedgerProbeStale"),
            ),
            _number(
                "Reconciliation lag",
                "How far behind the slowest provider's settlement the comparison with the ledger is. "
                "Nothing younger than this has been checked against the acquirer's own books.",
                f"max(provider:reconciliation_lag:seconds{{{PROVIDER}}})",
                unit="s",
                decimals=0,
                steps=at_most(limits.fires_at("MoneyPathReconciliationLag", Mark.AGE)),
                watches=("MoneyPathReconciliationLag", "MoneyPathReconciliationStale"),
            ),
            _number(
                "Open breaks",
                "Differences between ledger and settlement reports that nobody has resolved. Each is money "
                "that two books disagree about; the row on reconciliation says which class.",
                f"sum(max by (provider, class) (moneypath_reconciliation_breaks{{{PROVIDER}}}))",
                decimals=0,
                steps=zero(),
                watches=("MoneyPathSettlementMismatch",),
            ),
            _number(
                "Cost per transaction",
                "Fees, compute, database, messaging and telemetry over captured payments, last 5 minutes, "
                "idle time included. It rises when traffic falls: look at the captured rate first.",
                f"path:cost_per_transaction:micro_units_rate5m / {MICRO_UNITS}",
                unit=f"suffix:{limits.path.reporting_currency}",
                decimals=4,
                steps=at_most(cost_limit(limits)),
                watches=("MoneyPathCostPerTransactionHigh",),
            ),
            _number(
                "Alerts firing",
                "Alerts that fire now, the heartbeat left out. `heartbeat missing` means that rules are not "
                "evaluated at all, so silence proves nothing. The last row lists them.",
                # By subtraction: when the heartbeat is gone, this has no value rather than a good one.
                f'count({_FIRING}}}) - count({_FIRING}, alertname="{WATCHDOG}"}})',
                decimals=0,
                steps=zero(),
                no_value="heartbeat missing",
            ),
        ),
    )


def cost_limit(limits: Limits) -> float | None:
    """Return the cost per transaction that pages, in major units of the reporting currency."""
    for mark in (Mark.FIXED, Mark.COUNT):
        found = limits.fires_at("MoneyPathCostPerTransactionHigh", mark)
        if found is not None:
            return found / MICRO_UNITS
    return None


def _latency(percentile: str, fast: float | None) -> Panel:
    promise = f"The objective is {fast:g} s. " if fast is not None else ""
    return _number(
        f"Authorization {percentile}",
        f"{percentile} of live authorizations over 5 minutes, time-outs included; rejected and blocked ones "
        f"left out. {promise}Slow at one provider only: drain it. Slow at all: look at the ledger and the "
        "database.",
        f"path:authorization_latency:{percentile}_5m",
        unit="s",
        decimals=3,
        steps=at_most(fast),
        watches=("MoneyPathAuthorizationLatencyBurn",),
    )


def _number(
    title: str,
    meaning: str,
    expr: str,
    *,
    unit: str = "none",
    decimals: int,
    steps: tuple[Step, ...],
    watches: tuple[str, ...] = (),
    no_value: str = "no data",
) -> Panel:
    return Panel(
        title,
        Kind.STAT,
        meaning,
        # Instant: the last value of a range would go on showing a series that has ended.
        (Query(expr, title, instant=True),),
        width=6,
        height=4,
        unit=unit,
        decimals=decimals,
        steps=steps,
        watches=watches,
        no_value=no_value,
        filled=True,
    )
