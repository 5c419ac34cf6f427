"""The promtool cases that burn and hard-down alerts share: onset, boundary, resets, end on evidence."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from moneypath.alerting.leaf import Alert
from moneypath.alerting.promtests.case import STEP_SECONDS, Case, Moment, Sample
from moneypath.alerting.promtests.traffic import BUSY, Phase, routing, technical, traffic
from moneypath.alerting.sli import Recorded
from moneypath.path.objectives import AvailabilitySlo
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, Traffic

PERCENT = Fraction(1, 100)

# Constant traffic needs no more before a case looks: a ratio does not wait for its window to fill.
FILLING_SECONDS = 120


@dataclass(frozen=True, slots=True)
class RatioAlert:
    """An alert on a share of bad events: fires above `limit`, ends on `floor` events in the short window."""

    alert: Alert
    slo: AvailabilitySlo
    provider: str
    other: str | None
    limit: Fraction
    onset_ratio: Fraction
    long_seconds: int
    short: Recorded
    floor: int

    @property
    def short_seconds(self) -> int:
        """Return the short window."""
        return int(self.short.span.value)

    @property
    def strong(self) -> Fraction:
        """Return a share of bad events that is clearly too high."""
        return min(self.limit * 10, (1 + self.limit) / 2)


def cases(tested: RatioAlert) -> tuple[Case, ...]:
    """Return the cases of an alert on a ratio."""
    return (
        *_beginning(tested),
        *_counting(tested),
        *_broken_input(tested),
        *_drained(tested),
        *_ending(tested),
    )


def _at(seconds: int, *providers: str) -> Moment:
    return Moment(seconds, tuple({"provider": provider} for provider in providers))


def _steady(tested: RatioAlert, title: str, ratio: Fraction, *, fires: bool) -> Case:
    seen = (tested.provider,) if fires else ()
    return Case(
        title,
        traffic(tested.slo, tested.provider, Phase(FILLING_SECONDS, bad=ratio)),
        (_at(FILLING_SECONDS, *seen),),
    )


def _beginning(tested: RatioAlert) -> Iterator[Case]:
    healthy = tested.long_seconds
    part = tested.limit * tested.long_seconds / tested.onset_ratio
    before = int(part // STEP_SECONDS) * STEP_SECONDS - 2 * STEP_SECONDS
    after = int(part // STEP_SECONDS) * STEP_SECONDS + 3 * STEP_SECONDS
    phases = (Phase(healthy), Phase(after + STEP_SECONDS, bad=tested.onset_ratio))
    series = traffic(tested.slo, tested.provider, *phases)
    if tested.other:
        series |= traffic(tested.slo, tested.other, Phase(healthy + after + STEP_SECONDS))
    yield Case(
        "fires within its worst case, not before, and for the failing provider alone",
        series,
        (_at(healthy + before), _at(healthy + after, tested.provider)),
        (Sample(healthy, f'sum({tested.short.ratio}{{provider="{tested.provider}"}})', Fraction(0)),),
    )
    yield _steady(tested, "stays quiet at half the threshold", tested.limit / 2, fires=False)
    yield _steady(tested, "stays quiet just under the threshold", tested.limit * (1 - PERCENT), fires=False)
    yield _steady(tested, "fires just over the threshold", tested.limit * (1 + PERCENT), fires=True)


def _counting(tested: RatioAlert) -> Iterator[Case]:
    slo, provider, seconds = tested.slo, tested.provider, FILLING_SECONDS
    strong = Phase(seconds, bad=tested.strong)
    quiet, loud = (_at(seconds),), (_at(seconds, provider),)
    for outcome in slo.bad_outcomes:
        yield Case(f"counts {outcome} as bad", traffic(slo, provider, strong, outcome=outcome), loud)
    for outcome in slo.excluded_outcomes:
        yield Case(f"does not count {outcome}", traffic(slo, provider, strong, outcome=outcome), quiet)
    canary = traffic(slo, provider, strong, kind=Traffic.CANARY)
    yield Case("does not count failing canaries", canary | traffic(slo, provider, Phase(seconds)), quiet)
    if slo.bad_results:
        yield Case("counts technical declines as bad", technical(slo, provider, strong), loud)
        yield Case(
            "does not page for technical declines of canaries alone",
            technical(slo, provider, strong, declined=False),
            quiet,
        )
    # Everything fails before a provider is chosen, for a share of all payments.
    share = tested.strong
    unrouted = traffic(slo, NO_PROVIDER, Phase(seconds, rate=BUSY * share, bad=Fraction(1)))
    yield Case(
        "sets failures without a provider against all traffic, and fires for a large share of it",
        traffic(slo, provider, Phase(seconds, rate=BUSY * (1 - share))) | unrouted,
        (_at(seconds, NO_PROVIDER),),
    )
    few = traffic(slo, NO_PROVIDER, Phase(seconds, rate=BUSY * tested.limit / 2, bad=Fraction(1)))
    yield Case(
        "stays quiet when few payments fail without a provider",
        traffic(slo, provider, Phase(seconds)) | few,
        quiet,
    )


def _broken_input(tested: RatioAlert) -> Iterator[Case]:
    slo, provider, seconds = tested.slo, tested.provider, FILLING_SECONDS
    yield Case(
        "is silent without any payments, and so is its ratio: the guards speak then",
        routing(provider, (1, seconds)),
        (_at(seconds),),
        (Sample(seconds, f"count({tested.short.ratio})", None),),
    )
    idle = traffic(slo, provider, Phase(seconds, rate=Fraction(0)))
    yield Case(
        "gives no ratio for zero traffic instead of 0/0",
        idle,
        (_at(seconds),),
        (Sample(seconds, f"count({tested.short.ratio})", None),),
    )
    restarts = tuple(Phase(seconds // 4, reset=True) for _ in range(4))
    negative = f"count({tested.short.valid} < 0) or count({tested.short.bad} < 0)"
    yield Case(
        "takes restarted counters for what they are",
        traffic(slo, provider, *restarts),
        (_at(seconds),),
        (Sample(seconds, negative, None), Sample(seconds // 4 + STEP_SECONDS, negative, None)),
    )
    failing = tuple(Phase(seconds // 4, bad=tested.strong, reset=True) for _ in range(4))
    yield Case(
        "fires although the failing process keeps restarting",
        traffic(slo, provider, *failing),
        (_at(seconds, provider),),
    )


def _drained(tested: RatioAlert) -> Iterator[Case]:
    seconds = FILLING_SECONDS
    failing = traffic(tested.slo, tested.provider, Phase(seconds, bad=tested.strong))
    yield Case(
        "does not begin for a provider that is drained: its last answers are its slow failures",
        failing | routing(tested.provider, (0, seconds)),
        (_at(seconds),),
    )
    yield Case(
        "begins for a provider that is routed to",
        failing | routing(tested.provider, (1, seconds)),
        (_at(seconds, tested.provider),),
    )


def _ending(tested: RatioAlert) -> Iterator[Case]:
    slo, provider = tested.slo, tested.provider
    onset, later = FILLING_SECONDS, FILLING_SECONDS + tested.short_seconds + 120
    rest = later - onset
    outage = Phase(onset, bad=tested.strong)
    firing, still = _at(onset, provider), _at(later, provider)
    ended = _at(later)
    none = Phase(rest, rate=Fraction(0))
    yield Case(
        "does not end because the provider was drained",
        traffic(slo, provider, outage, none) | routing(provider, (1, onset), (0, rest)),
        (firing, still),
    )
    yield Case(
        "does not end on stray successes while the provider is drained",
        traffic(slo, provider, outage, Phase(rest)) | routing(provider, (1, onset), (0, rest)),
        (firing, still),
    )
    yield Case(
        "does not end by silence",
        traffic(slo, provider, outage, none) | routing(provider, (1, later)),
        (firing, still),
    )
    yield Case(
        "ends when healthy traffic flows",
        traffic(slo, provider, outage, Phase(rest)) | routing(provider, (1, later)),
        (firing, ended),
    )
    yield Case(
        "ends when healthy traffic flows after the provider was restored",
        traffic(slo, provider, outage, none, Phase(rest))
        | routing(provider, (1, onset), (0, rest), (1, rest)),
        (firing, still, _at(later + rest)),
    )
    per_second = Fraction(tested.floor, tested.short_seconds)
    for title, factor, end in (
        ("does not end on a handful of good payments", Fraction(1, 2), still),
        ("ends on little traffic, as long as it is over the floor", Fraction(4), ended),
    ):
        trickle = Phase(rest, rate=per_second * factor)
        yield Case(
            title,
            traffic(slo, provider, outage, trickle) | routing(provider, (1, later)),
            (firing, end),
        )
