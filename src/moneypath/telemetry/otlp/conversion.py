"""Converts a recorder's snapshot to the OpenTelemetry SDK's data points, with the same names and numbers.

All sums are cumulative since the recorder started, so a missed export loses nothing. A gauge that is absent
has no data point. Exemplars carry only the ids of their span.
"""

from collections.abc import Mapping
from time import time_ns

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec, Unit
from moneypath.telemetry.exposition.samples import DataPoint, Exemplars, LabelValues, MetricSamples
from moneypath.telemetry.recording.recorder import Recorder

SCOPE = InstrumentationScope("moneypath.telemetry")

# UCUM units. Text in braces is an annotation, which a conversion to Prometheus does not append to the name.
# A plain count has no unit at all, because a gauge with unit 1 would be renamed to `_ratio`.
UNITS: Mapping[Unit, str] = {
    Unit.NONE: "",
    Unit.SECONDS: "s",
    Unit.MINOR_UNITS: "{minor_unit}",
    Unit.MICRO_UNITS: "{micro_unit}",
    Unit.BYTES: "By",
    Unit.RATIO: "1",
}

# OTLP integers have 64 bits; a larger one is sent as a float, as Prometheus would read it.
_LARGEST_INTEGER = 2**63 - 1


def resource_metrics(recorder: Recorder, resource: Resource, *, own_only: bool = False) -> ResourceMetrics:
    """Read a recorder once and return its metrics as metrics of `resource`, sorted by name.

    They are the sums over all workers, as in a scrape. `own_only` returns only what this process recorded.
    """
    samples = recorder.snapshot(own_only=own_only)
    now = time_ns()
    started_at = recorder.start_time_unix_nano
    metrics = [metric for each in samples if (metric := _metric(each, started_at, now)) is not None]
    return ResourceMetrics(
        resource=resource,
        scope_metrics=[ScopeMetrics(scope=SCOPE, metrics=metrics, schema_url="")],
        schema_url="",
    )


def _metric(samples: MetricSamples, started_at: int, now: int) -> Metric | None:
    """Return None for a metric without samples, which has no line in the text formats either."""
    spec = samples.spec
    if not samples.values and not samples.histograms:
        return None
    data: Sum | Gauge | Histogram
    if spec.kind is MetricKind.HISTOGRAM:
        points = [
            _histogram_point(spec, key, point, started_at, now, _exemplars(samples.exemplars.get(key)))
            for key, point in samples.histograms.items()
        ]
        data = Histogram(points, AggregationTemporality.CUMULATIVE)
    else:
        numbers = [
            _number_point(spec, key, value, started_at, now, _exemplars(samples.exemplars.get(key)))
            for key, value in samples.values.items()
        ]
        if spec.kind is MetricKind.GAUGE:
            data = Gauge(numbers)
        else:
            data = Sum(numbers, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return Metric(name=spec.name, description=spec.help, unit=UNITS[spec.unit], data=data)


def _attributes(spec: MetricSpec, key: LabelValues) -> dict[str, str]:
    return dict(zip(spec.labels, key, strict=True))


def _exemplars(exemplars: Exemplars | None) -> list[Exemplar]:
    return [
        Exemplar({}, value, int(at * 1e9), span_id=int(trace.span_id, 16), trace_id=int(trace.trace_id, 16))
        for trace, value, at in (exemplars or {}).values()
    ]


def _number_point(
    spec: MetricSpec, key: LabelValues, value: float, started_at: int, now: int, exemplars: list[Exemplar]
) -> NumberDataPoint:
    fits = not isinstance(value, int) or abs(value) <= _LARGEST_INTEGER
    return NumberDataPoint(
        _attributes(spec, key), started_at, now, value if fits else float(value), exemplars
    )


def _histogram_point(
    spec: MetricSpec, key: LabelValues, point: DataPoint, started_at: int, now: int, exemplars: list[Exemplar]
) -> HistogramDataPoint:
    # Shared data points contain floats only; a count of OTLP is an integer.
    buckets = [int(count) for count in point[1:]]
    return HistogramDataPoint(
        attributes=_attributes(spec, key),
        start_time_unix_nano=started_at,
        time_unix_nano=now,
        count=sum(buckets),
        sum=point[0],
        bucket_counts=buckets,
        explicit_bounds=spec.buckets,
        # Optional in OTLP; a recorder does not keep them.
        min=None,  # type: ignore[arg-type]
        max=None,  # type: ignore[arg-type]
        exemplars=exemplars,
    )
