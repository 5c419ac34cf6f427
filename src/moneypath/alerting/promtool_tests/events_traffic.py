"""Input series of an objective on a counter: good and bad events in phases."""

from moneypath.alerting.promtool_tests.case import located, series
from moneypath.alerting.promtool_tests.traffic import Phase, values
from moneypath.path.objectives import EventsSlo
from moneypath.path.selection import metric_of
from moneypath.telemetry.catalogue import Catalogue


def counters(job: str, slo: EventsSlo, catalogue: Catalogue, phases: tuple[Phase, ...]) -> dict[str, str]:
    """Return the series of good and bad events."""
    return {
        counter_name(job, slo, catalogue, slo.good[0]): values(phases, bad=False),
        counter_name(job, slo, catalogue, slo.bad[0]): values(phases, bad=True),
    }


def counter_name(job: str, slo: EventsSlo, catalogue: Catalogue, value: str, /, **others: str) -> str:
    """Return the series of events with `value` in the label that tells good from bad.

    `others` are values of other labels, which have their first selected value otherwise.
    """
    labels = {label: known[0] for label, known in metric_of(slo.series, catalogue).labels.items()}
    labels |= {match.label: match.values[0] for match in slo.select}
    return series(slo.series, **located({**labels, **others, slo.label: value}, job))
