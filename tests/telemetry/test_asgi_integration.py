"""The ASGI middleware times requests and never breaks the application."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client.openmetrics import parser as openmetrics_parser
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from moneypath.telemetry import Catalogue, MetricUnknown, Recorder, correlation, setup
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.integrations.asgi import (
    App,
    Message,
    Receive,
    Scope,
    Send,
    TelemetryMiddleware,
    metrics_endpoint,
)
from moneypath.telemetry.tracing import Tracer

Read = Callable[..., float | None]

ROUTES = ("/healthz", "/v1/payments", "/v1/payments/{payment_id}", "/files/{name:path}")
COUNT = "http_server_request_duration_seconds_count"


def counted(read: Read, method: str, route: str, status: str) -> float | None:
    """Return how many requests were counted under these labels."""
    return read(COUNT, http_request_method=method, http_route=route, http_response_status_code=status)


class Answer:
    """The response that a client received."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    def header(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value.decode() for key, value in self.headers if key.lower() == name.encode()]

    async def send(self, message: Message) -> None:
        """Receive one message of the application."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
        else:
            self.body += message.get("body", b"")


async def receive() -> Message:
    """Return an empty request body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def call(
    app: App, path: str = "/healthz", method: str = "GET", headers: list[tuple[bytes, bytes]] | None = None
) -> Answer:
    """Send one request through an application."""
    answer = Answer()
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": headers or [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    await app(scope, receive, answer.send)
    return answer


def answering(status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> App:
    """Return an application that answers with this status and the current correlation id as its body."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers or []})
        await send({"type": "http.response.body", "body": (correlation.current() or "").encode()})

    return app


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/healthz", "/healthz"),
        ("/v1/payments", "/v1/payments"),
        ("/v1/payments/0192", "/v1/payments/{payment_id}"),
        ("/v1/payments/{payment_id}", "/v1/payments/{payment_id}"),
        ("/files/a/b/c", "/files/{name:path}"),
        ("/v1/payments/0192/capture", "other"),
        ("/v1/payments/", "other"),
        ("/healthz\n", "other"),
        ("/healthzz", "other"),
        ("/" + "x" * 100_000, "other"),
        ("", "other"),
    ],
)
async def test_path_becomes_a_declared_route(recorder: Recorder, read: Read, path: str, route: str) -> None:
    """No raw path ever becomes a label."""
    await call(TelemetryMiddleware(answering(), recorder, ROUTES), path)
    assert counted(read, "GET", route, "200") == 1


@pytest.mark.parametrize(
    ("method", "status", "labels"),
    [
        ("POST", 201, ("POST", "201")),
        ("BREW", 418, ("other", "other")),
        ("get", 200, ("other", "200")),
        ("GET", 999, ("GET", "other")),
    ],
)
async def test_method_and_status_are_closed_sets(
    recorder: Recorder, read: Read, method: str, status: int, labels: tuple[str, str]
) -> None:
    """A method or status that the catalogue does not declare is `other`, not a new series."""
    await call(TelemetryMiddleware(answering(status), recorder, ROUTES), method=method)
    assert counted(read, labels[0], "/healthz", labels[1]) == 1


async def test_framework_route_is_used(recorder: Recorder, read: Read) -> None:
    """The route that FastAPI matched becomes the label, through an included router as well."""
    api = FastAPI()
    router = APIRouter(prefix="/v1")

    @router.get("/payments/{payment_id}")
    async def payment(payment_id: str) -> dict[str, str | None]:
        return {"id": payment_id, "correlation_id": correlation.current()}

    api.include_router(router)
    app = TelemetryMiddleware(api, recorder, ["/v1/payments/{payment_id}"])
    answer = await call(app, "/v1/payments/7", headers=[(b"x-correlation-id", b"abcd-1234")])
    assert answer.body == b'{"id":"7","correlation_id":"abcd-1234"}'
    assert (await call(app, "/nowhere")).status == 404
    assert (await call(app, "/v1/payments/7", "POST")).status == 405
    assert counted(read, "GET", "/v1/payments/{payment_id}", "200") == 1
    assert counted(read, "GET", "other", "404") == 1
    assert counted(read, "POST", "/v1/payments/{payment_id}", "405") == 1


async def test_added_to_fastapi_as_its_middleware(recorder: Recorder, read: Read) -> None:
    """It can be added the framework's way, and an exception of a handler counts as 500."""
    api = FastAPI()

    @api.get("/healthz")
    async def broken() -> None:
        raise ZeroDivisionError

    api.add_middleware(TelemetryMiddleware, recorder=recorder, routes=["/healthz"])
    with pytest.raises(ZeroDivisionError):
        await call(api)
    assert counted(read, "GET", "/healthz", "500") == 1


@pytest.mark.parametrize("given", [b"abcd-1234", b"A" * 64, b"0192f0c1-7d3e-7bbb-8000-000000000000"])
async def test_correlation_id_of_the_caller_is_kept(recorder: Recorder, given: bytes) -> None:
    """A well-formed id is active in the application and returned once."""
    app = TelemetryMiddleware(answering(headers=[(b"X-Correlation-Id", b"of-the-app")]), recorder, ROUTES)
    answer = await call(app, headers=[(b"X-Correlation-ID", given)])
    assert answer.header("x-correlation-id") == [given.decode()]
    assert answer.body == given
    assert correlation.current() is None


@pytest.mark.parametrize(
    "given",
    [
        [],
        [b""],
        [b"short-7"],
        [b"A" * 65],
        [b"abcd 1234"],
        [b"abcd_1234"],
        [b"abcd-1234\n"],
        [b"abcd-1234\r\nset-cookie: x"],
        ["abcd-\u00fc234".encode()],
        [b"\xff" * 10],
        [b"4111111111111111"],
        [b"4111-1111-1111-1111"],
        [b"abcd-1234", b"efgh-5678"],
    ],
)
async def test_any_other_correlation_id_is_replaced(recorder: Recorder, given: list[bytes]) -> None:
    """A malformed or repeated id, or a card number, is replaced by a new one for each request."""
    app = TelemetryMiddleware(answering(), recorder, ROUTES)
    answers = [await call(app, headers=[(b"x-correlation-id", value) for value in given]) for _ in range(2)]
    minted = [answer.header("x-correlation-id") for answer in answers]
    assert all(len(ids) == 1 and len(ids[0]) == 36 for ids in minted)
    assert minted[0] != minted[1]
    assert [answer.body.decode() for answer in answers] == [ids[0] for ids in minted]


@pytest.mark.parametrize("traced", [False, True])
async def test_no_header_of_a_caller_spoils_the_scrape(recorder: Recorder, traced: bool) -> None:
    """A trusted header that turns out to be malformed costs the payment its exemplar and nothing else."""
    if traced:
        recorder = setup(
            service="shop", providers=["north"], currencies=["EUR"], tracer=Tracer(Nowhere(), ratio=0.0)
        )

    async def pay(_scope: Scope, _receive: Receive, send: Send) -> None:
        recorder.begin("authorize").finish(0.1, "succeeded", "north")
        await answering()(_scope, _receive, send)

    app = TelemetryMiddleware(pay, recorder, ROUTES)
    await call(app, headers=[(b"traceparent", b"x" * 54 + b"1")])
    paid = 'moneypath_payments_total{operation="authorize",outcome="succeeded",provider="north"'
    assert paid in recorder.render(openmetrics=True).decode()


class Nowhere:
    """A sink that drops spans."""

    def open(self) -> None:
        """Do nothing."""

    def export(self, spans: object) -> bool:
        """Drop the spans."""
        return True

    def close(self) -> None:
        """Do nothing."""


async def test_concurrent_requests_keep_their_ids_apart(recorder: Recorder) -> None:
    """Each request sees its own id, however they interleave."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        await answering()(_scope, _receive, send)

    wrapped = TelemetryMiddleware(app, recorder, ROUTES)
    ids = [f"request-{number:04}" for number in range(50)]
    answers = await asyncio.gather(*(call(wrapped, headers=[(b"x-correlation-id", i.encode())]) for i in ids))
    assert [answer.body.decode() for answer in answers] == ids


async def test_exception_counts_as_500_and_passes_on(recorder: Recorder, read: Read) -> None:
    """It counts as 500 even if the response had begun with 200."""

    async def before(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ZeroDivisionError

    async def after(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise ZeroDivisionError

    for app in (before, after):
        with pytest.raises(ZeroDivisionError):
            await call(TelemetryMiddleware(app, recorder, ROUTES))
    assert counted(read, "GET", "/healthz", "500") == 2
    assert counted(read, "GET", "/healthz", "200") is None
    assert correlation.current() is None


async def test_silent_application_and_cancelled_request_count_as_500(recorder: Recorder, read: Read) -> None:
    """A request without a response counts as an error."""

    async def silent(_scope: Scope, _receive: Receive, _send: Send) -> None:
        return

    async def endless(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    await call(TelemetryMiddleware(silent, recorder, ROUTES))
    task = asyncio.create_task(call(TelemetryMiddleware(endless, recorder, ROUTES)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counted(read, "GET", "/healthz", "500") == 2


@pytest.mark.parametrize(("is_streamed", "seconds"), [(False, 1.0), (True, 6.0)])
async def test_an_answer_ends_at_its_last_message(
    catalogue: Catalogue, is_streamed: bool, seconds: float
) -> None:
    """A single message ends when it is handed over, a stream when the server has taken the last message."""
    now = 0.0
    recorder = setup(catalogue, service="api", tracer=Tracer(clock=lambda: now))

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal now
        now += 1
        await send({"type": "http.response.start", "status": 200})
        if is_streamed:
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})
        now += 100

    async def send(message: Message) -> None:
        nonlocal now
        if message["type"] == "http.response.body":
            now += 2.5

    scope: Scope = {"type": "http", "method": "GET", "path": "/healthz", "headers": []}
    await TelemetryMiddleware(app, recorder, ROUTES)(scope, receive, send)
    labels = 'http_request_method="GET",http_route="/healthz",http_response_status_code="200"'
    assert f"http_server_request_duration_seconds_sum{{{labels}}} {seconds}".encode() in recorder.render()


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_anything_but_http_passes_through_untouched(recorder: Recorder, kind: str) -> None:
    """Lifespan and WebSocket get the server's own scope, receive and send."""
    seen: list[Any] = []

    async def app(*arguments: Any) -> None:
        seen.extend(arguments)

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope: Scope = {"type": kind}
    before = recorder.render().count(b"\n")
    await TelemetryMiddleware(app, recorder, ROUTES)(scope, receive, send)
    assert [id(item) for item in seen] == [id(scope), id(receive), id(send)]
    assert recorder.render().count(b"\n") == before


async def test_messages_of_the_server_are_not_changed_in_place(recorder: Recorder) -> None:
    """An application may send the same message twice; it must not collect our headers."""
    start: Message = {"type": "http.response.start", "status": 200, "headers": ()}

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start)
        await send({"type": "http.response.body"})

    await call(TelemetryMiddleware(app, recorder, ROUTES))
    assert start["headers"] == ()


async def test_one_answer_for_many_callers_carries_the_id_of_each(recorder: Recorder) -> None:
    """A response object that is sent repeatedly carries only the id of the current caller."""
    response = PlainTextResponse("ok", headers={"X-Correlation-Id": "of-the-app"})
    app = TelemetryMiddleware(response, recorder, ROUTES)
    ids = [f"request-{number:04}" for number in range(3)]
    answers = [await call(app, headers=[(b"x-correlation-id", each.encode())]) for each in ids]
    assert [answer.header("x-correlation-id") for answer in answers] == [[each] for each in ids]
    assert response.headers["x-correlation-id"] == "of-the-app"


async def test_paths_and_methods_of_callers_are_not_remembered(recorder: Recorder, read: Read) -> None:
    """Values that a caller chooses use no memory; frequent paths are found without matching templates."""
    app = TelemetryMiddleware(answering(), recorder, ROUTES)
    for _ in range(2):
        for number in range(50):
            await call(app, f"/v1/payments/{number}")
            await call(app, f"/nowhere/{number}")
            await call(app, method=f"BREW{number}")
            await call(app)
    times = app._times
    assert set(times.by_path) == {("GET", "/healthz", 200), ("GET", "other", 200)}
    assert set(times._handles) == {
        ("GET", route, 200) for route in ("/healthz", "/v1/payments/{payment_id}", "other")
    }
    assert counted(read, "GET", "/healthz", "200") == 100
    assert counted(read, "other", "/healthz", "200") == 100
    assert counted(read, "GET", "/v1/payments/{payment_id}", "200") == 100
    assert counted(read, "GET", "other", "200") == 100


def test_wiring_mistakes_are_refused(catalogue: Catalogue, recorder: Recorder) -> None:
    """An invalid route, too many routes and a recorder without the metric are refused before serving."""
    with pytest.raises(TelemetryError, match="begin with /"):
        TelemetryMiddleware(answering(), recorder, ["healthz"])
    with pytest.raises(TelemetryError, match="more than 200"):
        TelemetryMiddleware(answering(), recorder, [f"/{number}" for number in range(201)])
    bare = setup(catalogue, service="api", metrics=["moneypath_duplicate_charges"])
    with pytest.raises(MetricUnknown, match="http_server_request_duration_seconds"):
        TelemetryMiddleware(answering(), bare, ROUTES)


async def test_metrics_are_served_in_the_format_asked_for(recorder: Recorder) -> None:
    """Content type and content follow the Accept header, also if it is sent in two parts."""
    endpoint = metrics_endpoint(recorder)
    text = await call(endpoint, "/metrics")
    assert text.header("content-type") == ["text/plain; version=0.0.4; charset=utf-8"]
    assert b"# TYPE moneypath_payments_total counter" in text.body
    headers = [(b"accept", b"text/plain;q=0.1"), (b"Accept", b"application/openmetrics-text;version=1.0.0")]
    openmetrics = await call(endpoint, "/metrics", headers=headers)
    assert openmetrics.header("content-type") == [
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    ]
    # The parser ships without annotations of its own.
    parse: Callable[[str], Iterable[object]] = openmetrics_parser.text_string_to_metric_families
    assert list(parse(openmetrics.body.decode()))
    assert openmetrics.header("content-length") == [str(len(openmetrics.body))]


async def test_metrics_endpoint_answers_get_and_head_only(recorder: Recorder) -> None:
    """HEAD gets no body. Other methods get 405, other protocols raise an error."""
    endpoint = metrics_endpoint(recorder)
    head = await call(endpoint, "/metrics", "HEAD")
    assert (head.status, head.body) == (200, b"")
    post = await call(endpoint, "/metrics", "POST")
    assert (post.status, post.header("allow")) == (405, ["GET, HEAD"])
    with pytest.raises(TelemetryError, match="websocket"):
        await endpoint({"type": "websocket"}, receive, Answer().send)


async def test_metrics_endpoint_is_a_route_of_starlette(recorder: Recorder) -> None:
    """Starlette's Route takes it for an application and not for a request handler."""
    app = Starlette(routes=[Route("/metrics", metrics_endpoint(recorder))])
    answer = await call(app, "/metrics")
    assert answer.status == 200
    assert b"moneypath_payments_total" in answer.body
