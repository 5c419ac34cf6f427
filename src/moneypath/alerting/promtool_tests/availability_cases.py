"""The test cases that only availability has: outcomes, drained providers, total outages."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from moneypath.alerting.conventions import MONEY_AT_RISK
from moneypath.alerting.promtool_tests.case import AlertsAt, Case, ValueAt, gauge, series
from moneypath.alerting.promtool_tests.ratio_alert import FILLING_SECONDS, RatioAlert
from moneypath.alerting.promtool_tests.traffic import BUSY, Phase, payments, routing, technical
from moneypath.alerting.recorded import HARD_DOWN_SECONDS
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, Traffic


def counting_cases(tested: RatioAlert, slo: AvailabilitySlo) -> Iterator[Case]:
    """Yield which payments count as bad, and which do not count."""
    provider, seconds = tested.provider, FILLING_SECONDS
    strong = Phase(seconds, bad=tested.strong)
    quiet, fires = (tested.quiet_at(seconds),), (tested.fires_at(seconds),)
    for outcome in slo.bad_outcomes:
        yield Case(f"counts {outcome} as bad", payments(slo, provider, strong, bad_outcome=outcome), fires)
    for outcome in slo.excluded_outcomes:
        yield Case(f"does not count {outcome}", payments(slo, provider, strong, bad_outcome=outcome), quiet)
    canary = payments(slo, provider, strong, kind=Traffic.CANARY)
    yield Case("does not count failing canaries", canary | payments(slo, provider, Phase(seconds)), quiet)
    if slo.bad_results:
        yield Case("counts technical declines as bad", technical(slo, provider, strong), fires)
        yield Case(
            "does not page for technical declines of canaries alone",
            technical(slo, provider, strong, declined=False),
            quiet,
        )
    # Everything fails before a provider is chosen, for a share of all payments.
    share = tested.strong
    unrouted = payments(slo, NO_PROVIDER, Phase(seconds, rate=BUSY * share, bad=Fraction(1)))
    yield Case(
        "sets failures without a provider against all traffic, and fires for a large share of it",
        payments(slo, provider, Phase(seconds, rate=BUSY * (1 - share))) | unrouted,
        (AlertsAt(seconds, ({"provider": NO_PROVIDER},)),),
    )
    few = payments(slo, NO_PROVIDER, Phase(seconds, rate=BUSY * tested.limit / 2, bad=Fraction(1)))
    yield Case(
        "stays quiet when few payments fail without a provider",
        payments(slo, provider, Phase(seconds)) | few,
        quiet,
    )
    if len(tested.providers) > 1:
        yield from _whole_path_cases(tested, slo)
        yield from _alike_cases(tested, slo)


def _whole_path_cases(tested: RatioAlert, slo: AvailabilitySlo) -> Iterator[Case]:
    """Yield what the whole path reads when its providers are unequal: each payment counts once."""
    small, large, seconds = tested.providers[0], tested.providers[1], FILLING_SECONDS
    tenth, rest, all_bad = BUSY / 10, BUSY * 9 / 10, Fraction(1)
    down = payments(slo, small, Phase(seconds, rate=tenth, bad=all_bad))
    well = payments(slo, large, Phase(seconds, rate=rest))
    unrouted = payments(slo, NO_PROVIDER, Phase(seconds, rate=tenth, bad=all_bad))
    small_fires = {"provider": small}
    none_fires = {"provider": NO_PROVIDER}
    above = Fraction(1, 11) > tested.limit
    for title, events, firing, share in (
        (
            "a tenth of it fails when a provider with a tenth of it is down",
            down | well,
            (small_fires,),
            Fraction(1, 10),
        ),
        (
            "all of it fails when every provider is down",
            down | payments(slo, large, Phase(seconds, rate=rest, bad=all_bad)),
            (none_fires,),
            all_bad,
        ),
        (
            "what fails without a provider is a part of it, once",
            well | payments(slo, small, Phase(seconds, rate=tenth)) | unrouted,
            (none_fires,) if above else (),
            Fraction(1, 11),
        ),
    ):
        read = ValueAt(
            seconds, f"round({tested.short.whole_ratio}, 0.0001)", round(share * 10_000) / Fraction(10_000)
        )
        yield Case(f"the whole path: {title}", events, (AlertsAt(seconds, firing),), (read,))


def _alike_cases(tested: RatioAlert, slo: AvailabilitySlo) -> Iterator[Case]:
    """Yield when a failure at two providers is one of ours, and when it is each provider's own."""
    one, other, seconds, share = tested.providers[0], tested.providers[1], FILLING_SECONDS, tested.strong
    ours = ({"provider": NO_PROVIDER},)
    enough = Fraction(tested.floor, tested.short_seconds)

    def at_both(first: Fraction, second: Fraction, rate: Fraction, second_rate: Fraction) -> dict[str, str]:
        return payments(slo, one, Phase(seconds, rate=rate, bad=first)) | payments(
            slo, other, Phase(seconds, rate=second_rate, bad=second)
        )

    def own(second: Fraction, *, has_evidence: bool = True) -> tuple[dict[str, str], ...]:
        """Return the providers that fire for themselves."""
        counted = has_evidence or tested.long_seconds != tested.short_seconds
        fires_too = second > tested.limit and counted
        return tuple({"provider": provider} for provider in (one, other)[: 1 + fires_too])

    quarter, most = share / 4, share * 3 / 4
    for title, events, firing in (
        ("is ours when two providers fail alike", at_both(share, most, BUSY, BUSY / 10), ours),
        (
            "is the provider's when another one fails far less",
            at_both(share, quarter, BUSY, BUSY),
            own(quarter),
        ),
        (
            "is the provider's when another one has too few events to tell",
            at_both(share, share, BUSY, enough / 2),
            own(share, has_evidence=False),
        ),
        (
            "is the provider's when the other one is drained",
            at_both(share, share, BUSY, BUSY) | routing(other, (0, seconds)),
            own(Fraction(0)),
        ),
    ):
        yield Case(title, events, (AlertsAt(seconds, firing),))
    lead, few = tested.short_seconds, 3 * enough
    failing = (Phase(lead, rate=few), Phase(seconds, rate=few, bad=share))
    yield Case(
        "is ours when two providers fail alike on just enough events",
        payments(slo, one, *failing) | payments(slo, other, *failing),
        (AlertsAt(lead + seconds, ours),),
    )
    # The first provider is well again, then the other, too.
    onset, rest = seconds, tested.short_seconds + FILLING_SECONDS
    broken, still, well = Phase(onset, bad=share), Phase(rest, bad=share), Phase(rest)
    # Of the first one a tenth of the traffic, so that the whole path is not well without the other.
    small = (replace(phase, rate=BUSY / 10) for phase in (broken, well, well))
    yield Case(
        "ends when the whole path is well",
        payments(slo, one, *small) | payments(slo, other, broken, still, well),
        (
            AlertsAt(onset, ours),
            AlertsAt(onset + rest, ({"provider": other}, *ours)),
            tested.quiet_at(onset + 2 * rest),
        ),
    )


def drained_cases(tested: RatioAlert) -> Iterator[Case]:
    """Yield cases in which a drained provider neither begins nor ends an alert."""
    seconds = FILLING_SECONDS
    failing = tested.events(Phase(seconds, bad=tested.strong))
    yield Case(
        "does not begin for a provider that is drained: its last answers are its slow failures",
        failing | tested.routed((0, seconds)),
        (tested.quiet_at(seconds),),
    )
    yield Case(
        "begins for a provider that is routed to",
        failing | tested.routed((1, seconds)),
        (tested.fires_at(seconds),),
    )
    onset, rest = seconds, tested.short_seconds + 120
    outage, silence, healthy = (
        Phase(onset, bad=tested.strong),
        Phase(rest, rate=Fraction(0)),
        Phase(rest),
    )
    fires, still = tested.fires_at(onset), tested.fires_at(onset + rest)
    yield Case(
        "does not end because the provider was drained",
        tested.events(outage, silence) | tested.routed((1, onset), (0, rest)),
        (fires, still),
    )
    yield Case(
        "does not end on stray successes while the provider is drained",
        tested.events(outage, healthy) | tested.routed((1, onset), (0, rest)),
        (fires, still),
    )
    yield Case(
        "ends when healthy events flow after the provider was restored",
        tested.events(outage, silence, healthy) | tested.routed((1, onset), (0, rest), (1, rest)),
        (fires, still, tested.quiet_at(onset + 2 * rest)),
    )


def few_events_cases(tested: RatioAlert) -> Iterator[Case]:
    """Yield cases in which a total outage has too few events, and just enough."""
    for title, factor, fires in (
        ("stays quiet while there are too few events to tell", Fraction(4, 5), False),
        ("fires as soon as there are enough events", Fraction(3, 2), True),
    ):
        rate = tested.floor * factor / HARD_DOWN_SECONDS
        phase = Phase(FILLING_SECONDS, rate=rate, bad=Fraction(1))
        expected = tested.fires_at(FILLING_SECONDS) if fires else tested.quiet_at(FILLING_SECONDS)
        yield Case(title, tested.events(phase), (expected,))


def money_at_risk_case(path: MoneyPath, tested: RatioAlert) -> Case:
    """Return the case in which the page names the money at risk."""
    currency, seconds = path.reporting_currency, FILLING_SECONDS
    at_risk = {series(MONEY_AT_RISK, reason="indeterminate", currency=currency): gauge((123456, seconds))}
    money = f"Money at risk: 123456 minor units of {currency}; see the runbook."
    return Case(
        "says what it costs",
        tested.events(Phase(seconds, bad=Fraction(1))) | at_risk,
        (AlertsAt(seconds, (tested.firing,), money),),
    )
