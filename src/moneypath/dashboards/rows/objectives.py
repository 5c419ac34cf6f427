"""A panel for each objective: latency against its threshold, the good share of events."""

from collections.abc import Iterator

from moneypath.alerting.business_metrics import LEDGER_SERIES, objective_words
from moneypath.alerting.latency_sli import QUANTILES
from moneypath.alerting.matchers import selector
from moneypath.alerting.recorded import good_share_series, quantile_series
from moneypath.dashboards.model import Panel, PanelKind, Query, Row
from moneypath.dashboards.thresholds import Thresholds, at_least, at_most
from moneypath.path.objectives import EventsSlo, LatencySlo
from moneypath.telemetry.catalogue.vocabulary import Operation


def objectives(thresholds: Thresholds) -> Row:
    """Return the objectives that no other row shows; the row may be empty."""
    latency = (slo for slo in thresholds.latency_slos() if not _times_authorizations(slo))
    events = (slo for slo in thresholds.events_slos() if slo.series not in LEDGER_SERIES)
    return Row(
        "Other objectives",
        (
            *(_latency(slo, thresholds) for slo in latency),
            *(_good_share(slo, thresholds) for slo in events),
        ),
    )


def authorization_latency(thresholds: Thresholds) -> Iterator[Panel]:
    """Yield a panel for each objective on the latency of authorizations."""
    for slo in thresholds.latency_slos():
        if _times_authorizations(slo):
            yield _latency(slo, thresholds)


def _times_authorizations(slo: LatencySlo) -> bool:
    return any(
        match.label == "operation" and Operation.AUTHORIZE in match.values for match in slo.histogram.select
    )


def _latency(slo: LatencySlo, thresholds: Thresholds) -> Panel:
    buckets = f"{slo.histogram.series}_bucket{selector(slo.histogram.select)}"
    median = f"histogram_quantile(0.5, sum by (le) (rate({buckets}[$__rate_interval])))"
    return Panel(
        objective_words(slo).capitalize(),
        PanelKind.TIMESERIES,
        "Time-outs are included, so an outage shows here too. The median tells whether everything is slow "
        "or only the tail; the red line is the objective.",
        (
            *(Query(quantile_series(slo, percent), f"p{percent}") for percent in reversed(QUANTILES)),
            Query(median, "median"),
        ),
        width=8,
        unit="s",
        min_value=0,
        steps=at_most(float(slo.threshold_seconds)),
        alerts=thresholds.slo_alerts(slo),
    )


def _good_share(slo: EventsSlo, thresholds: Thresholds) -> Panel:
    return Panel(
        objective_words(slo).capitalize(),
        PanelKind.TIMESERIES,
        f"{slo.title}: share of good events of the last 5 minutes. Below the red line the error budget is "
        "spent faster than it comes back.",
        (Query(good_share_series(slo), "good", empty_when="there was no such event in five minutes"),),
        width=8,
        height=7,
        unit="percentunit",
        max_value=1,
        steps=at_least(float(slo.objective)),
        alerts=thresholds.slo_alerts(slo),
    )
