"""Authorizations: how many, how good, how fast, and by which provider."""

from moneypath.alerting.leaf import Mark
from moneypath.dashboards.amounts import CURRENCY, PROVIDER
from moneypath.dashboards.limits import Limits, at_least, at_most
from moneypath.dashboards.model import Colour, Kind, Look, Panel, Query, Row, State

DOWN = "MoneyPathAuthorizationHardDown"
BURN = "MoneyPathAuthorizationBudgetBurn"
_LIVE = f'operation="authorize", traffic="live", {PROVIDER}'
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


def authorizations(limits: Limits) -> Row:
    """Return the row on authorizations."""
    return Row(
        "Authorizations",
        (
            _outcomes(),
            _bad_share(limits),
            _latency(limits),
            _approval(limits),
            _results(),
            _providers(),
            _risk(limits),
        ),
    )


def _outcomes() -> Panel:
    rate = f"sum by (outcome) (rate(moneypath_payments_total{{{_LIVE}}}[$__rate_interval]))"
    return Panel(
        "Live authorizations by outcome",
        Kind.TIMESERIES,
        "How many a second, and how they ended. Declined is a correct answer of the issuer; failed, "
        "indeterminate and shed are not. Nothing at all is the worst picture of all: look at the targets in "
        "the last row.",
        (Query(rate, "{{outcome}}"),),
        width=8,
        unit="reqps",
        least=0,
        stacked=True,
        watches=("MoneyPathTrafficMissing",),
        looks={name: Look(colour=colour) for name, colour in _OUTCOMES.items()},
    )


def _bad_share(limits: Limits) -> Panel:
    return Panel(
        "Bad share by provider",
        Kind.TIMESERIES,
        "Failed, indeterminate, shed and technically declined among valid authorizations of 5 minutes. One "
        "line up and the others flat: drain that provider. `none` is payments that reached no provider. The "
        "red line is where the provider counts as down.",
        (Query(f"provider:authorization_bad:ratio_rate5m{{{PROVIDER}}}", "{{provider}}"),),
        width=8,
        unit="percentunit",
        least=0,
        steps=at_most(limits.fires_at(DOWN, Mark.FIXED)),
        watches=(DOWN, BURN),
    )


def _latency(limits: Limits) -> Panel:
    live = 'operation="authorize", outcome!~"rejected|blocked"'
    buckets = f"rate(moneypath_payment_duration_seconds_bucket{{{live}}}[$__rate_interval])"
    return Panel(
        "Authorization latency",
        Kind.TIMESERIES,
        "Time-outs are included, so an outage shows here too. The median tells whether everything is slow "
        "or only the tail; the red line is the objective.",
        (
            Query("path:authorization_latency:p99_5m", "p99"),
            Query("path:authorization_latency:p95_5m", "p95"),
            Query(f"histogram_quantile(0.5, sum by (le) ({buckets}))", "median"),
        ),
        width=8,
        unit="s",
        least=0,
        steps=at_most(limits.fast_enough_seconds()),
        watches=("MoneyPathAuthorizationLatencyBurn",),
    )


def _approval(limits: Limits) -> Panel:
    return Panel(
        "Approval rate",
        Kind.TIMESERIES,
        "Approved among answered authorizations of 5 minutes. One provider down: route round it. All of "
        "them down at once: a change of ours, an issuer, or an attack; look at the results and at the risk "
        "signals.",
        (
            Query(f"provider:authorization_approval:ratio_rate5m{{{PROVIDER}}}", "{{provider}}"),
            Query("path:authorization_approval:ratio_rate5m", "whole path"),
        ),
        width=6,
        unit="percentunit",
        most=1,
        steps=at_least(limits.fires_at("MoneyPathApprovalDrop", Mark.FIXED)),
        watches=("MoneyPathApprovalDrop",),
    )


def _results() -> Panel:
    answers = f"moneypath_authorization_results_total{{{PROVIDER}, {CURRENCY}}}"
    return Panel(
        "Results by class",
        Kind.TIMESERIES,
        "What issuers and networks said. Technical declines are the provider's own failure; fraud declines "
        "that rise with traffic from few cards are card testing; soft declines may be tried again, hard "
        "ones may not.",
        (Query(f"sum by (result) (rate({answers}[$__rate_interval]))", "{{result}}"),),
        width=6,
        unit="reqps",
        least=0,
        stacked=True,
        watches=("MoneyPathApprovalDrop",),
        looks={name: Look(colour=colour) for name, colour in _RESULTS.items()},
    )


def _providers() -> Panel:
    return Panel(
        "Providers in use",
        Kind.STATES,
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
        states=(State(1, "in use", Colour.GOOD), State(0, "out", Colour.BAD)),
        watches=(DOWN,),
    )


def _risk(limits: Limits) -> Panel:
    return Panel(
        "Risk signals in 5 minutes",
        Kind.TIMESERIES,
        "How often a rule of risk found an authorization suspicious, and how many were blocked. A burst of "
        "card testing costs fees and reputation within minutes: block the card range.",
        (
            Query("sum by (rule) (increase(moneypath_risk_signals_total[5m]))", "{{rule}}"),
            Query('sum(increase(moneypath_risk_decisions_total{decision="blocked"}[5m]))', "blocked"),
        ),
        width=6,
        decimals=0,
        least=0,
        steps=at_most(limits.fires_at("MoneyPathFraudSpike", Mark.COUNT)),
        watches=("MoneyPathFraudSpike",),
    )
