"""Input series of an availability objective over a declared series."""

from collections.abc import Mapping
from types import MappingProxyType

from moneypath.alerting.promtool_tests.case import located, series
from moneypath.path.series_events import ResolvedEvents


def events(job: str, counted: ResolvedEvents, provider: str, good: str, bad: str) -> dict[str, str]:
    """Return the series of good and of bad events at `provider`, with these values."""
    return {
        event_name(job, counted, provider, is_bad=False): good,
        event_name(job, counted, provider, is_bad=True): bad,
    }


def event_name(
    job: str,
    counted: ResolvedEvents,
    provider: str,
    *,
    is_bad: bool,
    others: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the series of one example of good or bad events; `others` are labels that differ from it.

    What has no provider lacks the label that would name one.
    """
    labels = counted.bad_labels if is_bad else counted.good_labels
    return series(counted.series, **located({**labels, **counted.at(provider), **others}, job))
