"""Reconciliation: how far it has come, and what it found."""

from moneypath.alerting.leaf import Mark
from moneypath.dashboards import amounts
from moneypath.dashboards.amounts import PROVIDER
from moneypath.dashboards.limits import Limits, at_least, at_most
from moneypath.dashboards.model import Kind, Look, Panel, Query, Row

MISMATCH = "MoneyPathSettlementMismatch"
LATE = "MoneyPathSettlementLate"
REFUSED = "MoneyPathWebhooksRefused"
_AGREED = "ledger and settlement reports agree, so no difference is open"


def reconciliation(limits: Limits) -> Row:
    """Return the row on reconciliation."""
    first = (_lag(limits), _breaks(), _reports(), _webhooks(limits))
    return Row("Reconciliation", (*first, _money(limits), _oldest(), _due()))


def _lag(limits: Limits) -> Panel:
    return Panel(
        "Lag by provider",
        Kind.TIMESERIES,
        "Age of the moment up to which everything is reconciled. A line that climbs as fast as the clock is "
        "a worker that is stuck or a report that does not come: compare with the reports beside.",
        (Query(f"provider:reconciliation_lag:seconds{{{PROVIDER}}}", "{{provider}}"),),
        width=6,
        unit="s",
        least=0,
        steps=at_most(limits.fires_at("MoneyPathReconciliationLag", Mark.AGE)),
        watches=("MoneyPathReconciliationLag", "MoneyPathReconciliationStale"),
    )


def _breaks() -> Panel:
    open_now = f"max by (provider, class) (moneypath_reconciliation_breaks{{{PROVIDER}}})"
    return Panel(
        "Open breaks by class",
        Kind.TIMESERIES,
        "`missing_ours`: they settled what we never posted. `missing_theirs`: we posted what they do not "
        "settle. `duplicate`: they settled twice, so a customer may be out of pocket. Many at once in one "
        "report is a bad report; few is bad money.",
        (Query(f"sum by (class) ({open_now})", "{{class}}"),),
        width=6,
        decimals=0,
        least=0,
        stacked=True,
        watches=(MISMATCH,),
    )


def _reports() -> Panel:
    files = f"moneypath_settlement_files_total{{{PROVIDER}}}"
    return Panel(
        "Settlement reports by result",
        Kind.TIMESERIES,
        "What became of the reports that were fetched. `invalid` is torn or contradicts itself and is "
        "fetched again; `late` came after it was due; `replayed` was corrected by the provider and read "
        "again.",
        (Query(f"sum by (result) (increase({files}[$__rate_interval]))", "{{result}}"),),
        width=6,
        least=0,
        stacked=True,
        watches=(LATE, MISMATCH),
        looks={
            "invalid": Look(colour="red"),
            "late": Look(colour="orange"),
            "accepted": Look(colour="green"),
        },
    )


def _webhooks(limits: Limits) -> Panel:
    def rate(only: str) -> str:
        return f"sum by (provider) (rate(moneypath_webhooks_total{{{only}{PROVIDER}}}[5m]))"

    ours = rate('result=~"applied|duplicate", ')
    return Panel(
        "Webhooks accepted",
        Kind.TIMESERIES,
        "Share of what came in a provider's name. Signed badly: a key that one side changed alone, a clock "
        "that is off, or a forger. Signed well, but no payment of ours: the settlement report says it too.",
        (
            Query(f"provider:webhook_signatures:ratio_rate5m{{{PROVIDER}}}", "{{provider}} signed well"),
            Query(f"{ours} / ({rate('')} > 0)", "{{provider}} about a payment of ours"),
        ),
        width=6,
        unit="percentunit",
        least=0,
        most=1,
        steps=at_least(limits.fires_at(REFUSED, Mark.FIXED)),
        watches=(REFUSED,),
    )


def _money(limits: Limits) -> Panel:
    def minor_units(only: str) -> str:
        held = f"moneypath_reconciliation_break_minor_units{{{only}, {PROVIDER}}}"
        return f"(max by (provider, class, currency) ({held}) > 0)"

    return Panel(
        "Money in open breaks",
        Kind.TABLE,
        "One line for each provider, class and currency with money in an open difference, in major units. "
        "Quote it to the provider; above the threshold in the runbook, compliance decides whether to notify.",
        (amounts.table_query(limits.path, minor_units, quiet=_AGREED),),
        width=12,
        height=6,
        watches=(MISMATCH,),
        columns={"provider": "Provider", "class": "Class", "currency": "Currency"},
        no_value="No difference is open.",
    )


def _oldest() -> Panel:
    found = f"min by (class) (moneypath_reconciliation_oldest_break_timestamp_seconds{{{PROVIDER}}})"
    return Panel(
        "Oldest open break",
        Kind.STAT,
        "For how long the oldest difference of each class has been open.",
        (Query(f"time() - {found}", "{{class}}", instant=True, quiet=_AGREED),),
        width=6,
        height=6,
        unit="s",
        decimals=0,
        watches=(MISMATCH,),
        no_value="none",
    )


def _due() -> Panel:
    due = f"max by (provider) (moneypath_settlement_due_timestamp_seconds{{{PROVIDER}}})"
    return Panel(
        "Next report is due in",
        Kind.STAT,
        "Time left until the provider's next settlement report has to be there; below 0 it is overdue, and "
        "money goes unchecked until it comes.",
        (Query(f"{due} - time()", "{{provider}}", instant=True),),
        width=6,
        height=6,
        unit="s",
        decimals=0,
        steps=at_least(0.0),
        watches=(LATE,),
        no_value="not known",
    )
