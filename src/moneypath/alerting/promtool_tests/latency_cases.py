"""The test cases that only latency has: the selected events, the threshold's bucket, the quantiles."""

from collections.abc import Iterator
from fractions import Fraction

from moneypath.alerting.latency_sli import QUANTILES
from moneypath.alerting.promtool_tests.case import Case, ValueAt, some
from moneypath.alerting.promtool_tests.latency_traffic import histogram
from moneypath.alerting.promtool_tests.ratio_alert import FILLING_SECONDS, PERCENT, RatioAlert
from moneypath.alerting.promtool_tests.traffic import Phase
from moneypath.alerting.recorded import quantile_series
from moneypath.alerting.rules import decimal_text
from moneypath.path.objectives import LatencySlo


def counting_cases(tested: RatioAlert, slo: LatencySlo) -> Iterator[Case]:
    """Yield which events are timed, and how the threshold's bucket may be spelt."""
    catalogue, seconds = tested.catalogue, FILLING_SECONDS
    strong, healthy = (Phase(seconds, bad=tested.strong),), (Phase(seconds),)
    quiet, fires = (tested.quiet_at(seconds),), (tested.fires_at(seconds),)
    labels = catalogue[slo.histogram.series].labels
    for match in slo.histogram.select:
        for value in match.values:
            own = histogram(tested.job, slo, catalogue, strong, labels={match.label: value})
            yield Case(f"counts {match.label} {value}", own, fires)
        for value in some(sorted(set(labels[match.label]) - set(match.values))):
            other = histogram(tested.job, slo, catalogue, strong, labels={match.label: value})
            both = histogram(tested.job, slo, catalogue, healthy) | other
            yield Case(f"does not count {match.label} {value}", both, quiet)
    edge = decimal_text(Fraction(slo.threshold_seconds))
    spelt = histogram(tested.job, slo, catalogue, healthy, edge=edge)
    yield Case(f"reads the threshold's bucket when its edge is spelt {edge}", spelt, quiet)
    bare = {
        name: text
        for name, text in histogram(tested.job, slo, catalogue, healthy).items()
        if "_bucket" not in name
    }
    yield Case("takes everything for slow when the threshold's bucket is missing", bare, fires)


def quantile_cases(tested: RatioAlert, slo: LatencySlo) -> Iterator[Case]:
    """Yield what the recorded quantiles say with and without traffic."""
    catalogue, seconds = tested.catalogue, FILLING_SECONDS
    quiet = (tested.quiet_at(seconds),)
    idle = histogram(tested.job, slo, catalogue, (Phase(seconds, rate=Fraction(0)),))
    either = " or ".join(quantile_series(slo, percent) for percent in QUANTILES)
    yield Case(
        "gives no quantile for zero traffic instead of NaN", idle, quiet, (ValueAt(seconds, either, None),)
    )
    # All but 2 % are in the first bucket: linear in it, 95/98 of the threshold; the rest lies beyond.
    few = histogram(tested.job, slo, catalogue, (Phase(seconds, bad=2 * PERCENT),))
    threshold = Fraction(slo.threshold_seconds)
    values = {95: round(Fraction(95, 98) * threshold, 3), 99: threshold}
    yield Case(
        "gives the quantiles",
        few,
        quiet,
        tuple(
            ValueAt(seconds, f"round({quantile_series(slo, percent)}, 0.001)", values[percent])
            for percent in QUANTILES
        ),
    )
