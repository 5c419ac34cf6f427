"""A request is one span under its caller's, and log lines share its ids across services."""

import asyncio
import io
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import structlog
import uvicorn
from tests.telemetry.tracing.conftest import MakeTraced, Traced

from moneypath.telemetry import Catalogue, Recorder, correlation, logs, setup
from moneypath.telemetry.integrations.asgi import (
    App,
    Message,
    Receive,
    Scope,
    Send,
    TelemetryMiddleware,
)
from moneypath.telemetry.tracing import SpanKind

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
Headers = list[tuple[bytes, bytes]]


def parent(flags: str) -> tuple[bytes, bytes]:
    """Return a caller's header."""
    return (b"traceparent", f"00-{TRACE}-{SPAN}-{flags}".encode())


def watched(traced: Traced, catalogue: Catalogue) -> Recorder:
    """Return a recorder with the tracer."""
    return setup(catalogue, service="refpay-api", tracer=traced.tracer)


async def call(app: App, headers: Headers, path: str = "/pay/7") -> list[Message]:
    """Send one request through an application."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send)
    return sent


def answering(status: int) -> App:
    """Return an application that answers with this status."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        correlation.name_payment("p-1")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app


async def test_a_request_is_a_server_span_under_its_caller(
    make_traced: MakeTraced, catalogue: Catalogue
) -> None:
    """It is named by its route, never by its path, which may contain anything."""
    traced = make_traced(ratio=0, is_started=False)
    app = TelemetryMiddleware(answering(201), watched(traced, catalogue), ["/pay/{id}"])
    state = [(b"tracestate", b"a=1"), (b"tracestate", b"b=2")]
    await call(app, [parent("01"), *state, (b"x-correlation-id", b"0000-request")])
    assert correlation.active() is None
    span = traced.span("POST /pay/{id}")
    assert span.kind is SpanKind.SERVER
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id, span.trace.state) == (TRACE, SPAN, "a=1,b=2")
    assert span.is_parent_remote
    assert span.attributes == {
        "moneypath.payment_id": "p-1",
        "http.request.method": "POST",
        "http.route": "/pay/{id}",
        "http.response.status_code": 201,
    }


@pytest.mark.parametrize(
    ("headers", "sampled"),
    [
        ([parent("01")], True),
        ([parent("00")], False),
        ([parent("01"), parent("01")], False),
        ([(b"Traceparent", parent("01")[1])], True),
        ([(b"traceparent", b"\xff" * 55)], False),
        ([], False),
    ],
)
async def test_the_callers_flag_decides(
    make_traced: MakeTraced, catalogue: Catalogue, headers: Headers, sampled: bool
) -> None:
    """Two parent headers count as none, and a malformed one is ignored."""
    traced = make_traced(ratio=0, is_started=False)
    await call(TelemetryMiddleware(answering(200), watched(traced, catalogue), ["/pay/{id}"]), headers)
    assert len(traced.spans()) == sampled


async def test_a_failed_request_is_kept(make_traced: MakeTraced, catalogue: Catalogue) -> None:
    """With status 500 or an exception; a client error is not a failure of ours."""
    traced = make_traced(ratio=0, is_started=False)
    recorder = watched(traced, catalogue)

    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ZeroDivisionError

    for status in (200, 404, 422, 503):
        await call(TelemetryMiddleware(answering(status), recorder, ["/pay/{id}"]), [parent("00")])
    with pytest.raises(ZeroDivisionError):
        await call(TelemetryMiddleware(broken, recorder, ["/pay/{id}"]), [parent("00")])
    told = [
        (span.attributes["http.response.status_code"], span.attributes["moneypath.kept"], span.error)
        for span in traced.spans()
    ]
    assert told == [(503, "error", None), (500, "error", ("ZeroDivisionError", ""))]


async def test_the_span_ends_with_the_answer(make_traced: MakeTraced, catalogue: Catalogue) -> None:
    """Background work does not count; metric and span have the same duration."""
    now = 0.0
    traced = make_traced(ratio=1.0, is_started=False, clock=lambda: now)
    recorder = watched(traced, catalogue)

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal now
        now += 0.25
        await answering(200)(_scope, _receive, send)
        now += 10

    await call(TelemetryMiddleware(app, recorder, ["/pay/{id}"]), [])
    (span,) = traced.spans()
    assert span.end_time_ns - span.start_time_ns == 250_000_000
    assert (
        b'_sum{http_request_method="POST",http_route="/pay/{id}",http_response_status_code="200"} 0.25'
        in (recorder.render())
    )


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Write the lines of both services to one stream, and restore logging afterwards."""
    target = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("both", target)
    yield target
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@asynccontextmanager
async def served(app: App) -> AsyncIterator[str]:
    """Serve an application on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def test_two_services_write_one_payments_lines_with_one_set_of_ids(
    make_traced: MakeTraced, catalogue: Catalogue, stream: io.StringIO
) -> None:
    """Over a real socket: correlation and trace ids are shared, the callee's span is below the caller's."""
    caller, callee = (make_traced(ratio=0, is_started=False) for _ in range(2))

    async def ledger(_scope: Scope, _receive: Receive, send: Send) -> None:
        correlation.name_payment("p-1")
        structlog.get_logger().info("posted")
        logging.getLogger("driver").info("committed")
        await answering(503)(_scope, _receive, send)

    async with served(TelemetryMiddleware(ledger, watched(callee, catalogue), ["/post"])) as url:

        async def pay(_scope: Scope, _receive: Receive, send: Send) -> None:
            correlation.name_payment("p-1")
            tracer = caller.tracer
            with tracer.span("ledger post", SpanKind.CLIENT, {"moneypath.attempt": 1}) as span:
                carried: dict[str, str] = {}
                correlation.inject(carried)
                async with httpx.AsyncClient(trust_env=False) as client:
                    answer = await client.post(f"{url}/post", headers=carried)
                span.end_with("failed", status_code=answer.status_code)
                structlog.get_logger().warning("not posted")
            await answering(500)(_scope, _receive, send)

        sent = await call(TelemetryMiddleware(pay, watched(caller, catalogue), ["/pay/{id}"]), [])
    correlation_id = dict(sent[0]["headers"])[b"x-correlation-id"].decode()
    lines: list[dict[str, Any]] = [json.loads(line) for line in stream.getvalue().splitlines()]
    ours = {line["event"]: line for line in lines if line.get("payment_id")}
    wanted = {"posted", "committed", "not posted"}
    assert wanted <= set(ours)
    assert {ours[event]["correlation_id"] for event in wanted} == {correlation_id}
    assert len({ours[event]["trace_id"] for event in wanted}) == 1
    post, request, posted = (
        caller.span("ledger post"),
        caller.span("POST /pay/{id}"),
        callee.span("POST /post"),
    )
    assert post.parent is not None
    assert posted.parent is not None
    assert post.parent.span_id == request.trace.span_id
    assert posted.parent.span_id == post.trace.span_id
    assert ours["posted"]["span_id"] == ours["committed"]["span_id"] == posted.trace.span_id
    assert ours["not posted"]["span_id"] == post.trace.span_id
    assert post.attributes["moneypath.fault_domain"] == "theirs"


async def test_ids_go_through_a_queue_in_its_headers(make_traced: MakeTraced) -> None:
    """Any mapping of strings carries them; the consumer's span is below the producer's."""
    traced = make_traced(ratio=1.0)
    message: dict[str, str] = {}
    with traced.tracer.span("publish", SpanKind.PRODUCER) as producer:
        correlation.inject(message)
    with traced.tracer.span("handle", SpanKind.CONSUMER, parent=correlation.extract(message)):
        assert correlation.current() == producer.correlation_id
    handled = traced.span("handle")
    assert handled.parent == producer.trace
    assert handled.is_parent_remote
