"""A request and its calls to providers are spans of one trace, and none stays active."""

from collections.abc import Iterable, Iterator, Sequence
from wsgiref.types import StartResponse, WSGIEnvironment

import httpx
import pytest
import requests
from flask import Flask

from moneypath.telemetry import Catalogue, Recorder, correlation, setup
from moneypath.telemetry.correlation import Context
from moneypath.telemetry.integrations import flask as observed_flask
from moneypath.telemetry.integrations import httpx as observed_httpx
from moneypath.telemetry.integrations import requests as observed_requests
from moneypath.telemetry.integrations.wsgi import TelemetryMiddleware
from moneypath.telemetry.tracing import Tracer
from moneypath.telemetry.tracing.redacted_span import RedactedSpan

from .conftest import Provider, serving_wsgi

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = f"00-{TRACE}-00f067aa0ba902b7-01"


class Traced:
    """A recorder with a tracer that keeps every span."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._exported: list[RedactedSpan] = []
        self._tracer = Tracer(self, ratio=1)
        self.recorder: Recorder = setup(catalogue, service="checkout", tracer=self._tracer)

    def open(self) -> None:
        """Do nothing."""

    def export(self, spans: Sequence[RedactedSpan]) -> bool:
        """Keep the spans."""
        self._exported += spans
        return True

    def close(self) -> None:
        """Do nothing."""

    def spans(self) -> dict[str, RedactedSpan]:
        """Close the tracer and return the exported spans by name, each name once."""
        assert self._tracer.close()
        found = {span.name: span for span in self._exported}
        assert len(found) == len(self._exported)
        return found


@pytest.fixture
def traced(catalogue: Catalogue) -> Iterator[Traced]:
    """Return a traced recorder, and close it at the end."""
    made = Traced(catalogue)
    yield made
    made.spans()


def test_call_of_a_request_is_its_child(traced: Traced, provider: Provider) -> None:
    """One trace from the caller through Flask and httpx to the provider; retries are numbered."""
    app = Flask("checkout")
    north = httpx.Client(base_url=provider.url, trust_env=False)

    @app.post("/payments/<reference>")
    def pay(reference: str) -> str:
        north.post("/down")
        # What was sent to whom is over; the request goes on being the active one.
        assert correlation.current() == "order-0001"
        return reference

    observed_flask.instrument(app, traced.recorder)
    observed_httpx.instrument(north, traced.recorder, provider="north", operation="authorize")
    with north, serving_wsgi(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        headers = {"traceparent": CALLER, "x-correlation-id": "order-0001"}
        assert client.post("/payments/7", headers=headers).text == "7"
    spans = traced.spans()
    request, call = spans["POST /payments/{reference}"], spans["provider authorize"]
    assert request.trace.trace_id == call.trace.trace_id == TRACE
    assert call.parent is not None
    assert call.parent.span_id == request.trace.span_id
    assert provider.received[0]["traceparent"] == f"00-{TRACE}-{call.trace.span_id}-01"
    assert request.attributes["http.response.status_code"] == 200
    assert {
        name: call.attributes[name]
        for name in ("moneypath.provider", "moneypath.attempt", "http.response.status_code")
    } == {"moneypath.provider": "north", "moneypath.attempt": 1, "http.response.status_code": 503}
    assert (call.attributes["moneypath.outcome"], call.attributes["moneypath.fault_domain"]) == (
        "failed",
        "theirs",
    )
    assert correlation.active() is None


@pytest.mark.parametrize(
    ("path", "outcome", "fault"),
    [
        ("/approved", "succeeded", None),
        ("/invalid", "rejected", None),
        ("/hangs-up", "indeterminate", "in_flight"),
        ("/half", "indeterminate", "in_flight"),
        ("/silent", "indeterminate", "in_flight"),
    ],
)
@pytest.mark.parametrize("library", ["httpx", "requests"])
def test_span_of_a_call_says_whose_fault_it_was(
    traced: Traced, provider: Provider, library: str, path: str, outcome: str, fault: str | None
) -> None:
    """The same for both clients; what was active before the call is active after it."""
    outside = Context("order-0001")
    # Where an answer comes, a slow machine is no silent provider.
    seconds = 0.3 if path == "/silent" else 30
    with requests.Session() as session, httpx.Client(trust_env=False, timeout=seconds) as client:
        session.trust_env = False
        observed_requests.instrument(session, traced.recorder, provider="north", operation="authorize")
        observed_httpx.instrument(client, traced.recorder, provider="north", operation="authorize")
        with correlation.entered(outside):
            try:
                if library == "httpx":
                    client.post(provider.url + path)
                else:
                    session.post(provider.url + path, timeout=seconds)
            except (httpx.TransportError, requests.RequestException):
                pass
            assert correlation.active() == outside
    (span,) = traced.spans().values()
    assert span.attributes["moneypath.outcome"] == outcome
    assert span.attributes.get("moneypath.fault_domain") == fault


def test_attempts_of_one_payment_are_numbered(traced: Traced, provider: Provider) -> None:
    """A retry is the second attempt; the next payment starts at one."""
    numbers: list[object] = []
    with httpx.Client(base_url=provider.url, trust_env=False) as client:
        observed_httpx.instrument(client, traced.recorder, provider="north", operation="authorize")
        for paths in (("/down", "/approved"), ("/approved",)):
            with traced.recorder.payment("authorize") as payment:
                for path in paths:
                    client.post(path)
                payment.finish("succeeded", "north")
    assert traced._tracer.close()
    numbers = [span.attributes["moneypath.attempt"] for span in traced._exported if span.kind == "client"]
    assert numbers == [1, 2, 1]
    traced._exported.clear()


def test_request_is_active_only_in_its_steps(traced: Traced) -> None:
    """Between chunks other requests use the thread; each chunk is made within its request."""
    seen: list[str | None] = []

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        correlation.name_payment("payment-7")

        def chunks() -> Iterator[bytes]:
            for _ in range(2):
                context = correlation.active()
                seen.append(context and context.payment_id)
                yield b"."

        return chunks()

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/x", "HTTP_TRACEPARENT": CALLER}
    outside = Context("of-the-server")
    with correlation.entered(outside):
        body = TelemetryMiddleware(app, traced.recorder, ["/x"])(environ, lambda *_: lambda _: None)
        for _ in body:
            assert correlation.active() == outside
        assert correlation.active() == outside
    assert seen == ["payment-7", "payment-7"]
    span = traced.spans()["GET /x"]
    assert span.attributes["moneypath.payment_id"] == "payment-7"


def test_exception_of_an_application_is_its_spans(traced: Traced) -> None:
    """It is exported as an error, with its type and the redacted text."""

    def app(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
        raise ValueError("card 4111 1111 1111 1111")

    with pytest.raises(ValueError, match="card"):
        TelemetryMiddleware(app, traced.recorder, ["/x"])(
            {"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}, lambda *_: lambda _: None
        )
    span = traced.spans()["GET /x"]
    assert span.attributes["http.response.status_code"] == 500
    assert "4111" not in repr(span)
    assert "ValueError" in repr(span)


def test_span_of_a_payment_whose_answer_was_lost_is_indeterminate(traced: Traced, provider: Provider) -> None:
    """The call's exception states the outcome for the payment's record and its span."""
    with httpx.Client(base_url=provider.url, trust_env=False) as client:
        observed_httpx.instrument(client, traced.recorder, provider="north", operation="authorize")
        with pytest.raises(httpx.RemoteProtocolError), traced.recorder.payment("authorize"):
            client.post("/hangs-up")
    spans = traced.spans()
    assert spans["payment authorize"].attributes["moneypath.outcome"] == "indeterminate"
    assert spans["provider authorize"].attributes["moneypath.outcome"] == "indeterminate"


def test_answer_that_is_read_elsewhere_leaves_what_is_active_there(
    traced: Traced, provider: Provider
) -> None:
    """The call's span ends with the last byte, and changes no active context."""
    with httpx.Client(base_url=provider.url, trust_env=False) as client:
        observed_httpx.instrument(client, traced.recorder, provider="north", operation="query")
        with client.stream("GET", "/approved") as answer:
            elsewhere = Context("elsewhere-1")
            with correlation.entered(elsewhere):
                answer.read()
                assert correlation.active() == elsewhere
            assert correlation.active() is None
    assert traced.spans()["provider query"].attributes["moneypath.outcome"] == "succeeded"
