"""The OTLP request has exactly the series of the text, with the same numbers."""

import subprocess
import sys
from collections.abc import Callable
from time import time_ns

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource

from moneypath.telemetry import Catalogue, MetricKind, MetricSpec, Recorder, Unit, setup
from moneypath.telemetry.correlation import Context, Trace, entered
from moneypath.telemetry.otlp import resource_metrics
from moneypath.telemetry.recording.registry import RENDER_BYTES

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
Scraped = Callable[[Recorder], Series]
Sent = Callable[[ExportMetricsServiceRequest], Series]
Metrics = Callable[[ExportMetricsServiceRequest], dict[str, Metric]]

RESOURCE = Resource({"service.name": "refpay-api"})
ROUTING = "moneypath_provider_routing_active"
CUMULATIVE = 2


def encoded(recorder: Recorder) -> ExportMetricsServiceRequest:
    """Return the request that would be sent, after encoding and decoding it."""
    data = encode_metrics(MetricsData([resource_metrics(recorder, RESOURCE)]))
    request = ExportMetricsServiceRequest()
    request.ParseFromString(data.SerializeToString())
    return request


def small() -> Catalogue:
    """Return one metric of each kind, precreated or not."""
    labels = {"kind": ("a", "b")}
    return Catalogue.of(
        [
            MetricSpec("moneypath_a_total", MetricKind.COUNTER, "Help.", Unit.NONE, labels, (), 2, True),
            MetricSpec("moneypath_b_minor_units", MetricKind.GAUGE, "Help.", Unit.MINOR_UNITS, labels, (), 2),
            MetricSpec(
                "moneypath_c_seconds",
                MetricKind.HISTOGRAM,
                "Help.",
                Unit.SECONDS,
                labels,
                (0.1, 1.0),
                10,
                False,
            ),
        ]
    )


def test_every_series_is_the_same_on_both_ways(filled: Recorder, scraped: Scraped, sent: Sent) -> None:
    """With the whole catalogue nothing is missing, added or rounded."""
    over_otlp = sent(encoded(filled))
    over_text = scraped(filled)
    assert over_otlp == over_text
    assert len(over_text) > 1000
    changed = dict(over_text)
    changed[next(iter(changed))] += 1
    assert over_otlp != changed


NUMBERS = st.one_of(st.integers(0, 2**60), st.floats(0, 1e12), st.just(float("nan")), st.just(-1))
RECORDS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("ab?"), NUMBERS), max_size=40)


@given(records=RECORDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_is_recorded_is_the_same_on_both_ways(
    records: list[tuple[str, str, float]], scraped: Scraped, sent: Sent
) -> None:
    """Any mixture of records, dropped ones included, gives the same series, repeatedly."""
    recorder = setup(small(), service="refpay-api")
    for metric, kind, number in records:
        if metric == "a":
            recorder.counter("moneypath_a_total").inc(number, kind=kind)
        elif metric == "b":
            recorder.gauge("moneypath_b_minor_units").set(number, kind=kind)
        else:
            recorder.histogram("moneypath_c_seconds").observe(number, kind=kind)
    for _ in range(2):
        assert sent(encoded(recorder)) == scraped(recorder)


def test_an_absent_gauge_is_absent(recorder: Recorder, sent: Sent, metrics: Metrics) -> None:
    """It has no data point, and a metric without data points is left out. Set again, it is back."""
    key = (ROUTING, frozenset({("provider", "north")}))
    assert ROUTING not in metrics(encoded(recorder))
    gauge = recorder.gauge(ROUTING)
    gauge.set(0, provider="north")
    assert sent(encoded(recorder))[key] == 0
    gauge.set(float("nan"), provider="north")
    gauge.set(1, provider="south")
    assert key not in sent(encoded(recorder))
    assert ROUTING in metrics(encoded(recorder))


def test_kinds_units_and_times(filled: Recorder, metrics: Metrics) -> None:
    """Counters are monotonic and cumulative since the recorder's start; units are UCUM."""
    before = time_ns()
    recorder = setup(small(), service="refpay-api")
    after = time_ns()
    recorder.counter("moneypath_a_total").inc(1, kind="a")
    recorder.histogram("moneypath_c_seconds").observe(0.5, kind="a")
    found = metrics(encoded(recorder))
    counter, histogram = found["moneypath_a_total"], found["moneypath_c_seconds"]
    assert counter.sum.is_monotonic
    assert counter.sum.aggregation_temporality == histogram.histogram.aggregation_temporality == CUMULATIVE
    (point,) = histogram.histogram.data_points
    assert (point.count, list(point.bucket_counts), list(point.explicit_bounds)) == (1, [0, 1, 0], [0.1, 1.0])
    # What a recorder does not keep is not said, rather than said to be 0.
    assert not point.HasField("min")
    assert not point.HasField("max")
    for each in (*counter.sum.data_points, point):
        assert before <= each.start_time_unix_nano <= after <= each.time_unix_nano
    units = {metric.unit for metric in metrics(encoded(filled)).values()}
    assert units <= {"", "s", "By", "{minor_unit}", "{micro_unit}"}
    assert {metric.name for metric in metrics(encoded(filled)).values() if metric.unit == "By"} == {
        RENDER_BYTES
    }
    assert histogram.unit == "s"
    assert histogram.description == "Help."


def test_integers_stay_integers_as_far_as_the_protocol_reaches(filled: Recorder, metrics: Metrics) -> None:
    """Money above 2**53 minor units is exact; numbers above 64 bits become floats."""
    found = metrics(encoded(filled))
    imbalance = {
        point.attributes[0].value.string_value: point
        for point in found["moneypath_ledger_imbalance_minor_units"].gauge.data_points
    }
    assert imbalance["EUR"].as_int == 2**53 + 1
    assert imbalance["JPY"].as_int == -7
    (beyond,) = found["moneypath_duplicate_charges"].gauge.data_points
    assert beyond.as_double == 2.0**63


def test_exemplars_lead_to_their_traces(recorder: Recorder, metrics: Metrics) -> None:
    """A sampled payment's trace is in its bucket and its count, with ids and nothing else."""
    trace = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True, state="shop=1")
    with entered(Context("a-correlation-id", trace)), recorder.payment("authorize") as payment:
        payment.finish("succeeded", "north")
    found = metrics(encoded(recorder))
    for points in (
        found["moneypath_payment_duration_seconds"].histogram.data_points,
        found["moneypath_payments_total"].sum.data_points,
    ):
        (exemplar,) = [each for point in points for each in point.exemplars]
        assert (exemplar.trace_id.hex(), exemplar.span_id.hex()) == (trace.trace_id, trace.span_id)
        assert not exemplar.filtered_attributes
        assert exemplar.as_double < 60
        assert abs(exemplar.time_unix_nano - time_ns()) < 60e9


def test_reading_is_no_record(recorder: Recorder, scraped: Scraped) -> None:
    """A snapshot changes no number."""
    before = scraped(recorder)
    resource_metrics(recorder, RESOURCE)
    assert scraped(recorder) == before


def test_import_starts_nothing() -> None:
    """Importing starts no thread and sets no global provider; the core does not load OpenTelemetry."""
    probe = (
        "import sys, threading, moneypath.telemetry as t;"
        "print(any(name.startswith('opentelemetry') for name in sys.modules));"
        "import moneypath.telemetry.otlp, opentelemetry.metrics._internal as m;"
        "print(threading.active_count(), m._METER_PROVIDER)"
    )
    run = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.split("\n")[:2] == ["False", "1 None"]
