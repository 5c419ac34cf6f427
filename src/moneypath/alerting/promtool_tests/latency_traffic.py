"""Input series of a latency objective: a histogram of fast and slow events in phases."""

from collections.abc import Mapping
from types import MappingProxyType

from moneypath.alerting.promtool_tests.case import STEP_SECONDS, Segment, counter, located, series
from moneypath.alerting.promtool_tests.traffic import Phase, values
from moneypath.path.objectives import LatencySlo
from moneypath.telemetry.catalogue import Catalogue


def histogram(
    job: str,
    slo: LatencySlo,
    catalogue: Catalogue,
    phases: tuple[Phase, ...],
    *,
    edge: str = "",
    labels: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Return a histogram whose good events end within the threshold, the bad ones in the last bucket.

    `labels` differ from those of the first event. `edge` is how the threshold's bucket is spelt, by default
    as our exposition does.
    """
    name = slo.histogram.series
    first = {label: known[0] for label, known in catalogue[name].labels.items()}
    chosen = first | {match.label: match.values[0] for match in slo.histogram.select} | dict(labels)
    at = edge or str(float(slo.threshold_seconds))
    total = counter(*(Segment(each.rate * STEP_SECONDS, each.seconds, each.reset) for each in phases))
    good = values(phases, bad=False)
    return {
        series(f"{name}_bucket", **located({**chosen, "le": at}, job)): good,
        series(f"{name}_bucket", **located({**chosen, "le": "+Inf"}, job)): total,
        series(f"{name}_count", **located(chosen, job)): total,
    }
