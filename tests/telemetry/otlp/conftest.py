"""A fake collector, as a real HTTP server that may be slow or refuse, and a common form for both exports."""

import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint
from prometheus_client.parser import text_string_to_metric_families

from moneypath.telemetry import Recorder
from moneypath.telemetry.recording.registry import RENDER_BYTES, RENDER_SECONDS

WAIT_SECONDS = 20.0
# What rendering counts of itself, after it has read the numbers.
COSTS = (RENDER_SECONDS, RENDER_BYTES)

# Every series by name and labels, the edges of buckets as numbers.
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
Scraped = Callable[[Recorder], Series]
Sent = Callable[[ExportMetricsServiceRequest], Series]


class FakeCollector:
    """Receives exports. `status` is its response; `held` makes every request wait for `release`."""

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[ExportMetricsServiceRequest] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_a_time = 0
        self.arrived = threading.Semaphore(0)
        self.release = threading.Event()
        self.release.set()
        self._at_a_time = 0
        self._lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.take(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Read one export and respond."""
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        with self._lock:
            self._at_a_time += 1
            self.most_at_a_time = max(self.most_at_a_time, self._at_a_time)
        self.arrived.release()
        self.release.wait(WAIT_SECONDS)
        with self._lock:
            self._at_a_time -= 1
            if self.status == 200:
                self.requests.append(ExportMetricsServiceRequest.FromString(body))
                self.paths.append(handler.path)
                self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        handler.send_response(self.status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def wait(self) -> None:
        """Wait until one more request has arrived."""
        assert self.arrived.acquire(timeout=WAIT_SECONDS)

    def close(self) -> None:
        """Stop serving, so that the next connection is refused."""
        self.release.set()
        self._server.shutdown()
        self._thread.join(WAIT_SECONDS)
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[FakeCollector]:
    """Run a collector."""
    server = FakeCollector()
    yield server
    server.close()


@pytest.fixture
def filled(recorder: Recorder) -> Recorder:
    """Return a recorder with records of each kind, including extreme numbers."""
    attempt = {"provider": "south", "operation": "query", "outcome": "indeterminate"}
    recorder.histogram("moneypath_provider_request_duration_seconds").observe(0.0425, **attempt)
    recorder.histogram("moneypath_provider_request_duration_seconds").observe(1e6, **attempt)
    recorder.counter("moneypath_provider_attempts_total").inc(2.5, **attempt)
    recorder.counter("moneypath_provider_attempts_total").inc(1, provider="nobody")
    recorder.gauge("moneypath_ledger_imbalance_minor_units").set(2**53 + 1, currency="EUR")
    recorder.gauge("moneypath_ledger_imbalance_minor_units").set(-7, currency="JPY")
    recorder.gauge("moneypath_indeterminate_oldest_timestamp_seconds").set(1795328602.123, provider="north")
    recorder.gauge("moneypath_duplicate_charges").set(2**63)
    recorder.gauge("moneypath_provider_routing_active").set(True, provider="south")
    recorder.gauge("moneypath_provider_routing_active").set(1, provider="north")
    recorder.gauge("moneypath_provider_routing_active").clear(provider="north")
    for outcome in ("succeeded", "succeeded", "declined"):
        with recorder.payment("authorize") as payment:
            payment.finish(outcome, "north")
    recorder.payment("refund").__enter__()
    return recorder


@pytest.fixture
def scraped() -> Scraped:
    """Return a function that parses a recorder's text."""
    return lambda recorder: _text_series(recorder.render().decode())


@pytest.fixture
def sent() -> Sent:
    """Return a function that parses an OTLP request."""
    return _otlp_series


@pytest.fixture
def metrics() -> Callable[[ExportMetricsServiceRequest], dict[str, Metric]]:
    """Return a function that returns a request's metrics by name."""
    return lambda request: {metric.name: metric for metric in _metrics_of(request)}


def _text_series(text: str) -> Series:
    """Parse a Prometheus text, without the metrics about rendering, which an OTLP export does not change."""
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {k: (repr(float(v)) if k == "le" else v) for k, v in sample.labels.items()}
            _put(found, sample.name, labels, sample.value)
    return {key: value for key, value in found.items() if key[0] not in COSTS}


def _otlp_series(request: ExportMetricsServiceRequest) -> Series:
    """Convert an OTLP request to the series of a scrape."""
    found: Series = {}
    for metric in _metrics_of(request):
        for number in (*metric.sum.data_points, *metric.gauge.data_points):
            _put(found, metric.name, _labels_of(number.attributes), _value_of(number))
        for point in metric.histogram.data_points:
            _put_histogram(found, metric.name, point)
    return {key: value for key, value in found.items() if key[0] not in COSTS}


def _metrics_of(request: ExportMetricsServiceRequest) -> list[Metric]:
    """Return all metrics of a request."""
    return [
        metric
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]


def _labels_of(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """Return attributes as labels."""
    return {each.key: each.value.string_value for each in attributes}


def _value_of(point: NumberDataPoint) -> float:
    """Return a point's number, from either of its two fields."""
    return point.as_int if point.WhichOneof("value") == "as_int" else point.as_double


def _put_histogram(found: Series, name: str, point: HistogramDataPoint) -> None:
    labels = _labels_of(point.attributes)
    count = 0
    edges = [*point.explicit_bounds, float("inf")]
    for edge, bucket in zip(edges, point.bucket_counts, strict=True):
        count += bucket
        _put(found, f"{name}_bucket", {**labels, "le": repr(edge)}, count)
    _put(found, f"{name}_count", labels, point.count)
    _put(found, f"{name}_sum", labels, point.sum)


def _put(found: Series, name: str, labels: dict[str, str], value: float) -> None:
    key = (name, frozenset(labels.items()))
    assert key not in found, f"stands twice: {key}"
    found[key] = value
