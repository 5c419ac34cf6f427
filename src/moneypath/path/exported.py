"""The metrics that services export as far as the declaration tells: those that a part of it reads."""

from collections.abc import Iterator

from moneypath.path.declaration import Declaration
from moneypath.path.guards import IncreaseGuard, RatioGuard
from moneypath.path.objectives import PAYMENTS, RESULTS, AvailabilitySlo, LatencySlo
from moneypath.path.selection import family_of

LAST_SUCCESS = "moneypath_check_last_success_timestamp_seconds"


def exported(path: Declaration) -> frozenset[str]:
    """Return the names of the metrics that objectives, checks and guards read, and those named besides."""
    return frozenset((*_of_objectives(path), *_of_checks(path), *_of_guards(path), *path.telemetry.exported))


def _of_objectives(path: Declaration) -> Iterator[str]:
    for slo in path.slos:
        if isinstance(slo, AvailabilitySlo):
            yield family_of_events(path, slo.events.series) if slo.events else PAYMENTS
            if slo.bad_results:
                yield RESULTS
        else:
            yield slo.histogram.series if isinstance(slo, LatencySlo) else family_of_events(path, slo.series)


def _of_checks(path: Declaration) -> Iterator[str]:
    for check in path.checks:
        yield LAST_SUCCESS
        yield from check.series


def _of_guards(path: Declaration) -> Iterator[str]:
    for guard in path.guards:
        if isinstance(guard, IncreaseGuard):
            yield guard.counter.series
        elif isinstance(guard, RatioGuard):
            yield from (guard.numerator.series, guard.denominator.series)
        else:
            yield guard.series
            if guard.evidence:
                yield guard.evidence.series


def family_of_events(path: Declaration, series: str) -> str:
    """Return the metric that the counter `series` belongs to: a histogram for its `_count`."""
    return series if series in path.series else family_of(series)
