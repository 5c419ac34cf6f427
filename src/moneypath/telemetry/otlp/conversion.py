"""A recorder's snapshot as the OpenTelemetry SDK's own values, the same numbers under the same names.

Everything is cumulative since the recorder began, so an export that is missed loses no number. A gauge
that is absent has no data point. Exemplars carry the ids of their trace and nothing else.
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
from moneypath.telemetry.exposition.samples import Cells, Exemplars, Key, MetricSamples
from moneypath.telemetry.recording.recorder import Recorder

SCOPE = InstrumentationScope("moneypath.telemetry")

# UCUM. What stands in braces is an annotation, which a translation to Prometheus does not append to the name;
# a plain count has no unit at all, or a gauge of it would be renamed to `_ratio`.
UNITS: Mapping[Unit, str] = {
    Unit.NONE: "",
    Unit.SECONDS: "s",
    Unit.MINOR_UNITS: "{minor_unit}",
    Unit.MICRO_UNITS: "{micro_unit}",
    Unit.BYTES: "By",
    Unit.RATIO: "1",
}

# OTLP carries integers of 64 bits; one beyond leaves as a float, as Prometheus reads it anyway.
_LARGEST_INTEGER = 2**63 - 1


def resource_metrics(recorder: Recorder, resource: Resource, *, own_only: bool = False) -> ResourceMetrics:
    """Read a recorder once and return its metrics as those of `resource`, in the order of their names.

    They are those of all workers, as a scrape is; `own_only` leaves out what others recorded.
    """
    samples = recorder.snapshot(own_only=own_only)
    now = time_ns()
    begun = recorder.begun_unix_nanos
    metrics = [metric for each in samples if (metric := _metric(each, begun, now)) is not None]
    return ResourceMetrics(
        resource=resource,
        scope_metrics=[ScopeMetrics(scope=SCOPE, metrics=metrics, schema_url="")],
        schema_url="",
    )


def _metric(samples: MetricSamples, begun: int, now: int) -> Metric | None:
    """Return None for a metric without any sample: the text has no line of it either."""
    spec = samples.spec
    if not samples.values and not samples.cells:
        return None
    data: Sum | Gauge | Histogram
    if spec.kind is MetricKind.HISTOGRAM:
        points = [
            _histogram_point(spec, key, cells, begun, now, _exemplars(samples.exemplars.get(key)))
            for key, cells in samples.cells.items()
        ]
        data = Histogram(points, AggregationTemporality.CUMULATIVE)
    else:
        numbers = [
            _number_point(spec, key, value, begun, now, _exemplars(samples.exemplars.get(key)))
            for key, value in samples.values.items()
        ]
        if spec.kind is MetricKind.GAUGE:
            data = Gauge(numbers)
        else:
            data = Sum(numbers, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return Metric(name=spec.name, description=spec.help, unit=UNITS[spec.unit], data=data)


def _attributes(spec: MetricSpec, key: Key) -> dict[str, str]:
    return dict(zip(spec.labels, key, strict=True))


def _exemplars(kept: Exemplars | None) -> list[Exemplar]:
    return [
        Exemplar({}, value, int(at * 1e9), span_id=int(trace.span_id, 16), trace_id=int(trace.trace_id, 16))
        for trace, value, at in (kept or {}).values()
    ]


def _number_point(
    spec: MetricSpec, key: Key, value: float, begun: int, now: int, exemplars: list[Exemplar]
) -> NumberDataPoint:
    fits = not isinstance(value, int) or abs(value) <= _LARGEST_INTEGER
    return NumberDataPoint(_attributes(spec, key), begun, now, value if fits else float(value), exemplars)


def _histogram_point(
    spec: MetricSpec, key: Key, cells: Cells, begun: int, now: int, exemplars: list[Exemplar]
) -> HistogramDataPoint:
    # Shared cells are floats throughout; a count of OTLP is an integer.
    buckets = [int(count) for count in cells[1:]]
    return HistogramDataPoint(
        attributes=_attributes(spec, key),
        start_time_unix_nano=begun,
        time_unix_nano=now,
        count=sum(buckets),
        sum=cells[0],
        bucket_counts=buckets,
        explicit_bounds=spec.buckets,
        # Optional in OTLP, and not kept by a recorder: whatever stood here would be invented.
        min=None,  # type: ignore[arg-type]
        max=None,  # type: ignore[arg-type]
        exemplars=exemplars,
    )
