"""The promtool cases of objectives over the whole path: onset, boundary, what counts, end on evidence."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from moneypath.alerting.burn import Tier, threshold
from moneypath.alerting.leaf import decimal_text, duration_text
from moneypath.alerting.path_slis import PathRecorded, path_recorded, subject
from moneypath.alerting.promtests.case import STEP_SECONDS, Case, Moment, Sample, Segment, counter, series
from moneypath.alerting.promtests.traffic import BUSY, Phase, values
from moneypath.alerting.sli import TRAFFIC_SECONDS
from moneypath.path.objectives import EventsSlo, LatencySlo, PathBurn, PathSlo
from moneypath.telemetry.catalogue import Catalogue

PERCENT = Fraction(1, 100)
FILLING_SECONDS = 120
_FIRING: tuple[dict[str, str], ...] = ({},)
_INSTANCE = {"job": "refpay-api", "instance": "refpay-api"}


@dataclass(frozen=True, slots=True)
class _Tested:
    slo: PathSlo
    catalogue: Catalogue
    limit: Fraction
    onset_ratio: Fraction
    long_seconds: int
    short: PathRecorded
    floor: int

    @property
    def strong(self) -> Fraction:
        """Return a share of bad events that is clearly too high."""
        return min(self.limit * 5, (1 + self.limit) / 2)

    def events(self, *phases: Phase) -> dict[str, str]:
        """Return the series of good and bad events."""
        if isinstance(self.slo, LatencySlo):
            return timed(self.slo, self.catalogue, phases)
        return {
            counted(self.slo, self.catalogue, self.slo.good[0]): values(phases, bad=False),
            counted(self.slo, self.catalogue, self.slo.bad[0]): values(phases, bad=True),
        }


def burn_cases(slo: PathSlo, catalogue: Catalogue, burn: PathBurn, tier: Tier) -> tuple[Case, ...]:
    """Return the cases of a burn alert over the whole path."""
    tested = _Tested(
        slo=slo,
        catalogue=catalogue,
        limit=threshold(slo, tier),
        onset_ratio=Fraction(burn.detect_at_ratio),
        long_seconds=tier.long_seconds,
        short=path_recorded(slo, tier.short_seconds),
        floor=burn.min_events,
    )
    own = _slow(tested, slo) if isinstance(slo, LatencySlo) else _labelled(tested, slo)
    return (*_beginning(tested), *own, *_broken_input(tested), *_ending(tested))


def counted(slo: EventsSlo, catalogue: Catalogue, value: str) -> str:
    """Return the series of events with `value` in the label that tells good from bad."""
    labels = {label: known[0] for label, known in catalogue[slo.series].labels.items()}
    return series(slo.series, **{**labels, slo.label: value}, **_INSTANCE)


def timed(
    slo: LatencySlo, catalogue: Catalogue, phases: tuple[Phase, ...], *, text: str = "", **labels: str
) -> dict[str, str]:
    """Return a histogram whose good events end within the threshold, the bad ones in the last bucket.

    `text` is how the threshold's bucket is spelt, as our exposition does unless told otherwise.
    """
    name = slo.timed.series
    first = {label: known[0] for label, known in catalogue[name].labels.items()}
    chosen = first | {match.label: match.values[0] for match in slo.timed.select} | labels
    edge = text or str(float(slo.threshold_seconds))
    total = counter(*(Segment(each.rate * STEP_SECONDS, each.seconds, each.reset) for each in phases))
    good = values(phases, bad=False)
    return {
        series(f"{name}_bucket", **chosen, le=edge, **_INSTANCE): good,
        series(f"{name}_bucket", **chosen, le="+Inf", **_INSTANCE): total,
        series(f"{name}_count", **chosen, **_INSTANCE): total,
    }


def _steady(tested: _Tested, title: str, ratio: Fraction, *, fires: bool) -> Case:
    moment = Moment(FILLING_SECONDS, _FIRING if fires else ())
    return Case(title, tested.events(Phase(FILLING_SECONDS, bad=ratio)), (moment,))


def _beginning(tested: _Tested) -> Iterator[Case]:
    healthy = tested.long_seconds
    part = int(tested.limit * healthy / tested.onset_ratio // STEP_SECONDS) * STEP_SECONDS
    before, after = part - 2 * STEP_SECONDS, part + 3 * STEP_SECONDS
    yield Case(
        "fires within its worst case, not before",
        tested.events(Phase(healthy), Phase(after + STEP_SECONDS, bad=tested.onset_ratio)),
        (Moment(healthy), Moment(healthy + before), Moment(healthy + after, _FIRING)),
        (Sample(healthy, f"sum({tested.short.ratio})", Fraction(0)),),
    )
    yield _steady(tested, "stays quiet at half the threshold", tested.limit / 2, fires=False)
    yield _steady(tested, "stays quiet just under the threshold", tested.limit * (1 - PERCENT), fires=False)
    yield _steady(tested, "fires just over the threshold", tested.limit * (1 + PERCENT), fires=True)


def _labelled(tested: _Tested, slo: EventsSlo) -> Iterator[Case]:
    name, seconds = slo.series, FILLING_SECONDS
    strong, healthy = Phase(seconds, bad=tested.strong), Phase(seconds)
    for value in slo.bad:
        bad = {counted(slo, tested.catalogue, value): values((strong,), bad=True)}
        good = {counted(slo, tested.catalogue, slo.good[0]): values((strong,), bad=False)}
        yield Case(f"counts {value} as bad", good | bad, (Moment(seconds, _FIRING),))
    for value in slo.good:
        good = {counted(slo, tested.catalogue, value): values((healthy,), bad=False)}
        yield Case(f"counts {value} as good", good, (Moment(seconds),), (_share(slo, seconds, Fraction(1)),))
    for value in sorted(set(tested.catalogue[name].labels[slo.label]) - {*slo.good, *slo.bad}):
        other = {counted(slo, tested.catalogue, value): values((strong,), bad=True)}
        yield Case(f"leaves {value} out", tested.events(healthy) | other, (Moment(seconds),))
    alone = {counted(slo, tested.catalogue, slo.bad[0]): values((healthy,), bad=False)}
    yield Case("fires when there are only bad events", alone, (Moment(seconds, _FIRING),))


def _share(slo: EventsSlo, seconds: int, value: Fraction | None) -> Sample:
    name = f"path:{subject(slo)}:ratio_rate{duration_text(Fraction(TRAFFIC_SECONDS))}"
    return Sample(seconds, f"sum({name})", value)


def _slow(tested: _Tested, slo: LatencySlo) -> Iterator[Case]:
    catalogue, seconds = tested.catalogue, FILLING_SECONDS
    strong, healthy = (Phase(seconds, bad=tested.strong),), (Phase(seconds),)
    labels = catalogue[slo.timed.series].labels
    for match in slo.timed.select:
        for value in match.values:
            own = timed(slo, catalogue, strong, **{match.label: value})
            yield Case(f"counts {match.label} {value}", own, (Moment(seconds, _FIRING),))
        for value in sorted(set(labels[match.label]) - set(match.values)):
            other = timed(slo, catalogue, strong, **{match.label: value})
            both = timed(slo, catalogue, healthy) | other
            yield Case(f"does not count {match.label} {value}", both, (Moment(seconds),))
    text = decimal_text(Fraction(slo.threshold_seconds))
    go = timed(slo, catalogue, healthy, text=text)
    yield Case(f"reads the threshold's bucket when its edge is spelt {text}", go, (Moment(seconds),))
    bare = {name: text for name, text in timed(slo, catalogue, healthy).items() if "_bucket" not in name}
    yield Case(
        "takes everything for slow when the threshold's bucket is missing",
        bare,
        (Moment(seconds, _FIRING),),
    )
    at = seconds
    spread = duration_text(Fraction(TRAFFIC_SECONDS))
    idle = timed(slo, catalogue, (Phase(seconds, rate=Fraction(0)),))
    quantile = f"path:{subject(slo)}:p95_{spread} or path:{subject(slo)}:p99_{spread}"
    yield Case(
        "gives no quantile for zero traffic instead of NaN",
        idle,
        (Moment(at),),
        (Sample(at, quantile, None),),
    )
    # All but 2 % are in the first bucket: linear in it, 95/98 of the threshold; the rest lies beyond.
    few = timed(slo, catalogue, (Phase(seconds, bad=2 * PERCENT),))
    yield Case(
        "gives the quantiles",
        few,
        (Moment(at),),
        tuple(
            Sample(at, f"round(path:{subject(slo)}:p{percent}_{spread}, 0.001)", value)
            for percent, value in (
                (95, round(Fraction(95, 98) * Fraction(slo.threshold_seconds), 3)),
                (99, Fraction(slo.threshold_seconds)),
            )
        ),
    )


def _broken_input(tested: _Tested) -> Iterator[Case]:
    seconds, quarter = FILLING_SECONDS, FILLING_SECONDS // 4
    nothing = (Sample(seconds, f"count({tested.short.ratio})", None),)
    yield Case("is silent without any series, and so is its ratio", {}, (Moment(seconds),), nothing)
    idle = tested.events(Phase(seconds, rate=Fraction(0)))
    yield Case("gives no ratio for zero events instead of 0/0", idle, (Moment(seconds),), nothing)
    negative = Sample(seconds, f"count({tested.short.valid} < 0) or count({tested.short.bad} < 0)", None)
    yield Case(
        "takes restarted counters for what they are",
        tested.events(*(Phase(quarter, reset=True) for _ in range(4))),
        (Moment(seconds),),
        (negative,),
    )
    yield Case(
        "fires although the failing process keeps restarting",
        tested.events(*(Phase(quarter, bad=tested.strong, reset=True) for _ in range(4))),
        (Moment(seconds, _FIRING),),
    )


def _ending(tested: _Tested) -> Iterator[Case]:
    onset = FILLING_SECONDS
    rest = int(tested.short.span.value) + 120
    later = onset + rest
    outage = Phase(onset, bad=tested.strong)
    firing, still, ended = Moment(onset, _FIRING), Moment(later, _FIRING), Moment(later)
    per_second = Fraction(tested.floor) / tested.short.span.value
    for title, rate, last in (
        ("does not end by silence", Fraction(0), still),
        ("does not end on a handful of good events", per_second / 2, still),
        ("ends on few good events, as long as they are over the floor", per_second * 4, ended),
        ("ends when healthy events flow", BUSY, ended),
    ):
        yield Case(title, tested.events(outage, Phase(rest, rate=rate)), (firing, last))
