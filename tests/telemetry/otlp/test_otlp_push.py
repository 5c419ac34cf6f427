"""Metrics are pushed over a real connection. A dead, slow or refusing collector harms no payment."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import pytest
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, get_value
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource

from moneypath.telemetry import Recorder, TelemetryError
from moneypath.telemetry.otlp import RecorderReader, push

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
Scraped = Callable[[Recorder], Series]
Sent = Callable[[ExportMetricsServiceRequest], Series]
Metrics = Callable[[ExportMetricsServiceRequest], dict[str, Metric]]

# Longer than any test: only what a test asks for is exported.
NEVER = 3600.0
MISSED = ("moneypath_telemetry_drops_total", frozenset({("reason", "export_missed")}))


class Collector(Protocol):
    """The interface of the fake collector."""

    endpoint: str
    status: int
    requests: list[ExportMetricsServiceRequest]
    paths: list[str]
    headers: list[dict[str, str]]
    most_at_a_time: int
    release: threading.Event

    def wait(self) -> None: ...

    def close(self) -> None: ...


@contextmanager
def pushing(recorder: Recorder, endpoint: str, **options: Any) -> Iterator[RecorderReader]:
    """Push until the end of the block; on request only, unless an interval is given."""
    handle = push(
        recorder, endpoint=endpoint, **{"interval_seconds": NEVER, "timeout_seconds": 20, **options}
    )
    try:
        yield handle
    finally:
        handle.close()


def pay(recorder: Recorder, times: int = 1) -> None:
    """Record some payments."""
    for _ in range(times):
        with recorder.payment("authorize") as payment:
            payment.finish("succeeded", "north")


def test_what_arrives_is_what_a_scrape_says(
    filled: Recorder, collector: Collector, scraped: Scraped, sent: Sent
) -> None:
    """Every received series equals the text's; the resource names service and process."""
    with pushing(filled, collector.endpoint, headers={"x-tenant": "a"}, instance="host:1") as handle:
        assert handle.force_flush()
        assert sent(collector.requests[-1]) == scraped(filled)
        pay(filled)
        assert sent(collector.requests[-1]) != scraped(filled)
        assert handle.force_flush()
        assert sent(collector.requests[-1]) == scraped(filled)
    (resource,) = collector.requests[0].resource_metrics
    told = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert told["service.name"] == "refpay-api"
    assert told["service.instance.id"] == "host:1"
    assert set(collector.paths) == {"/v1/metrics"}
    assert collector.headers[0]["x-tenant"] == "a"


def test_it_exports_by_itself(recorder: Recorder, collector: Collector, sent: Sent, scraped: Scraped) -> None:
    """It exports at every interval and once more when closed; a second close does nothing."""
    handle = push(recorder, endpoint=collector.endpoint, interval_seconds=0.02, timeout_seconds=20)
    for _ in range(3):
        collector.wait()
    pay(recorder)
    handle.close(20)
    assert sent(collector.requests[-1]) == scraped(recorder)
    handle.close()
    assert "moneypath-otlp" not in {thread.name for thread in threading.enumerate()}


def test_an_outage_loses_no_number(
    recorder: Recorder, collector: Collector, sent: Sent, scraped: Scraped
) -> None:
    """Missed exports are counted; the next successful one carries all numbers."""
    with pushing(recorder, collector.endpoint) as handle:
        assert handle.force_flush()
        collector.status = 400
        for count in (1, 2):
            pay(recorder, 10)
            assert not handle.force_flush()
            assert scraped(recorder)[MISSED] == count
        collector.status = 200
        assert handle.force_flush()
        arrived = sent(collector.requests[-1])
    assert arrived == scraped(recorder)
    assert arrived[MISSED] == 2
    assert len(collector.requests) == 3


def test_a_dead_collector_is_counted(recorder: Recorder, collector: Collector, scraped: Scraped) -> None:
    """A refused connection is retried within the time-out, then counted; nothing raises."""
    collector.close()
    with pushing(recorder, collector.endpoint, timeout_seconds=0.2) as handle:
        assert not handle.force_flush()
        assert scraped(recorder)[MISSED] == 1
        pay(recorder)
    assert scraped(recorder)[MISSED] == 2


def test_a_slow_collector_holds_up_nothing(
    recorder: Recorder, collector: Collector, sent: Sent, scraped: Scraped
) -> None:
    """During a slow export payments and scrapes continue, and no second export starts or queues."""
    collector.release.clear()
    with pushing(recorder, collector.endpoint, interval_seconds=0.001) as handle:
        collector.wait()
        pay(recorder, 1000)
        assert scraped(recorder)[("moneypath_telemetry_records_total", frozenset())] == 1000
        assert not handle.force_flush(timeout_millis=50)
        assert collector.requests == []
        collector.release.set()
        # The export under way, and the one that was due all the time: it carries the thousand.
        collector.wait()
    assert collector.most_at_a_time == 1
    assert sent(collector.requests[-1]) == scraped(recorder)
    assert scraped(recorder)[MISSED] == 0


def test_a_slow_collector_is_given_up(recorder: Recorder, collector: Collector, scraped: Scraped) -> None:
    """An export without a response ends at our time-out, not the SDK's ten seconds, and is counted."""
    collector.release.clear()
    with pushing(recorder, collector.endpoint, timeout_seconds=0.2) as handle:
        started_at = monotonic()
        assert not handle.force_flush()
        assert monotonic() - started_at < 8
        assert scraped(recorder)[MISSED] == 1
        collector.release.set()


def test_closing_does_not_wait_for_a_silent_collector(recorder: Recorder, collector: Collector) -> None:
    """It returns after the given time, long before the export's time-out."""
    collector.release.clear()
    handle = push(recorder, endpoint=collector.endpoint, interval_seconds=0.001, timeout_seconds=30)
    collector.wait()
    started_at = monotonic()
    handle.close(timeout_seconds=0.05)
    assert monotonic() - started_at < 10
    collector.release.set()


def test_metrics_of_the_sdk_leave_in_the_same_request(
    recorder: Recorder, collector: Collector, sent: Sent, scraped: Scraped, metrics: Metrics
) -> None:
    """Added to a MeterProvider, it exports that provider's instruments with the recorder's metrics."""
    reader = RecorderReader(
        recorder,
        OTLPMetricExporter(endpoint=f"{collector.endpoint}/v1/metrics", timeout=20),
        resource=Resource({"service.name": "shop"}),
        interval_seconds=NEVER,
        timeout_seconds=20,
    )
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    try:
        assert provider.force_flush()
        assert sent(collector.requests[-1]) == scraped(recorder)
        provider.get_meter("shop").create_counter("baskets").add(3)
        assert provider.force_flush()
        found = metrics(collector.requests[-1])
        assert found["baskets"].sum.data_points[0].as_int == 3
        assert "moneypath_payments_total" in found
    finally:
        provider.shutdown()


class Faulty(MetricExporter):
    """An exporter that raises at the first export and records its context at the second."""

    def __init__(self) -> None:
        super().__init__()
        self.suppressed: list[object] = []

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any
    ) -> MetricExportResult:
        self.suppressed.append(get_value(_SUPPRESS_INSTRUMENTATION_KEY))
        if len(self.suppressed) == 1:
            raise RuntimeError("a defect of the exporter")
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        pass


def test_a_defect_of_an_exporter_is_counted(recorder: Recorder, scraped: Scraped) -> None:
    """It ends neither the thread nor a payment, and exports are not observed as the service's traffic."""
    exporter = Faulty()
    reader = RecorderReader(
        recorder, exporter, resource=Resource({}), interval_seconds=NEVER, timeout_seconds=1
    )
    assert not reader.force_flush()
    assert scraped(recorder)[MISSED] == 1
    assert reader.force_flush()
    reader.close(20)
    assert exporter.suppressed == [True] * 3
    assert get_value(_SUPPRESS_INSTRUMENTATION_KEY) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "collector:4318"},
        {"endpoint": "ftp://collector:4318"},
        {"endpoint": "http://"},
        {"endpoint": "http://collector:port"},
        {"endpoint": "http://user:secret@collector:4318"},
        {"endpoint": "http://collector:4318?token=secret"},
        {"interval_seconds": 0},
        {"interval_seconds": float("nan")},
        {"timeout_seconds": -1},
        {"timeout_seconds": 1e9},
    ],
)
def test_wrong_wiring_is_one_sentence(recorder: Recorder, wrong: dict[str, Any]) -> None:
    """A mistake is found at the start, leaves no thread, and does not repeat a secret of the address."""
    threads = threading.active_count()
    with pytest.raises(TelemetryError) as refused:
        push(recorder, **{"endpoint": "http://collector:4318", **wrong})
    assert threading.active_count() == threads
    assert refused.value.hint
    assert "secret" not in f"{refused.value}{refused.value.hint}"


def test_the_address_may_be_full_or_from_the_environment(
    recorder: Recorder, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base address, a full one, and OpenTelemetry's own variable reach the same collector."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    for endpoint in (f"{collector.endpoint}/", f"{collector.endpoint}/v1/metrics", None):
        handle = push(recorder, endpoint=endpoint, interval_seconds=NEVER, timeout_seconds=20)
        assert handle.force_flush()
        handle.close()
    assert set(collector.paths) == {"/v1/metrics"}


def test_the_guides_lines_do_it(filled: Recorder, collector: Collector, sent: Sent, scraped: Scraped) -> None:
    """The lines of docs/guides/collector.md run as they are, with the fake collector's address."""
    guide = (Path(__file__).parents[3] / "docs/guides/collector.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert "http://collector:4318" in lines
    exec(lines.replace("http://collector:4318", collector.endpoint), {"recorder": filled})  # noqa: S102
    assert sent(collector.requests[-1]) == scraped(filled)
