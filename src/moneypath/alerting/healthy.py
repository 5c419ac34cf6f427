"""What a healthy money path looks like in numbers: how fast a counter grows, and what a gauge says."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from moneypath.alerting.conventions import LAST_SUCCESS, ROUTING
from moneypath.alerting.sli import PAYMENTS, RESULTS
from moneypath.path.guards import AgeGuard, DeadlineGuard, IncreaseGuard, RatioGuard, Side
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, LatencySlo
from moneypath.path.selection import Match
from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, AuthorizationResult, Outcome

# A healthy ratio lies at this share of the limit that it must not pass.
_ROOM = Fraction(2, 3)
AHEAD_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Growth:
    """A counter or histogram that `job` exports.

    Series that carry the labels of one of `healthy` grow by `share` of the traffic of a provider;
    a label that is not named there has its first value. All other series stand at 0.
    """

    name: str
    job: str
    healthy: tuple[dict[str, str], ...] = ()
    share: Fraction = Fraction(0)

    def is_healthy(self, labels: dict[str, str], catalogue: Catalogue) -> bool:
        """Tell whether healthy events carry these labels, at whichever provider."""
        known = catalogue[self.name].labels
        return labels.get("provider") != NO_PROVIDER and any(
            all(
                label == "provider" or value == chosen.get(label, known[label][0])
                for label, value in labels.items()
            )
            for chosen in self.healthy
        )


@dataclass(frozen=True, slots=True)
class Level:
    """A gauge at `value`; a time is as far ahead of its sample as `value` says, in seconds."""

    name: str
    value: int = 0
    is_time: bool = False


def growths(path: MoneyPath) -> tuple[Growth, ...]:
    """Return every counter and histogram that the rules read, each once."""
    found: dict[str, Growth] = {}
    for each in _growths(path):
        before = found.get(each.name, each)
        healthy = (*before.healthy, *(chosen for chosen in each.healthy if chosen not in before.healthy))
        found[each.name] = Growth(each.name, before.job, healthy, max(before.share, each.share))
    return tuple(found.values())


def operations(path: MoneyPath) -> frozenset[str]:
    """Return the operations that any rule looks at; the others would only make the past larger."""
    return frozenset(
        chosen["operation"] for each in growths(path) for chosen in each.healthy if "operation" in chosen
    )


def levels(path: MoneyPath) -> tuple[Level, ...]:
    """Return every gauge that the rules read and that is there while all is well, each once."""
    found = [Level(ROUTING, 1), Level(LAST_SUCCESS, 0, is_time=True)]
    found += [Level(series) for check in path.checks for series in check.series]
    for guard in path.guards:
        if isinstance(guard, IncreaseGuard | RatioGuard):
            continue
        itself = guard.evidence is None or guard.evidence.series == guard.series
        if isinstance(guard, DeadlineGuard):
            found.append(Level(guard.series, AHEAD_SECONDS, is_time=True))
        elif itself or not isinstance(guard, AgeGuard):
            found.append(Level(guard.series, is_time=isinstance(guard, AgeGuard)))
        elif guard.evidence:
            found.append(Level(guard.evidence.series))
    return tuple({level.name: level for level in reversed(found)}.values())


def api(path: MoneyPath) -> str:
    """Return the job that counts payments: the target at the stage of the first objective."""
    return job(path, path.slos[0].stage)


def worker(path: MoneyPath) -> str:
    """Return the job that exports what the database holds: the target at the stage of the first check."""
    stage = path.checks[0].stage
    return next((target.job for target in path.targets if target.stage == stage), path.targets[-1].job)


def job(path: MoneyPath, stage: str) -> str:
    """Return the job at `stage`; what has no process of its own is the worker's."""
    return next((target.job for target in path.targets if target.stage == stage), worker(path))


def _growths(path: MoneyPath) -> Iterator[Growth]:
    one = Fraction(1)
    for slo in path.slos:
        here = job(path, slo.stage)
        if isinstance(slo, AvailabilitySlo):
            chosen = {"operation": slo.operation.value, "outcome": Outcome.SUCCEEDED.value}
            yield Growth(PAYMENTS, here, (chosen,), one)
            if slo.bad_results:
                yield Growth(RESULTS, here, ({"result": AuthorizationResult.APPROVED.value},), one)
        elif isinstance(slo, LatencySlo):
            yield Growth(slo.timed.series, here, (_first(slo.timed.select),), one)
        else:
            yield Growth(slo.series, here, ({slo.label: slo.good[0]},), one)
    for guard in path.guards:
        here = job(path, guard.stage)
        if isinstance(guard, IncreaseGuard):
            yield Growth(guard.counted.series, here)
        elif isinstance(guard, RatioGuard):
            share = Fraction(guard.limit) * _ROOM if guard.fires is Side.ABOVE else one
            yield Growth(guard.denominator.series, here, (_first(guard.denominator.select),), one)
            yield Growth(guard.numerator.series, here, (_first(guard.numerator.select),), share)


def _first(select: tuple[Match, ...]) -> dict[str, str]:
    return {match.label: match.values[0] for match in select}
