"""Reconciliation: how far it has come, and what it found."""

from collections.abc import Iterator

from moneypath.alerting.business_metrics import BREAKS, WATERMARK
from moneypath.alerting.counter_guards import ratio_recorded
from moneypath.alerting.gauge_guards import age_series
from moneypath.alerting.recorded import WHOLE_PATH
from moneypath.dashboards import amounts
from moneypath.dashboards.amounts import PROVIDER
from moneypath.dashboards.model import FieldOverride, Panel, PanelKind, Query, Row
from moneypath.dashboards.thresholds import Thresholds, at_least, at_most

DUE = "moneypath_settlement_due_timestamp_seconds"
WEBHOOKS = "moneypath_webhooks_total"
_AGREED = "ledger and settlement reports agree, so no difference is open"


def reconciliation(thresholds: Thresholds) -> Row:
    """Return the row on reconciliation."""
    return Row(
        "Reconciliation",
        (
            *_lag(thresholds),
            _breaks(thresholds),
            _reports(thresholds),
            *_webhooks(thresholds),
            _money(thresholds),
            _oldest(thresholds),
            _due(thresholds),
            _strangers(),
        ),
    )


def _lag(thresholds: Thresholds) -> Iterator[Panel]:
    catalogue = thresholds.path.known_metrics()
    stale = [check.alerts.stale for check in thresholds.path.checks if BREAKS in check.series]
    for guard in thresholds.age_guards(WATERMARK):
        yield Panel(
            "Lag by provider",
            PanelKind.TIMESERIES,
            "Age of the moment up to which everything is reconciled. A line that climbs as fast as the clock "
            "is a worker that is stuck or a report that does not come: compare with the reports beside.",
            (Query(f"{age_series(guard, catalogue)}{{{PROVIDER}}}", "{{provider}}"),),
            width=6,
            unit="s",
            min_value=0,
            steps=at_most(float(guard.older_than_seconds)),
            alerts=(guard.alert, *stale),
        )


def _breaks(thresholds: Thresholds) -> Panel:
    open_now = f"max by (provider, class) ({BREAKS}{{{PROVIDER}}})"
    return Panel(
        "Open breaks by class",
        PanelKind.TIMESERIES,
        "`missing_ours`: they settled what we never posted. `missing_theirs`: we posted what they do not "
        "settle. `duplicate`: they settled twice, so a customer may be out of pocket. Many at once in one "
        "report is a bad report; few is bad money.",
        (Query(f"sum by (class) ({open_now})", "{{class}}"),),
        width=6,
        decimals=0,
        min_value=0,
        stacked=True,
        alerts=thresholds.alerts_on(BREAKS),
    )


def _reports(thresholds: Thresholds) -> Panel:
    files = f"moneypath_settlement_files_total{{{PROVIDER}}}"
    return Panel(
        "Settlement reports by result",
        PanelKind.TIMESERIES,
        "What became of the reports that were fetched. `invalid` is torn or contradicts itself and is "
        "fetched again; `late` came after it was due; `replayed` was corrected by the provider and read "
        "again.",
        (Query(f"sum by (result) (increase({files}[$__rate_interval]))", "{{result}}"),),
        width=6,
        min_value=0,
        stacked=True,
        alerts=thresholds.alerts_on(DUE, BREAKS),
        overrides={
            "invalid": FieldOverride(colour="red"),
            "late": FieldOverride(colour="orange"),
            "accepted": FieldOverride(colour="green"),
        },
    )


def _webhooks(thresholds: Thresholds) -> Iterator[Panel]:
    def rate(only: str) -> str:
        return f"sum by (provider) (rate({WEBHOOKS}{{{only}{PROVIDER}}}[5m]))"

    ours = rate('result=~"applied|duplicate", ')
    catalogue = thresholds.path.known_metrics()
    for guard in thresholds.ratio_guards(WEBHOOKS):
        signed_well = ratio_recorded(guard, catalogue, guard.by or WHOLE_PATH).ratio
        yield Panel(
            "Webhooks accepted",
            PanelKind.TIMESERIES,
            "Share of what came from a provider, or named a key of it. Signed badly: a key that one side "
            "changed alone, a clock that is off, or a forger. Signed well, but no payment of ours: the "
            "settlement report says it too.",
            (
                Query(f"{signed_well}{{{PROVIDER}}}", "{{provider}} signed well"),
                Query(f"{ours} / ({rate('')} > 0)", "{{provider}} about a payment of ours"),
            ),
            width=6,
            unit="percentunit",
            min_value=0,
            max_value=1,
            steps=at_least(float(guard.limit)),
            alerts=(guard.alert,),
        )


def _money(thresholds: Thresholds) -> Panel:
    def minor_units(only: str) -> str:
        held = f"moneypath_reconciliation_break_minor_units{{{only}, {PROVIDER}}}"
        return f"(max by (provider, class, currency) ({held}) > 0)"

    return Panel(
        "Money in open breaks",
        PanelKind.TABLE,
        "One line for each provider, class and currency with money in an open difference, in major units. "
        "Quote it to the provider; above the threshold in the runbook, compliance decides whether to notify.",
        (amounts.table_query(thresholds.path, minor_units, empty_when=_AGREED),),
        width=12,
        height=6,
        alerts=thresholds.alerts_on(BREAKS),
        columns={"provider": "Provider", "class": "Class", "currency": "Currency"},
        no_value="No difference is open.",
    )


def _oldest(thresholds: Thresholds) -> Panel:
    found = f"min by (class) (moneypath_reconciliation_oldest_break_timestamp_seconds{{{PROVIDER}}})"
    return Panel(
        "Oldest open break",
        PanelKind.STAT,
        "For how long the oldest difference of each class has been open.",
        (Query(f"time() - {found}", "{{class}}", instant=True, empty_when=_AGREED),),
        width=6,
        height=6,
        unit="s",
        decimals=0,
        alerts=thresholds.alerts_on(BREAKS),
        no_value="none",
    )


def _due(thresholds: Thresholds) -> Panel:
    due = f"max by (provider) ({DUE}{{{PROVIDER}}})"
    return Panel(
        "Next report is due in",
        PanelKind.STAT,
        "Time left until the provider's next settlement report has to be there; below 0 it is overdue, and "
        "money goes unchecked until it comes.",
        (Query(f"{due} - time()", "{{provider}}", instant=True),),
        width=6,
        height=6,
        unit="s",
        decimals=0,
        steps=at_least(0.0),
        alerts=thresholds.alerts_on(DUE),
        no_value="not known",
    )


def _strangers() -> Panel:
    strangers = f"moneypath_webhooks_unattributed_total{{{PROVIDER}}}"
    return Panel(
        "Webhooks of strangers",
        PanelKind.TIMESERIES,
        "Refused webhooks that name no key of the provider and come from none of its networks, each second. "
        "Nobody is paged for them. `unknown_key` while fewer webhooks are accepted may be a provider "
        "that signs with a new key: ask it, and declare its networks.",
        (
            Query(
                f"sum by (provider, reason) (rate({strangers}[$__rate_interval]))", "{{provider}} {{reason}}"
            ),
        ),
        width=24,
        height=6,
        unit="reqps",
        min_value=0,
    )
