"""The test cases that only availability has: outcomes, drained providers, total outages."""

from collections.abc import Iterator
from fractions import Fraction

from moneypath.alerting.conventions import MONEY_AT_RISK
from moneypath.alerting.promtool_tests import series_cases
from moneypath.alerting.promtool_tests.case import AlertsAt, Case, ValueAt, gauge, series
from moneypath.alerting.promtool_tests.ratio_alert import FILLING_SECONDS, RatioAlert
from moneypath.alerting.promtool_tests.traffic import BUSY, Phase, payments, routing, technical
from moneypath.alerting.recorded import HARD_DOWN_SECONDS
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, Traffic


def counting_cases(tested: RatioAlert, slo: AvailabilitySlo) -> Iterator[Case]:
    """Yield which events count as bad, which do not count, and whose failure it is."""
    if slo.counted:
        yield from series_cases.counting_cases(tested, slo.counted)
    else:
        yield from _payment_cases(tested, slo)
    if tested.is_kept_apart:
        yield from _unrouted_cases(tested, slo)
    if tested.is_kept_apart and len(tested.providers) > 1:
        yield from _whole_path_cases(tested, slo)
        yield from _everywhere_cases(tested, slo)


def _payment_cases(tested: RatioAlert, slo: AvailabilitySlo) -> Iterator[Case]:
    provider, seconds = tested.provider, FILLING_SECONDS
    strong = Phase(seconds, bad=tested.strong)
    quiet, fires = (tested.quiet_at(seconds),), (tested.fires_at(seconds),)
    for outcome in slo.bad_outcomes:
        yield Case(
            f"counts {outcome} as bad",
            payments(tested.job, slo, provider, strong, bad_outcome=outcome),
            fires,
        )
    for outcome in slo.excluded_outcomes:
        yield Case(
            f"does not count {outcome}",
            payments(tested.job, slo, provider, strong, bad_outcome=outcome),
            quiet,
        )
    canary = payments(tested.job, slo, provider, strong, kind=Traffic.CANARY)
    yield Case(
        "does not count failing canaries", canary | payments(tested.job, slo, provider, Phase(seconds)), quiet
    )
    if slo.bad_results:
        yield Case(
            "counts technical declines as bad",
            technical(tested.job, slo, tested.catalogue, provider, strong),
            fires,
        )
        yield Case(
            "does not page for technical declines of canaries alone",
            technical(tested.job, slo, tested.catalogue, provider, strong, declined=False),
            quiet,
        )


def _unrouted_cases(tested: RatioAlert, slo: AvailabilitySlo) -> Iterator[Case]:
    """Yield what fails before a provider is chosen, which is a share of all payments."""
    provider, seconds = tested.provider, FILLING_SECONDS
    share = tested.strong
    unrouted = payments(tested.job, slo, NO_PROVIDER, Phase(seconds, rate=BUSY * share, bad=Fraction(1)))
    yield Case(
        "sets failures without a provider against all traffic, and fires for a large share of it",
        payments(tested.job, slo, provider, Phase(seconds, rate=BUSY * (1 - share))) | unrouted,
        (AlertsAt(seconds, ({"provider": NO_PROVIDER},)),),
    )
    few = payments(
        tested.job, slo, NO_PROVIDER, Phase(seconds, rate=BUSY * tested.limit / 2, bad=Fraction(1))
    )
    yield Case(
        "stays quiet when few payments fail without a provider",
        payments(tested.job, slo, provider, Phase(seconds)) | few,
        (tested.quiet_at(seconds),),
    )


def _whole_path_cases(tested: RatioAlert, slo: AvailabilitySlo) -> Iterator[Case]:
    """Yield what the whole path reads when its providers are unequal: each payment counts once."""
    small, large, seconds = tested.providers[0], tested.providers[1], FILLING_SECONDS
    tenth, rest, all_bad = BUSY / 10, BUSY * 9 / 10, Fraction(1)
    down = payments(tested.job, slo, small, Phase(seconds, rate=tenth, bad=all_bad))
    well = payments(tested.job, slo, large, Phase(seconds, rate=rest))
    unrouted = payments(tested.job, slo, NO_PROVIDER, Phase(seconds, rate=tenth, bad=all_bad))
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
            down | payments(tested.job, slo, large, Phase(seconds, rate=rest, bad=all_bad)),
            (none_fires,),
            all_bad,
        ),
        (
            "what fails without a provider is a part of it, once",
            well | payments(tested.job, slo, small, Phase(seconds, rate=tenth)) | unrouted,
            (none_fires,) if above else (),
            Fraction(1, 11),
        ),
    ):
        read = ValueAt(
            seconds, f"round({tested.short.whole_ratio}, 0.0001)", round(share * 10_000) / Fraction(10_000)
        )
        yield Case(f"the whole path: {title}", events, (AlertsAt(seconds, firing),), (read,))


def _everywhere_cases(tested: RatioAlert, slo: AvailabilitySlo) -> Iterator[Case]:
    """Yield when a failure at two providers is one of ours, and when it is each provider's own."""
    one, other, share, window = tested.providers[0], tested.providers[1], tested.strong, tested.short_seconds
    ours = ({"provider": NO_PROVIDER},)
    only, both = ({"provider": one},), ({"provider": one}, {"provider": other})
    # Both well for as long as the window is; then this many events and this share of bad ones at each.
    lead, seconds = window, FILLING_SECONDS

    def at_both(first: Phase, second: Phase) -> dict[str, str]:
        return payments(tested.job, slo, one, Phase(lead, rate=first.rate), first) | payments(
            tested.job, slo, other, Phase(lead, rate=second.rate), second
        )

    few = Fraction(tested.floor + 5, window)
    hardly = Fraction(2, window)
    is_hard_down = tested.long_seconds == tested.short_seconds
    for title, events, firing in (
        (
            "is ours when no provider is well",
            at_both(Phase(seconds, bad=share), Phase(seconds, rate=BUSY / 10, bad=Fraction(1))),
            ours,
        ),
        (
            "is ours when no provider is well, on few events",
            at_both(Phase(seconds, rate=few, bad=Fraction(1)), Phase(seconds, rate=few, bad=Fraction(1))),
            ours,
        ),
        (
            "is the provider's beside one that is a little bad at all times",
            at_both(Phase(seconds, bad=share), Phase(seconds, bad=tested.limit / 2)),
            only,
        ),
        (
            "is the provider's beside a stray failure of one with hardly any traffic",
            at_both(Phase(window, bad=Fraction(1)), Phase(window, rate=hardly, bad=Fraction(3, 4))),
            only if is_hard_down else both,
        ),
        (
            "is the provider's when the other one is drained",
            at_both(Phase(seconds, bad=share), Phase(seconds, bad=share))
            | routing(tested.worker, other, (0, lead + seconds)),
            only,
        ),
    ):
        at = lead + (window if "stray" in title else seconds)
        yield Case(title, events, (AlertsAt(at, firing),))
    # One fails before the other, and is well before it.
    turn = max(window, seconds)
    well, broken = Phase(turn), Phase(turn, bad=Fraction(1))
    yield Case(
        "takes the place of what was named before, and gives it back",
        payments(tested.job, slo, one, well, broken, broken, well, well)
        | payments(tested.job, slo, other, well, well, broken, broken, well),
        (
            AlertsAt(2 * turn, only),
            AlertsAt(3 * turn, ours),
            AlertsAt(4 * turn, ({"provider": other},)),
            tested.quiet_at(5 * turn),
        ),
    )
    # What was ours stays until there is evidence: nobody is well only because nobody pays.
    silent = Phase(2 * turn, rate=Fraction(0))
    yield Case(
        "does not end because nobody pays any more",
        payments(tested.job, slo, one, well, broken, silent)
        | payments(tested.job, slo, other, well, broken, silent),
        (AlertsAt(2 * turn, ours), AlertsAt(4 * turn, ours)),
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
