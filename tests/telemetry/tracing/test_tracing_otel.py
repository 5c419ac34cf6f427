"""Spans arrive as OpenTelemetry's spans: complete, redacted, and connected with those of libraries."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry import trace as otel_trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from moneypath.telemetry import Catalogue, correlation, setup
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.correlation import Context, Trace
from moneypath.telemetry.tracing import SpanKind, Tracer
from moneypath.telemetry.tracing.otel import OtelContext, OtelSpans
from moneypath.telemetry.tracing.redacted_span import REMEMBERED_LIMIT, SpanRedactor

CARD = "4111111111111111"
UNSAMPLED = Context("0000-request", Trace("a" * 32, "b" * 16, sampled=False, state="vendor=1"))


@pytest.fixture
def memory() -> InMemorySpanExporter:
    """Return the SDK's own exporter for tests."""
    return InMemorySpanExporter()


def make_tracer(memory: InMemorySpanExporter, **settings: Any) -> Tracer:
    """Return a started tracer whose spans end up in memory."""
    tracer = Tracer(OtelSpans(lambda: memory, service="refpay-api"), **settings)
    drops: list[DropReason] = []
    tracer.start(drops.append)
    return tracer


def test_a_span_of_ours_is_one_of_the_sdk(memory: InMemorySpanExporter) -> None:
    """Ids, parent, kind, times, attributes, state and resource."""
    tracer = make_tracer(memory, ratio=0)
    with tracer.span("call", SpanKind.CLIENT, {"moneypath.attempt": 1}, UNSAMPLED) as span:
        span.end_with("indeterminate")
        own = span.trace
    assert tracer.close()
    (exported,) = memory.get_finished_spans()
    assert exported.context is not None
    assert exported.parent is not None
    assert f"{exported.context.trace_id:032x}" == own.trace_id == "a" * 32
    assert f"{exported.context.span_id:016x}" == own.span_id
    assert f"{exported.parent.span_id:016x}" == "b" * 16
    assert exported.context.trace_state.to_header() == "vendor=1"
    assert exported.kind is otel_trace.SpanKind.CLIENT
    assert exported.status.status_code is StatusCode.ERROR
    assert exported.resource.attributes["service.name"] == "refpay-api"
    assert dict(exported.attributes or {}) == {
        "moneypath.outcome": "indeterminate",
        "moneypath.fault_domain": "in_flight",
        "moneypath.kept": "indeterminate",
        "moneypath.attempt": 1,
    }
    json.loads(exported.to_json())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("note", f"paid with {CARD}"),
        ("number", int(CARD)),
        ("number", float(CARD)),
        ("raw", CARD.encode()),
        ("list", ["ok", CARD]),
        ("numbers", (1, int(CARD))),
        ("mapping", {"number": CARD}),
        ("password", "hunter2"),
        ("text", "Authorization: Bearer hunter2"),
        (CARD, 1),
        ("long", "x" * 1000 + CARD + "x" * 100_000),
        ("edge", "x" * (8192 - 10) + CARD),
        ("edge", "token=" + "x" * (8192 - 17) + " " + CARD),
        ("edge", b"token=" + b"x" * (8192 - 17) + b" " + CARD.encode()),
    ],
)
def test_no_attribute_shows_a_card_or_a_credential(
    memory: InMemorySpanExporter, name: str, value: object
) -> None:
    """Names and values are redacted and bounded before they leave the process."""
    tracer = make_tracer(memory, ratio=1.0)
    with tracer.span("work", attributes={name: value}):
        pass
    assert tracer.close()
    (exported,) = memory.get_finished_spans()
    text = exported.to_json()
    assert CARD not in text
    assert "4111" not in text
    assert "hunter2" not in text
    assert len(text) < 4000
    assert exported.attributes


@pytest.mark.parametrize(
    ("value", "exported"),
    [
        ("0192f0c1-7d3e-7bbb-8000-000000000000", "0192f0c1-7d3e-7bbb-8000-000000000000"),
        (True, True),
        (1500, 1500),
        (0.25, 0.25),
        ((1, 2), (1, 2)),
        ((1, "a"), ("1", "a")),
        (1763812800123, 1763812800123),
        (2**70, hex(2**70)),
        (None, "None"),
    ],
)
def test_what_is_harmless_survives(memory: InMemorySpanExporter, value: object, exported: object) -> None:
    """The positive twin: ids, numbers, booleans and lists stay as they were."""
    tracer = make_tracer(memory, ratio=1.0)
    with tracer.span("work") as span:
        span.set("value", value)
    assert tracer.close()
    attributes = memory.get_finished_spans()[0].attributes or {}
    found = attributes["value"]
    assert (tuple(found) if isinstance(found, list) else found) == exported


def test_no_error_shows_a_card(memory: InMemorySpanExporter) -> None:
    """The text of an error is redacted; its class is in the event and the status."""
    tracer = make_tracer(memory, ratio=0)
    with pytest.raises(ValueError, match=CARD), tracer.span(f"work {CARD}"):
        raise ValueError(f"refused {CARD}, token=hunter2")
    assert tracer.close()
    (exported,) = memory.get_finished_spans()
    assert CARD not in exported.to_json()
    assert "hunter2" not in exported.to_json()
    (event,) = exported.events
    assert (event.name, (event.attributes or {})["exception.type"]) == ("exception", "ValueError")
    assert exported.status.description == "ValueError"


def test_what_was_masked_once_is_masked_again(memory: InMemorySpanExporter) -> None:
    """Harmless texts are cached, within a bound; a card number never is."""
    tracer = make_tracer(memory, ratio=1.0, queue_limit=10_000)
    for number in range(REMEMBERED_LIMIT + 10):
        with tracer.span("work", attributes={"note": CARD, "password": "harmless", "id": f"order-{number}"}):
            pass
    assert tracer.close(30)
    spans = memory.get_finished_spans()
    assert len(spans) == REMEMBERED_LIMIT + 10
    for number, span in enumerate(spans):
        attributes = dict(span.attributes or {})
        assert attributes == {"note": "[card]", "password": "[secret]", "id": f"order-{number}"}


def test_attributes_are_bounded_in_number(memory: InMemorySpanExporter) -> None:
    """Our attributes come first, so that many others cannot displace them."""
    tracer = make_tracer(memory, ratio=1.0)
    with tracer.span("work", attributes={f"name{number}": number for number in range(1000)}) as span:
        span.end_with("failed")
    assert tracer.close()
    attributes = memory.get_finished_spans()[0].attributes or {}
    assert len(attributes) == 64
    assert attributes["moneypath.outcome"] == "failed"


class Collector(ThreadingHTTPServer):
    """A server that receives OTLP over HTTP, or receives it and never responds."""

    daemon_threads = True

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.asked = threading.Event()
        self.released = threading.Event()
        self.received: list[ExportTraceServiceRequest] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Return the address for spans."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1/traces"


class Handler(BaseHTTPRequestHandler):
    """Reads one export."""

    server: Collector

    def do_POST(self) -> None:
        """Keep the export, and respond if the collector does."""
        request = ExportTraceServiceRequest()
        request.ParseFromString(self.rfile.read(int(self.headers["content-length"])))
        self.server.received.append(request)
        self.server.asked.set()
        if not self.server.answers:
            self.server.released.wait()
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def collectors() -> Iterator[list[Collector]]:
    """Hold the servers of a test and stop them."""
    running: list[Collector] = []
    yield running
    for server in running:
        server.released.set()
        server.shutdown()
        server.server_close()


def serve(collectors: list[Collector], *, answers: bool) -> Collector:
    """Start a collector on a free port."""
    server = Collector(answers=answers)
    collectors.append(server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_spans_reach_a_collector_over_the_wire(collectors: list[Collector], catalogue: Catalogue) -> None:
    """The official exporter sends them, ids and parents in their fields, a card number nowhere."""
    server = serve(collectors, answers=True)
    sink = OtelSpans(lambda: OTLPSpanExporter(endpoint=server.url), service="refpay-api")
    tracer = Tracer(sink, ratio=1.0)
    recorder = setup(catalogue, service="api", tracer=tracer)
    with tracer.span("request", SpanKind.SERVER, {"note": CARD}), recorder.payment("authorize") as payment:
        payment.finish("failed", "north")
    assert tracer.close(30)
    received = [request.resource_spans[0].scope_spans[0] for request in server.received]
    spans = {span.name: span for scope in received for span in scope.spans}
    assert spans["payment authorize"].parent_span_id == spans["request"].span_id
    assert spans["payment authorize"].trace_id == spans["request"].trace_id
    assert CARD.encode() not in b"".join(request.SerializeToString() for request in server.received)
    assert b"span_export_failed" in recorder.render()
    assert b'reason="span_export_failed"} 0' in recorder.render()


def test_a_collector_that_never_answers_costs_spans_alone(
    collectors: list[Collector], catalogue: Catalogue
) -> None:
    """Payments finish while the exporter waits; closing gives up in time."""
    server = serve(collectors, answers=False)
    sink = OtelSpans(lambda: OTLPSpanExporter(endpoint=server.url, timeout=2), service="refpay-api")
    tracer = Tracer(sink, ratio=1.0, queue_limit=10)
    recorder = setup(catalogue, service="api", tracer=tracer)
    with tracer.span("first"):
        pass
    assert server.asked.wait(30)
    for _ in range(50):
        with recorder.payment("authorize") as payment:
            payment.finish("succeeded", "north")
    text = recorder.render().decode()
    assert 'provider="north",traffic="live",cohort="control"} 50' in text
    assert 'reason="span_queue_full"} 40' in text
    assert tracer.close(0.05) is False
    assert 'reason="span_export_failed"} 10' in recorder.render().decode()


@pytest.fixture
def theirs(memory: InMemorySpanExporter) -> Iterator[otel_trace.Tracer]:
    """Return a tracer of OpenTelemetry's own, not the process's global one."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    yield provider.get_tracer("library")
    provider.shutdown()


def test_a_library_below_takes_our_span_for_its_parent(
    memory: InMemorySpanExporter, theirs: otel_trace.Tracer
) -> None:
    """They share a trace; if we do not sample, neither does the library."""
    tracer = make_tracer(memory, ratio=1.0, bridge=OtelContext())
    with tracer.span("ours") as ours, theirs.start_as_current_span("theirs"):
        pass
    with tracer.span("dropped", parent=UNSAMPLED), theirs.start_as_current_span("dropped too"):
        pass
    assert tracer.close()
    spans = {span.name: span for span in memory.get_finished_spans()}
    assert set(spans) == {"ours", "theirs"}
    parent = spans["theirs"].parent
    assert parent is not None
    assert f"{parent.span_id:016x}" == ours.trace.span_id
    assert f"{parent.trace_id:032x}" == ours.trace.trace_id
    assert not otel_trace.get_current_span().get_span_context().is_valid


def test_without_the_bridge_the_two_know_nothing_of_each_other(
    memory: InMemorySpanExporter, theirs: otel_trace.Tracer
) -> None:
    """The negative twin: without the bridge no context changes."""
    tracer = make_tracer(memory, ratio=1.0)
    with tracer.span("ours"), theirs.start_as_current_span("theirs"), tracer.span("inner"):
        pass
    assert tracer.close()
    spans = {span.name: span for span in memory.get_finished_spans()}
    assert spans["theirs"].parent is None
    inner, ours = spans["inner"], spans["ours"]
    assert inner.parent is not None
    assert ours.context is not None
    assert inner.parent.span_id == ours.context.span_id


def test_a_span_that_opentelemetry_began_is_our_parent(
    memory: InMemorySpanExporter, theirs: otel_trace.Tracer
) -> None:
    """There is no second root and no second server span for one request."""
    tracer = make_tracer(memory, ratio=0, bridge=OtelContext())
    with theirs.start_as_current_span("theirs", kind=otel_trace.SpanKind.SERVER) as outer:
        span = tracer.begin("HTTP", SpanKind.SERVER, "0000-request")
        with theirs.start_as_current_span("library"), tracer.span("deep"):
            assert correlation.current() == "0000-request"
        span.end()
    assert tracer.close()
    spans = {span.name: span for span in memory.get_finished_spans()}
    assert set(spans) == {"theirs", "HTTP", "library", "deep"}
    parents = {name: span.parent and span.parent.span_id for name, span in spans.items()}
    own = {name: span.context and span.context.span_id for name, span in spans.items()}
    assert parents == {
        "theirs": None,
        "HTTP": own["theirs"],
        "library": own["HTTP"],
        "deep": own["library"],
    }
    assert spans["HTTP"].kind is otel_trace.SpanKind.INTERNAL
    assert len({span.context and span.context.trace_id for span in spans.values()}) == 1
    assert outer.get_span_context().span_id == own["theirs"]


def test_what_a_message_carried_outweighs_an_unrelated_span(
    memory: InMemorySpanExporter, theirs: otel_trace.Tracer
) -> None:
    """The span of a consumer's polling is not the parent of handling a message."""
    tracer = make_tracer(memory, ratio=0, bridge=OtelContext())
    carried = Context("0000-request", Trace("a" * 32, "b" * 16, sampled=True))
    with theirs.start_as_current_span("poll"), tracer.span("message", SpanKind.CONSUMER, parent=carried):
        pass
    assert tracer.close()
    spans = {span.name: span for span in memory.get_finished_spans()}
    parent = spans["message"].parent
    assert parent is not None
    assert f"{parent.span_id:016x}" == "b" * 16


def test_what_the_exporter_itself_calls_makes_no_spans() -> None:
    """An instrumented HTTP client would make a span for every export, without end."""
    seen: list[bool] = []

    class Exporter(InMemorySpanExporter):
        def export(self, spans: Any) -> Any:
            seen.append(is_instrumentation_enabled())
            return super().export(spans)

    tracer = make_tracer(Exporter(), ratio=1.0)
    with tracer.span("work"):
        pass
    assert tracer.close()
    assert seen == [False]
    assert is_instrumentation_enabled()


def test_the_memory_of_what_is_harmless_is_bounded() -> None:
    """However many texts come, and however long they are."""
    tracer, writer = Tracer(ratio=1.0), SpanRedactor()
    for number in range(3 * REMEMBERED_LIMIT):
        span = tracer.span(f"work {number}", attributes={f"name {number}": "x" * 65, "note": CARD})
        span.__enter__()
        span.end()
        writer.write(span.to_data(), 0)
        assert len(writer._harmless) <= REMEMBERED_LIMIT
        assert len(writer._names) <= REMEMBERED_LIMIT
    assert not {"x" * 65, CARD} & writer._harmless
