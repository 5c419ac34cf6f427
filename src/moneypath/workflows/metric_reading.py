"""Read how much the money metrics grew over a run, processes that died and came back included."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, Protocol

from moneypath.capacity.counters import increase
from moneypath.oracle.counted_answers import RESULT_OF_OUTCOME
from moneypath.oracle.metric_expectations import (
    attempts_series,
    captured_series,
    fees_series,
    payments_series,
)
from moneypath.oracle.metric_totals import Family, SeenTotals
from moneypath.prometheus import Series
from moneypath.telemetry.catalogue.vocabulary import CostComponent, Outcome

SELECTORS: Final[Mapping[Family, str]] = {
    Family.PAYMENTS: "moneypath_payments_total",
    Family.CAPTURED: "moneypath_captured_minor_units_total",
    Family.FEES: f'moneypath_cost_micro_units_total{{component="{CostComponent.PROVIDER_FEE}"}}',
    Family.ATTEMPTS: "moneypath_provider_attempts_total",
}
_WITHOUT_ANSWER: Final = frozenset((Outcome.FAILED.value, Outcome.INDETERMINATE.value))

ByFamily = Mapping[Family, Sequence[Series]]


class SampleSource(Protocol):
    """Reads raw samples; a Prometheus client does."""

    async def raw_samples(self, selector: str, start: float, end: float) -> tuple[Series, ...]: ...


async def read_seen_totals(source: SampleSource, since: float, until: float) -> SeenTotals:
    """Read the growth of every series from one scrape of all processes to another, in Unix seconds.

    Raises QueryFailed.
    """
    read = {
        family: await source.raw_samples(selector, since, until) for family, selector in SELECTORS.items()
    }
    return total_series(read, since, until)


def total_series(read: ByFamily, since: float, until: float) -> SeenTotals:
    """Add up the growth of raw series by name; a process that began anew counts from 0 again."""
    restarts = find_restarts((each for series in read.values() for each in series), since, until)
    totals: dict[str, float] = defaultdict(float)
    unanswered: dict[str, float] = defaultdict(float)
    for family, series in read.items():
        for each in series:
            grown = _grown(each, since, until, restarts.get(_process(each), ()))
            name = _name(family, each.labels)
            totals[name] += grown
            if family is Family.ATTEMPTS and each.labels.get("outcome") in _WITHOUT_ANSWER:
                unanswered[name] += grown
    families = frozenset(family.value for family, series in read.items() if series)
    return SeenTotals(dict(totals), families, dict(unanswered), deaths=sum(map(len, restarts.values())))


def find_restarts(series: Iterable[Series], since: float, until: float) -> Mapping[str, Sequence[float]]:
    """Return for each process the instants of the last scrapes before it was seen to count anew.

    One series that fell tells it of all series of the process: another may have grown beyond its last value
    within one scrape.
    """
    found: dict[str, set[float]] = defaultdict(set)
    for each in series:
        inside = [(at, value) for at, value in each.samples if since <= at <= until]
        for (at, before), (_, after) in pairwise(inside):
            if after < before:
                found[_process(each)].add(at)
    return {process: sorted(instants) for process, instants in found.items()}


def _grown(series: Series, since: float, until: float, restarts: Sequence[float]) -> float:
    lives = zip((since, *restarts), (*restarts, until), strict=True)
    grown = []
    for begin, end in lives:
        # What an earlier process counted is no base for the next one.
        samples = [one for one in series.samples if one[0] > begin or begin == since]
        grown.append(increase(samples, begin, end))
    return math.fsum(grown)


def _process(series: Series) -> str:
    return series.labels.get("instance", "")


def _name(family: Family, labels: Mapping[str, str]) -> str:
    if family is Family.PAYMENTS:
        outcome = labels.get("outcome", "")
        result = RESULT_OF_OUTCOME.get(outcome, outcome)
        return payments_series(labels.get("traffic", ""), labels.get("operation", ""), result)
    if family is Family.CAPTURED:
        return captured_series(labels.get("currency", ""))
    provider = labels.get("provider", "")
    return (
        fees_series(provider)
        if family is Family.FEES
        else attempts_series(provider, labels.get("operation", ""))
    )
