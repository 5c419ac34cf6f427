"""Describe a healthy money path in numbers: how fast its counters grow and which values its gauges have."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from moneypath.alerting.availability_sli import PAYMENTS, RESULTS
from moneypath.alerting.conventions import LAST_SUCCESS, ROUTING
from moneypath.path.exported import family_of_events
from moneypath.path.guards import AgeGuard, DeadlineGuard, IncreaseGuard, RatioGuard, Side
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, LatencySlo
from moneypath.path.selection import LabelMatcher
from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, AuthorizationResult, Outcome

# A healthy ratio lies at this share of the limit that it must not pass.
_ROOM = Fraction(2, 3)
AHEAD_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class CounterBaseline:
    """The healthy growth of a counter or histogram that `job` exports.

    Series that carry the labels of one of `healthy` grow by `share` of the traffic of a provider. A label
    that is not named there has its first value. All other series stay at 0.
    """

    name: str
    job: str
    healthy: tuple[dict[str, str], ...] = ()
    share: Fraction = Fraction(0)

    def is_healthy(self, labels: dict[str, str], catalogue: Catalogue) -> bool:
        """Tell whether healthy events carry these labels, at whichever provider."""
        known = catalogue[self.name].labels
        nobody = labels.get("provider") == NO_PROVIDER and known["provider"] != (NO_PROVIDER,)
        return not nobody and any(
            all(
                label == "provider" or value == chosen.get(label, known[label][0])
                for label, value in labels.items()
            )
            for chosen in self.healthy
        )


@dataclass(frozen=True, slots=True)
class GaugeBaseline:
    """The healthy value of a gauge; a time is `value` seconds ahead of its sample."""

    name: str
    value: int = 0
    is_time: bool = False


def counter_baselines(path: MoneyPath) -> tuple[CounterBaseline, ...]:
    """Return every counter and histogram that the rules read, each once."""
    found: dict[str, CounterBaseline] = {}
    for each in _counter_baselines(path):
        before = found.get(each.name, each)
        healthy = (*before.healthy, *(chosen for chosen in each.healthy if chosen not in before.healthy))
        found[each.name] = CounterBaseline(each.name, before.job, healthy, max(before.share, each.share))
    return tuple(found.values())


def operations(path: MoneyPath) -> frozenset[str]:
    """Return the operations that any rule reads; others would only make the history larger."""
    return frozenset(
        chosen["operation"]
        for each in counter_baselines(path)
        for chosen in each.healthy
        if "operation" in chosen
    )


def gauge_baselines(path: MoneyPath) -> tuple[GaugeBaseline, ...]:
    """Return every gauge that the rules read and that exists while all is well, each once."""
    known = path.known_metrics()
    always = (GaugeBaseline(ROUTING, 1), GaugeBaseline(LAST_SUCCESS, 0, is_time=True))
    found = [each for each in always if each.name in known]
    found += [GaugeBaseline(series) for check in path.checks for series in check.series]
    for guard in path.guards:
        if isinstance(guard, IncreaseGuard | RatioGuard):
            continue
        itself = guard.evidence is None or guard.evidence.series == guard.series
        if isinstance(guard, DeadlineGuard):
            found.append(GaugeBaseline(guard.series, AHEAD_SECONDS, is_time=True))
        elif itself or not isinstance(guard, AgeGuard):
            found.append(GaugeBaseline(guard.series, is_time=isinstance(guard, AgeGuard)))
        elif guard.evidence:
            found.append(GaugeBaseline(guard.evidence.series))
    return tuple({level.name: level for level in reversed(found)}.values())


def api_job(path: MoneyPath) -> str:
    """Return the job that counts payments: the target at the stage of the first objective."""
    return job_at_stage(path, path.slos[0].stage)


def worker_job(path: MoneyPath) -> str:
    """Return the job that exports what the database holds: the target at the stage of the first check.

    Without one it is the last target.
    """
    stages = [check.stage for check in path.checks[:1]]
    return next((target.job for target in path.targets if target.stage in stages), path.targets[-1].job)


def job_at_stage(path: MoneyPath, stage: str) -> str:
    """Return the job at `stage`, or the worker's job for a stage without a process of its own."""
    return next((target.job for target in path.targets if target.stage == stage), worker_job(path))


def _counter_baselines(path: MoneyPath) -> Iterator[CounterBaseline]:
    one = Fraction(1)
    for slo in path.slos:
        here = job_at_stage(path, slo.stage)
        if isinstance(slo, AvailabilitySlo) and slo.counted:
            counted = slo.counted
            at = [{counted.provider_label: value} for value in counted.every_spelling] or [{}]
            healthy = tuple({**counted.good_labels, **one_of_them} for one_of_them in at)
            yield CounterBaseline(family_of_events(path, counted.series), here, healthy, one)
        elif isinstance(slo, AvailabilitySlo):
            chosen = {"operation": slo.operation, "outcome": Outcome.SUCCEEDED.value}
            yield CounterBaseline(PAYMENTS, here, (chosen,), one)
            if slo.bad_results:
                yield CounterBaseline(RESULTS, here, ({"result": AuthorizationResult.APPROVED.value},), one)
        elif isinstance(slo, LatencySlo):
            yield CounterBaseline(slo.histogram.series, here, (_first(slo.histogram.select),), one)
        else:
            name = family_of_events(path, slo.series)
            yield CounterBaseline(name, here, ({**_first(slo.select), slo.label: slo.good[0]},), one)
    for guard in path.guards:
        here = job_at_stage(path, guard.stage)
        if isinstance(guard, IncreaseGuard):
            yield CounterBaseline(guard.counter.series, here)
        elif isinstance(guard, RatioGuard):
            share = Fraction(guard.limit) * _ROOM if guard.fires is Side.ABOVE else one
            yield CounterBaseline(guard.denominator.series, here, (_first(guard.denominator.select),), one)
            yield CounterBaseline(guard.numerator.series, here, (_first(guard.numerator.select),), share)


def _first(select: tuple[LabelMatcher, ...]) -> dict[str, str]:
    return {match.label: match.values[0] for match in select}
