"""The samples of a metric by label values, as exporters and renderers read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from moneypath.telemetry.catalogue.metric import MetricSpec
from moneypath.telemetry.correlation import Trace
from moneypath.telemetry.correlation.context import Active

# The label values of one combination, in the order of the metric's labels.
LabelValues = tuple[str, ...]
# The numbers of one label combination. For a histogram: the sum, then a count for each bucket, +Inf last.
DataPoint = list[float]
# A span's ids, the value that was recorded with it, and the Unix time.
Exemplar = tuple[Trace, float, float]
# By index in the data point: the bucket's for a histogram, 0 for a counter.
Exemplars = dict[int, Exemplar]
# The same, with the context or span that was active; its ids are read at a scrape.
ExemplarReservoir = dict[int, tuple[Active, float, float]]


@dataclass(frozen=True, slots=True)
class MetricSamples:
    """The samples of one metric: `values` of a counter or gauge, or the data points of `histograms`.

    A gauge that is absent is in neither.
    """

    spec: MetricSpec
    values: Mapping[LabelValues, float] = field(default_factory=dict)
    histograms: Mapping[LabelValues, DataPoint] = field(default_factory=dict)
    exemplars: Mapping[LabelValues, Exemplars] = field(default_factory=dict)


def collect_exemplars(reservoir: ExemplarReservoir) -> Exemplars:
    """Return the exemplars of a reservoir, with the ids of their spans."""
    found = ((place, active.trace, value, at) for place, (active, value, at) in reservoir.copy().items())
    return {place: (trace, value, at) for place, trace, value, at in found if trace is not None}
