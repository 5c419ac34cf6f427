"""The WSGI middleware times a request to the end of its response and breaks nothing."""

import sys
from collections.abc import Callable, Iterable, Iterator
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.validate import validator

import httpx
import pytest

from moneypath.telemetry import MetricUnknown, Recorder, correlation, setup
from moneypath.telemetry.catalogue import Catalogue
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.integrations.wsgi import TelemetryMiddleware, metrics_app

from .conftest import CountRequests, serving_wsgi

Read = Callable[..., float | None]

ROUTES = ("/healthz", "/v1/payments/{payment_id}", "/v1/caf\u00e9")


def answering(status: str = "200 OK", chunks: Iterable[bytes] | None = None) -> WSGIApplication:
    """Return an application that answers with this status and the current correlation id as its body."""

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, [("Content-Type", "text/plain"), ("X-Correlation-Id", "of-the-app")])
        return [(correlation.current() or "").encode()] if chunks is None else chunks

    return app


class Chunks:
    """A body that records the context of each chunk, and whether it was closed."""

    def __init__(self, *chunks: bytes | BaseException) -> None:
        self._chunks = iter(chunks)
        self.seen: list[str | None] = []
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.seen.append(correlation.current())
        chunk = next(self._chunks)
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk

    def close(self) -> None:
        """Record the call."""
        self.seen.append(correlation.current())
        self.closed += 1


def call(app: WSGIApplication, path: str = "/healthz", **environ: str) -> tuple[list[str], Iterable[bytes]]:
    """Run an application without a server. Return its status, its headers and its unread body."""
    started: list[str] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        started[:] = [status, *(value for name, value in headers if name.lower() == "x-correlation-id")]
        return lambda _: None

    return started, app({"REQUEST_METHOD": "GET", "PATH_INFO": path, **environ}, start_response)


def test_served_by_a_real_server(recorder: Recorder, counted: CountRequests) -> None:
    """Method, route and status are counted; the caller's id is active inside and returned once."""
    # The validator on both sides: to one it is a proper server, to the other a proper application.
    app = validator(TelemetryMiddleware(validator(answering("201 Created")), recorder, ROUTES))
    with serving_wsgi(app) as url:
        answer = httpx.get(f"{url}/v1/payments/7", headers={"X-Correlation-Id": "abcd-1234"}, trust_env=False)
    assert (answer.status_code, answer.text) == (201, "abcd-1234")
    assert answer.headers.get_list("x-correlation-id") == ["abcd-1234"]
    assert counted("GET", "/v1/payments/{payment_id}", "201") == 1


@pytest.mark.parametrize("given", ["short", "4111-1111-1111-1111", "abcd-1234,efgh-5678"])
def test_an_id_that_is_none_is_replaced(recorder: Recorder, given: str) -> None:
    """Two headers arrive joined by a comma, which is not an id either."""
    started, body = call(TelemetryMiddleware(answering(), recorder, ROUTES), HTTP_X_CORRELATION_ID=given)
    assert len(started[1]) == 36
    assert list(body) == [started[1].encode()]
    assert correlation.current() is None


def test_path_outside_ascii_is_matched(recorder: Recorder, counted: CountRequests) -> None:
    """WSGI passes its bytes as Latin-1."""
    with serving_wsgi(TelemetryMiddleware(answering(), recorder, ROUTES)) as url:
        httpx.get(f"{url}/v1/caf\u00e9", trust_env=False)
    assert counted("GET", "/v1/caf\u00e9", "200") == 1


def test_record_is_taken_at_the_end_of_the_body(recorder: Recorder, counted: CountRequests) -> None:
    """Not before; each chunk is made in the request's context; closing later counts nothing again."""
    chunks = Chunks(b"one", b"two")
    app = TelemetryMiddleware(answering(chunks=chunks), recorder, ROUTES)
    _, body = call(app, HTTP_X_CORRELATION_ID="abcd-1234")
    iterator = iter(body)
    assert [next(iterator), next(iterator)] == [b"one", b"two"]
    assert counted("GET", "/healthz", "200") is None
    assert next(iterator, b"end") == b"end"
    assert counted("GET", "/healthz", "200") == 1
    body.close()  # type: ignore[attr-defined]
    assert counted("GET", "/healthz", "200") == 1
    assert chunks.closed == 1
    assert chunks.seen == ["abcd-1234"] * 4


def test_body_that_is_given_up_counts_when_closed(recorder: Recorder, counted: CountRequests) -> None:
    """When a client leaves, the server closes the body without reading it."""
    chunks = Chunks(b"one", b"two")
    _, body = call(TelemetryMiddleware(answering(chunks=chunks), recorder, ROUTES))
    next(iter(body))
    body.close()  # type: ignore[attr-defined]
    assert counted("GET", "/healthz", "200") == 1
    assert chunks.closed == 1


def test_exceptions_count_as_500_and_pass_on(recorder: Recorder, counted: CountRequests) -> None:
    """Before and during the response."""

    def broken(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call(TelemetryMiddleware(broken, recorder, ROUTES))
    _, body = call(TelemetryMiddleware(answering(chunks=Chunks(b"", ZeroDivisionError())), recorder, ROUTES))
    with pytest.raises(ZeroDivisionError):
        list(body)
    assert counted("GET", "/healthz", "500") == 2
    assert counted("GET", "/healthz", "200") is None
    assert correlation.current() is None


def test_status_that_replaces_another_is_the_one_that_counts(
    recorder: Recorder, counted: CountRequests
) -> None:
    """An application may start a second response for an error as long as nothing was sent."""

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            start_response("503 Service Unavailable", [], sys.exc_info())
        return [b""]

    list(call(TelemetryMiddleware(app, recorder, ROUTES))[1])
    assert counted("GET", "/healthz", "503") == 1


def test_length_of_a_body_stays_known(recorder: Recorder) -> None:
    """A server takes Content-Length from a body of one chunk; a body without a length gets none."""
    assert len(call(TelemetryMiddleware(answering(), recorder, ROUTES))[1]) == 1  # type: ignore[arg-type]
    _, body = call(TelemetryMiddleware(answering(chunks=Chunks(b"")), recorder, ROUTES))
    assert not hasattr(body, "__len__")


def test_one_inside_another_counts_once(recorder: Recorder, counted: CountRequests) -> None:
    """Only the outer middleware counts."""
    inner = TelemetryMiddleware(answering(), recorder, ["/healthz"])
    list(call(TelemetryMiddleware(inner, recorder, ROUTES))[1])
    assert counted("GET", "/healthz", "200") == 1


def test_wiring_mistakes_are_refused(catalogue: Catalogue, recorder: Recorder) -> None:
    """Also if the routes come later."""
    with pytest.raises(TelemetryError, match="begin with /"):
        TelemetryMiddleware(answering(), recorder, ["healthz"])
    bare = setup(catalogue, service="api", metrics=["moneypath_duplicate_charges"])
    with pytest.raises(MetricUnknown, match="http_server_request_duration_seconds"):
        TelemetryMiddleware(answering(), bare, lambda: ROUTES)


def test_too_many_routes_of_an_application_are_other(recorder: Recorder, counted: CountRequests) -> None:
    """A service starts in spite of too many routes, or one that cannot be a label."""
    found = ("no-path", "/" + "x" * 200, *(f"/{number}" for number in range(300)))
    app = TelemetryMiddleware(answering(), recorder, lambda: found)
    for path in ("/0", "/199", "/200", "/" + "x" * 200):
        list(call(app, path)[1])
    assert counted("GET", "/199", "200") == 1
    assert counted("GET", "other", "200") == 2


def test_metrics_are_served(recorder: Recorder) -> None:
    """In the requested format; HEAD gets no body, other methods get 405."""
    app = validator(metrics_app(recorder))
    with serving_wsgi(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        text = client.get("/metrics")
        assert text.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "# TYPE moneypath_payments_total counter" in text.text
        openmetrics = client.get("/metrics", headers={"accept": "application/openmetrics-text"})
        assert openmetrics.text.endswith("# EOF\n")
        assert client.head("/metrics").content == b""
        refused = client.post("/metrics")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
