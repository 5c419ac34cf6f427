"""Pure ASGI: a middleware that times and traces requests, and an endpoint that serves the metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from moneypath.telemetry import correlation
from moneypath.telemetry.correlation.ids import mint
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.exposition.text import negotiate
from moneypath.telemetry.integrations.http_server import TIMED_KEY, RequestTimes
from moneypath.telemetry.recording.recorder import Recorder
from moneypath.telemetry.tracing import SpanKind

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADER: Final = correlation.HEADER.encode()
_HEADER_LENGTH: Final = len(_HEADER)
_TRACEPARENT: Final = b"traceparent"
_TRACESTATE: Final = b"tracestate"
_SERVER: Final = SpanKind.SERVER
# ASGI requires lower case; some servers pass on the spelling of HTTP/1.1 clients.
_CARRIED: Final = {
    spelling: name
    for name in (_HEADER, _TRACEPARENT, _TRACESTATE)
    for spelling in (name, name.title(), name.capitalize(), name.upper(), b"X-Correlation-ID")
    if spelling.lower() == name
}

# Between two steps of a scrape. A turn of the event loop is too short: the next step would run between the
# arrival of a request and its handler. Timers of event loops count milliseconds, and some round down.
REST_SECONDS: Final = 0.001


class TelemetryMiddleware:
    """Times each HTTP request and gives it a correlation id and a span. Passes anything but HTTP through.

    `routes` are the path templates (`/orders/{order_id}`) that may become a label; any other path is
    `other`. An exception counts as 500 and passes on. Inside another middleware of this class, as in a
    mounted application, it only passes requests on, so that each request counts once.

    A request ends when its response is complete: a single message when it is handed to the server, a stream
    when the server has taken the last message. Background tasks after that do not count.
    """

    __slots__ = ("_app", "_begin", "_by_path", "_clock", "_times")

    def __init__(self, app: App, recorder: Recorder, routes: Iterable[str]) -> None:
        self._app = app
        self._times = RequestTimes(recorder, routes)
        self._by_path = self._times.by_path
        self._begin = recorder.tracer.begin
        self._clock = recorder.tracer.clock

    # One function with as few steps as possible: between the framework's code, which evicts this from the
    # CPU caches, each step costs about three times as much as in a loop.
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: C901
        if scope["type"] != "http" or TIMED_KEY in scope:
            await self._app(scope, receive, send)
            return
        clock = self._clock
        started_at = clock()
        ended: float | None = None
        scope[TIMED_KEY] = True
        path = scope.get("path", "")
        if root := scope.get("root_path"):
            # A server with a root path puts it before the path. Mounts extend the root path later.
            path = path[len(root) :] if path.startswith(f"{root}/") else path
        headers = scope.get("headers", ())
        given = traceparent = tracestate = None
        for name, value in headers:
            if name in _CARRIED:
                if name != _TRACEPARENT or traceparent is not None:
                    given, traceparent, tracestate = _read_headers(headers)
                    break
                # Usually the only one of these headers.
                traceparent = value
        correlation_id = mint() if given is None else correlation.accept(given)
        span = self._begin("HTTP", _SERVER, correlation_id, traceparent, tracestate, started_at)
        # Until the response starts: a server sends 500 for an app that raises or sends nothing.
        status, is_streamed, failure = 500, False, None

        # No annotations, because they would be evaluated at each request.
        def send_marked(message):  # type: ignore[no-untyped-def]
            nonlocal ended, is_streamed, status
            kind = message["type"]
            if kind == "http.response.start":
                status = message["status"]
                answered = message.get("headers", ())
                for name, _ in answered:
                    if len(name) == _HEADER_LENGTH and name.lower() == _HEADER:
                        answered = [pair for pair in answered if pair[0].lower() != _HEADER]
                        break
                # A copy, because the application may send the same message object again, also to another
                # caller.
                message = {**message, "headers": [*answered, (_HEADER, correlation_id.encode())]}
            elif kind == "http.response.body":
                if message.get("more_body"):
                    is_streamed = True
                elif is_streamed:

                    async def send_last(last: Message) -> None:
                        nonlocal ended
                        await send(last)
                        ended = clock()

                    return send_last(message)
                else:
                    ended = clock()
            # Returned without awaiting: a coroutine around each message would cost more than this whole
            # function.
            return send(message)

        try:
            await self._app(scope, receive, send_marked)
        except BaseException as error:
            status, failure = 500, error
            raise
        finally:
            if ended is None:
                ended = clock()
            request = scope["method"], path, status
            try:
                handle = self._by_path.get(request)
            except TypeError:
                handle = None
            # Starlette stores the matched route in the scope.
            observe, preset = handle or self._times.handle_of_path(request, scope.get("route"))
            observe(ended - started_at)
            span.end(failure, ended, preset)
            # Break the reference cycle between the error and this frame.
            del failure


def _read_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str | None, bytes | None, str | None]:
    """Return the correlation id, traceparent and tracestate of a request, unparsed."""
    found: dict[bytes, bytes | None] = {}
    for spelling, value in headers:
        name = _CARRIED.get(spelling)
        if name is None:
            continue
        if name not in found:
            found[name] = value
        else:
            # A header that occurs twice is ignored, because it is unclear which one counts. Only tracestate
            # may be split.
            before = found[name]
            found[name] = before + b"," + value if name == _TRACESTATE and before is not None else None
    get = found.get
    return _text(get(_HEADER)), get(_TRACEPARENT), _text(get(_TRACESTATE))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def metrics_endpoint(recorder: Recorder) -> App:
    """Return an ASGI app that serves the metrics in the format that the Accept header prefers."""
    return _MetricsEndpoint(recorder)


class _MetricsEndpoint:
    """An object and not a function, because Starlette's Route would take a function for a request handler."""

    __slots__ = ("_recorder",)

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        if scope["type"] != "http":
            raise TelemetryError(
                f"The metrics endpoint cannot serve {scope['type']}.", hint="Mount it under a path."
            )
        headers: list[tuple[bytes, bytes]]
        if scope["method"] not in ("GET", "HEAD"):
            status, parts, headers = 405, [b""], [(b"allow", b"GET, HEAD")]
        else:
            accept = b",".join(value for name, value in scope.get("headers", ()) if name.lower() == b"accept")
            chosen = negotiate(accept.decode("latin-1"))
            status, parts = 200, await _render(self._recorder, openmetrics=chosen.openmetrics)
            headers = [(b"content-type", chosen.content_type.encode()), (b"vary", b"accept")]
        headers.append((b"content-length", str(sum(map(len, parts))).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if scope["method"] == "HEAD":
            parts = [b""]
        # One message for each step, because joining and sending all at once would hold the loop.
        for part in parts[:-1]:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": parts[-1]})


async def _render(recorder: Recorder, *, openmetrics: bool) -> list[bytes]:
    """Render in steps, and rest after each, so that asyncio's event loop serves other requests in between.

    On another loop it renders at once.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return [recorder.render(openmetrics)]
    parts: list[bytes] = []
    for part in recorder.render_in_steps(openmetrics):
        parts.append(part)
        await asyncio.sleep(REST_SECONDS)
    return parts
