"""Authorizations: how many, how good, how fast, at which provider."""

from collections.abc import Iterator

from moneypath.alerting.availability_sli import PAYMENTS, RESULTS
from moneypath.alerting.counter_guards import ratio_recorded
from moneypath.alerting.recorded import TRAFFIC_SECONDS, WHOLE_PATH, event_words, kept_apart_by, recorded
from moneypath.alerting.rules import LiteralKind
from moneypath.alerting.series_sli import valid_selector
from moneypath.alerting.slo_alerts import hard_down_name, sentence_case, traffic_missing_name
from moneypath.dashboards.amounts import CURRENCY, PROVIDER
from moneypath.dashboards.model import Colour, FieldOverride, Panel, PanelKind, Query, Row, ValueMapping
from moneypath.dashboards.rows.objectives import authorization_latency
from moneypath.dashboards.thresholds import Thresholds, at_least, at_most
from moneypath.path.exported import family_of_events
from moneypath.path.objectives import AvailabilitySlo
from moneypath.path.series_events import ResolvedEvents

SIGNALS = "moneypath_risk_signals_total"
_OUTCOMES = {
    "succeeded": "green",
    "declined": "blue",
    "rejected": "#8e8e8e",
    "blocked": "purple",
    "shed": "yellow",
    "failed": "red",
    "indeterminate": "dark-red",
}
_RESULTS = {
    "approved": "green",
    "soft_decline": "light-blue",
    "hard_decline": "blue",
    "fraud_decline": "purple",
    "technical_decline": "red",
}


def authorizations(thresholds: Thresholds) -> Row:
    """Return the row on authorizations."""
    return Row(
        "Authorizations",
        (
            *_outcomes(thresholds),
            *_bad_share(thresholds),
            *authorization_latency(thresholds),
            *_approval(thresholds),
            _results(thresholds),
            _providers(thresholds),
            _risk(thresholds),
        ),
    )


def _outcomes(thresholds: Thresholds) -> Iterator[Panel]:
    path = thresholds.path
    for slo in path.availability_slos():
        if slo.counted:
            yield from _events(thresholds, slo, slo.counted)
            continue
        live = f'operation="{slo.operation}", traffic="live", {PROVIDER}'
        rate = f"sum by (outcome) (rate({PAYMENTS}{{{live}}}[$__rate_interval]))"
        yield Panel(
            f"Live {event_words(slo)} by outcome",
            PanelKind.TIMESERIES,
            "How many a second, and how they ended. Declined is a correct answer of the issuer; failed, "
            "indeterminate and shed are not. Nothing at all is the worst picture of all: look at the targets "
            "in the last row.",
            (Query(rate, "{{outcome}}"),),
            width=8,
            unit="reqps",
            min_value=0,
            stacked=True,
            alerts=(traffic_missing_name(path, slo),) if slo.traffic else (),
            overrides={name: FieldOverride(colour=colour) for name, colour in _OUTCOMES.items()},
        )


def _events(thresholds: Thresholds, slo: AvailabilitySlo, counted: ResolvedEvents) -> Iterator[Panel]:
    """Yield a panel of the events of a declared series, and one by currency if a label names it."""
    path, words = thresholds.path, event_words(slo)
    told = (*counted.good, *counted.bad)[0].label
    currency = path.series[family_of_events(path, counted.series)].roles.currency
    for by, title in ((told, told), *(((currency, "currency"),) if currency else ())):
        rate = f"sum by ({by}) (rate({valid_selector(counted)}[$__rate_interval]))"
        yield Panel(
            f"{sentence_case(words)} by {title}",
            PanelKind.TIMESERIES,
            "How many a second, as the services count them. Nothing at all is the worst picture of all: look "
            "at the targets in the last row.",
            (Query(rate, f"{{{{{by}}}}}"),),
            width=8,
            unit="reqps",
            min_value=0,
            stacked=True,
            alerts=(traffic_missing_name(path, slo),) if slo.traffic else (),
        )


def _bad_share(thresholds: Thresholds) -> Iterator[Panel]:
    for slo in thresholds.path.availability_slos():
        words, ratio = event_words(slo), recorded(slo, TRAFFIC_SECONDS).ratio
        title, meaning, query = f"Bad {words}", "", Query(ratio, "bad")
        if kept_apart_by(slo):
            title, query = f"Bad {words} by provider", Query(f"{ratio}{{{PROVIDER}}}", "{{provider}}")
            meaning = (
                "One line up and the others flat: drain that provider. `none` is payments that reached no "
                "provider. "
            )
        yield Panel(
            title,
            PanelKind.TIMESERIES,
            f"Share of bad answers among valid {words} of 5 minutes. {meaning}The red line is where "
            f"{'the provider' if meaning else 'the service'} counts as down.",
            (query,),
            width=8,
            unit="percentunit",
            min_value=0,
            steps=at_most(float(slo.hard_down.bad_share) if slo.hard_down else None),
            alerts=thresholds.slo_alerts(slo),
        )


def _approval(thresholds: Thresholds) -> Iterator[Panel]:
    catalogue = thresholds.path.known_metrics()
    for guard in thresholds.ratio_guards(RESULTS):
        by_member = ratio_recorded(guard, catalogue, guard.by or WHOLE_PATH).ratio
        whole = Query(ratio_recorded(guard, catalogue, WHOLE_PATH).ratio, "whole path")
        apart = Query(f"{by_member}{{{PROVIDER}}}", "{{provider}}")
        yield Panel(
            "Approval rate",
            PanelKind.TIMESERIES,
            "Approved among answered authorizations of 5 minutes. One provider down: route round it. All of "
            "them down at once: a change of ours, an issuer, or an attack; look at the results and at the "
            "risk signals.",
            (apart, whole) if guard.by == "provider" else (whole,),
            width=6,
            unit="percentunit",
            max_value=1,
            steps=at_least(float(guard.limit)),
            alerts=(guard.alert,),
        )


def _results(thresholds: Thresholds) -> Panel:
    answers = f"moneypath_authorization_results_total{{{PROVIDER}, {CURRENCY}}}"
    return Panel(
        "Results by class",
        PanelKind.TIMESERIES,
        "What issuers and networks said. Technical declines are the provider's own failure; fraud declines "
        "that rise with traffic from few cards are card testing; soft declines may be tried again, hard "
        "ones may not.",
        (Query(f"sum by (result) (rate({answers}[$__rate_interval]))", "{{result}}"),),
        width=6,
        unit="reqps",
        min_value=0,
        stacked=True,
        alerts=thresholds.alerts_on(RESULTS),
        overrides={name: FieldOverride(colour=colour) for name, colour in _RESULTS.items()},
    )


def _providers(thresholds: Thresholds) -> Panel:
    return Panel(
        "Providers in use",
        PanelKind.STATE_TIMELINE,
        "`routed` is out while somebody has drained the provider; `circuit` is out while its calls fail "
        "fast. A drained provider is not a healthy one: its alerts are silent because it has no traffic.",
        (
            Query(
                f"max by (provider) (moneypath_provider_routing_active{{{PROVIDER}}})", "{{provider}} routed"
            ),
            Query(
                f"1 - max by (provider) (moneypath_provider_circuit_open{{{PROVIDER}}})",
                "{{provider}} circuit",
            ),
        ),
        width=6,
        value_mappings=(ValueMapping(1, "in use", Colour.GOOD), ValueMapping(0, "out", Colour.BAD)),
        alerts=tuple(
            hard_down_name(thresholds.path, slo)
            for slo in thresholds.path.availability_slos()
            if slo.hard_down
        ),
    )


def _risk(thresholds: Thresholds) -> Panel:
    return Panel(
        "Risk signals in 5 minutes",
        PanelKind.TIMESERIES,
        "How often a rule of risk found an authorization suspicious, and how many were blocked. A burst of "
        "card testing costs fees and reputation within minutes: block the card range.",
        (
            Query(f"sum by (rule) (increase({SIGNALS}[5m]))", "{{rule}}"),
            Query('sum(increase(moneypath_risk_decisions_total{decision="blocked"}[5m]))', "blocked"),
        ),
        width=6,
        decimals=0,
        min_value=0,
        steps=at_most(thresholds.fires_at(SIGNALS, LiteralKind.COUNT)),
        alerts=thresholds.alerts_on(SIGNALS),
    )
