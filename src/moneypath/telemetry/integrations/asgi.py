"""Pure ASGI: a middleware that times requests and traces them, and an endpoint that serves the metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from moneypath.telemetry import correlation
from moneypath.telemetry.correlation.ids import mint
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.exposition.text import negotiate
from moneypath.telemetry.integrations.http_server import MARK, RequestTimes
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
# ASGI demands lower case; a server that passes on what HTTP/1.1 clients write is understood too.
_CARRIED: Final = {
    spelling: name
    for name in (_HEADER, _TRACEPARENT, _TRACESTATE)
    for spelling in (name, name.title(), name.capitalize(), name.upper(), b"X-Correlation-ID")
    if spelling.lower() == name
}


class TelemetryMiddleware:
    """Time each HTTP request, give it a correlation id and a span; anything but HTTP passes untouched.

    `routes` are the path templates (`/v1/payments/{payment_id}`) that may stand in the label; any
    other path is `other`. An exception counts as 500 and passes on. Inside another of its kind, as in
    an application that is mounted in an observed one, it passes requests on: each counts once.

    A request ends with its answer: one in a single message when that is handed to the server, a streamed
    one when the server has taken the last of it. Background work after that is not the caller's time.
    """

    __slots__ = ("_app", "_begin", "_by_path", "_clock", "_times")

    def __init__(self, app: App, recorder: Recorder, routes: Iterable[str]) -> None:
        self._app = app
        self._times = RequestTimes(recorder, routes)
        self._by_path = self._times.by_path
        self._begin = recorder.tracer.begin
        self._clock = recorder.tracer.clock

    # One function in as few steps as can be: among the framework's code, which leaves little of this in the
    # processor's caches, each step costs about three times of what it costs in a loop.
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: C901
        if scope["type"] != "http" or MARK in scope:
            await self._app(scope, receive, send)
            return
        clock = self._clock
        begun = clock()
        ended: float | None = None
        scope[MARK] = True
        path = scope.get("path", "")
        if root := scope.get("root_path"):
            # A server that was told of a root path puts it before the path. A mount lengthens the root later.
            path = path[len(root) :] if path.startswith(f"{root}/") else path
        headers = scope.get("headers", ())
        given = traceparent = tracestate = None
        for name, value in headers:
            if name in _CARRIED:
                if name != _TRACEPARENT or traceparent is not None:
                    given, traceparent, tracestate = _read_headers(headers)
                    break
                # As a rule the only one of them that there is.
                traceparent = value
        correlation_id = mint() if given is None else correlation.accept(given)
        span = self._begin("HTTP", _SERVER, correlation_id, traceparent, tracestate, begun)
        # Until an answer begins: a server answers 500 for an app that raises or stays silent.
        status, is_streamed, failure = 500, False, None

        # Annotations would be made anew for each request.
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
                # A copy: the application may send the same answer again, and to another caller meanwhile.
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
            # Given on as it is: a coroutine around each message would cost more than all that is done here.
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
                kind = self._by_path.get(request)
            except TypeError:
                kind = None
            # Starlette leaves the route that it matched in the scope.
            observe, ending = kind or self._times.kind_of_path(request, scope.get("route"))
            observe(ended - begun)
            span.end(failure, ended, ending)
            # The error holds this frame, and would be held by it.
            del failure


def _read_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str | None, bytes | None, str | None]:
    """Return the correlation id, traceparent and tracestate that a request carries, as they were sent."""
    found: dict[bytes, bytes | None] = {}
    for spelling, value in headers:
        name = _CARRIED.get(spelling)
        if name is None:
            continue
        if name not in found:
            found[name] = value
        else:
            # Two ids are no id: nothing says which of them the caller's logs hold. A list may be split.
            before = found[name]
            found[name] = before + b"," + value if name == _TRACESTATE and before is not None else None
    get = found.get
    return _text(get(_HEADER)), get(_TRACEPARENT), _text(get(_TRACESTATE))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def metrics_endpoint(recorder: Recorder) -> App:
    """Return an ASGI app that serves the metrics, in the format that the Accept header prefers."""
    return _MetricsEndpoint(recorder)


class _MetricsEndpoint:
    """An object and no function, because Starlette's Route takes a function for a request handler."""

    __slots__ = ("_recorder",)

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        if scope["type"] != "http":
            raise TelemetryError(
                f"metrics endpoint: cannot serve {scope['type']}", hint="mount it under a path"
            )
        headers: list[tuple[bytes, bytes]]
        if scope["method"] not in ("GET", "HEAD"):
            status, content, headers = 405, b"", [(b"allow", b"GET, HEAD")]
        else:
            accept = b",".join(value for name, value in scope.get("headers", ()) if name.lower() == b"accept")
            chosen = negotiate(accept.decode("latin-1"))
            status, content = 200, await _render(self._recorder, openmetrics=chosen.openmetrics)
            headers = [(b"content-type", chosen.content_type.encode()), (b"vary", b"accept")]
        headers.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else content
        await send({"type": "http.response.body", "body": body})


async def _render(recorder: Recorder, *, openmetrics: bool) -> bytes:
    """Render and let the event loop serve others in between; one that is not asyncio's gets it in one go."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return recorder.render(openmetrics)
    steps: list[bytes] = []
    for step in recorder.render_in_steps(openmetrics):
        steps.append(step)
        await asyncio.sleep(0)
    return b"".join(steps)
