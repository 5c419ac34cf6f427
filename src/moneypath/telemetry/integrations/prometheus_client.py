"""Adds our metrics to an endpoint that prometheus_client serves.

Call `REGISTRY.register(RecorderCollector(recorder))` once at the start. A name that the registry already
has raises prometheus_client's DuplicateTimeseries.
"""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as TheirExemplar

from moneypath.telemetry.catalogue.metric import MetricSpec
from moneypath.telemetry.exposition.exemplars import ids
from moneypath.telemetry.exposition.samples import DataPoint, Exemplar, LabelValues, MetricSamples
from moneypath.telemetry.recording.recorder import Recorder

Labels = dict[str, str]


class RecorderCollector(Collector):
    """A collector that passes a recorder's current metrics to a registry at each scrape."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without reading them, so that a second owner of a name is refused."""
        return [_metric(spec) for spec in self._recorder.specs.values()]

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that have samples."""
        for samples in self._recorder.snapshot():
            metric = _metric(samples.spec)
            _add_values(metric, samples)
            _add_histograms(metric, samples)
            if metric.samples:
                yield metric


def _metric(spec: MetricSpec) -> Metric:
    return Metric(spec.family, spec.help, spec.kind.value, spec.unit.value)


def _add_values(metric: Metric, samples: MetricSamples) -> None:
    spec = samples.spec
    for key, value in samples.values.items():
        exemplar = _exemplar(samples.exemplars.get(key, {}).get(0))
        metric.add_sample(spec.name, _labels(spec, key), value, exemplar=exemplar)


def _add_histograms(metric: Metric, samples: MetricSamples) -> None:
    spec = samples.spec
    edges = [*map(repr, map(float, spec.buckets)), "+Inf"]
    for key, point in samples.histograms.items():
        _add_histogram(metric, _labels(spec, key), edges, point, samples.exemplars.get(key, {}))


def _add_histogram(
    metric: Metric, labels: Labels, edges: list[str], point: DataPoint, exemplars: Mapping[int, Exemplar]
) -> None:
    count = 0.0
    for place, edge in enumerate(edges, start=1):
        count += point[place]
        exemplar = _exemplar(exemplars.get(place))
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": edge}, count, exemplar=exemplar)
    metric.add_sample(f"{metric.name}_count", labels, count)
    metric.add_sample(f"{metric.name}_sum", labels, point[0])


def _labels(spec: MetricSpec, key: LabelValues) -> Labels:
    return dict(zip(spec.labels, key, strict=True))


def _exemplar(exemplar: Exemplar | None) -> TheirExemplar | None:
    labels = None if exemplar is None else ids(exemplar)
    if exemplar is None or labels is None:
        return None
    _, value, at = exemplar
    return TheirExemplar(labels, value, at)
