"""What a renderer takes, and what a reader of the recorder is given: numbers by label values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from moneypath.telemetry.catalogue.metric import MetricSpec
from moneypath.telemetry.correlation import Trace
from moneypath.telemetry.correlation.context import Active

# The label values of one combination, in the order of the metric's labels.
Key = tuple[str, ...]
# The numbers of one combination; of a histogram its sum, then one count a bucket, +Inf last.
Cells = list[float]
# The trace that was recorded last, the value it was recorded with, and when, in Unix time.
Exemplar = tuple[Trace, float, float]
# By the place in the cells: of a histogram that of the bucket, of a counter 0.
Exemplars = dict[int, Exemplar]
# The same as the path leaves it: whoever was active, not yet asked for its ids.
KeptExemplars = dict[int, tuple[Active, float, float]]


@dataclass(frozen=True, slots=True)
class MetricSamples:
    """Hold what one metric's text would say: `values` of a counter or gauge, `cells` of a histogram.

    An absent gauge is in neither.
    """

    spec: MetricSpec
    values: Mapping[Key, float] = field(default_factory=dict)
    cells: Mapping[Key, Cells] = field(default_factory=dict)
    exemplars: Mapping[Key, Exemplars] = field(default_factory=dict)


def ask_for_ids(kept: KeptExemplars) -> Exemplars:
    """Return exemplars with the ids of those who were active."""
    asked = ((place, active.trace, value, at) for place, (active, value, at) in kept.copy().items())
    return {place: (trace, value, at) for place, trace, value, at in asked if trace is not None}
