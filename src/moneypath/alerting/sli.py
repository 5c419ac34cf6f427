"""Build the recording rules of an objective: valid events, bad events and their ratio in each window.

All kinds of objectives share this module. `availability_sli`, `latency_sli` and `events_sli` say how the
events are counted; names, windows and ratios are the same for all.
"""

from collections.abc import Iterator

from moneypath.alerting import availability_sli, events_sli, latency_sli
from moneypath.alerting.recorded import TRAFFIC_SECONDS, RecordedWindow, kept_apart_by, recorded, windows
from moneypath.alerting.rules import RecordingRule, expr, fixed
from moneypath.path.objectives import AvailabilitySlo, LatencySlo, Slo


def recordings(slo: Slo) -> Iterator[RecordingRule]:
    """Yield the recording rules of `slo`, each after the rules it reads."""
    for seconds in windows(slo):
        names = recorded(slo, seconds)
        yield from _event_recordings(slo, names)
        yield RecordingRule(names.ratio, expr(f"{names.bad} / ({names.valid} > ", fixed(0, "zero"), ")"))
        if kept_apart_by(slo):
            yield availability_sli.whole_path_ratio(names)
    yield from _board_recordings(slo, recorded(slo, TRAFFIC_SECONDS))


def _event_recordings(slo: Slo, names: RecordedWindow) -> Iterator[RecordingRule]:
    if isinstance(slo, AvailabilitySlo):
        return availability_sli.event_recordings(slo, names)
    if isinstance(slo, LatencySlo):
        return latency_sli.event_recordings(slo, names)
    return events_sli.event_recordings(slo, names)


def _board_recordings(slo: Slo, names: RecordedWindow) -> Iterator[RecordingRule]:
    """Yield the series of `slo` that only boards and drills read."""
    if isinstance(slo, LatencySlo):
        yield from latency_sli.quantile_recordings(slo, names)
    elif not isinstance(slo, AvailabilitySlo):
        yield events_sli.good_share_recording(slo, names)
