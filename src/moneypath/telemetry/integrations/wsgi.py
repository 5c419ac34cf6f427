"""Pure WSGI: a middleware that times requests, and an application that serves the metrics."""

import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from moneypath.telemetry import correlation
from moneypath.telemetry.exposition.text import negotiate
from moneypath.telemetry.integrations.http_server import (
    CARRIED,
    TIMED_KEY,
    RequestTimes,
    ServedRequest,
    own_routes,
)
from moneypath.telemetry.recording.recorder import Recorder

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None

# The environ key under which a framework's integration stores the matched template.
ROUTE = "moneypath.route"

_CARRIED = {name: f"HTTP_{name.upper().replace('-', '_')}" for name in CARRIED}


class TelemetryMiddleware:
    """Times each request until its response ends or is abandoned, and gives it a correlation id.

    `routes` are the path templates (`/orders/{order_id}`) that may become a label, or a function
    that returns those of an application. The function is called at the first request, when all routes
    exist. Any other path is `other`. An exception counts as 500 and passes on.
    """

    def __init__(
        self, app: WSGIApplication, recorder: Recorder, routes: Iterable[str] | Callable[[], Iterable[str]]
    ) -> None:
        self._app = app
        self._recorder = recorder
        self._own_routes = routes if callable(routes) else None
        # Made even if routes come later, so that an unsuitable recorder is refused at the start.
        self._times = RequestTimes(recorder, () if callable(routes) else routes)
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if TIMED_KEY in environ:
            return self._app(environ, start_response)
        environ[TIMED_KEY] = True
        if self._own_routes is not None:
            self._close_routes()
        return _TimedRequest(self._times, environ, start_response).answer(self._app)

    def _close_routes(self) -> None:
        with self._lock:
            if self._own_routes is not None:
                self._times = RequestTimes(self._recorder, own_routes(self._recorder, self._own_routes()))
                self._own_routes = None


class _TimedRequest:
    """One request that is being timed."""

    __slots__ = ("_environ", "_start_response", "_status", "_times", "served")

    def __init__(self, times: RequestTimes, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self.served = ServedRequest(
            times, {name: environ[key] for name, key in _CARRIED.items() if key in environ}
        )
        self._times = times
        self._environ = environ
        self._start_response = start_response
        # Until the response starts: a server sends 500 for an application that raises.
        self._status = 500

    def answer(self, app: WSGIApplication) -> Iterable[bytes]:
        """Run the application and return its response, wrapped so that its end is noticed."""
        try:
            with self.served:
                chunks = app(self._environ, self.start_response)
        except BaseException as error:
            self.end(error)
            raise
        return (_SizedResponse if hasattr(chunks, "__len__") else _Response)(self, chunks)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExceptionInfo = None
    ) -> Callable[[bytes], object]:
        """Note the status and add the correlation id to the response."""
        code = status[:3]
        self._status = int(code) if code.isdecimal() else 0
        marked = [pair for pair in headers if pair[0].lower() != correlation.HEADER]
        marked.append((correlation.HEADER, self.served.correlation_id))
        if exc_info is None:
            return self._start_response(status, marked)
        return self._start_response(status, marked, exc_info)

    def end(self, error: BaseException | None = None) -> None:
        """End the request, once."""
        if self.served.is_open:
            environ = self._environ
            route = self._times.find(_text(environ.get("PATH_INFO", "")), environ.get(ROUTE))
            status = self._status if error is None else 500
            self.served.end(environ.get("REQUEST_METHOD", ""), route, status, error)


class _Response:
    """The chunks of a response. Each is made within the request's context."""

    __slots__ = ("_chunks", "_iterator", "_request")

    def __init__(self, request: _TimedRequest, chunks: Iterable[bytes]) -> None:
        self._request = request
        self._chunks = chunks
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        request = self._request
        try:
            with request.served:
                if self._iterator is None:
                    self._iterator = iter(self._chunks)
                return next(self._iterator)
        except StopIteration:
            request.end()
            raise
        except BaseException as error:
            request.end(error)
            raise

    def close(self) -> None:
        """End the request, also if its response was not read completely.

        Closes the application's response.
        """
        self._request.end()
        close = getattr(self._chunks, "close", None)
        if close is not None:
            with self._request.served:
                close()


class _SizedResponse(_Response):
    """A response with a known number of chunks.

    A server takes the length of a single chunk for Content-Length.
    """

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._chunks)  # type: ignore[arg-type]  # made only for chunks that have a length


def metrics_app(recorder: Recorder) -> WSGIApplication:
    """Return a WSGI application that serves the metrics in the format that the Accept header prefers."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ.get("REQUEST_METHOD", "")
        if method not in ("GET", "HEAD"):
            refusal = [("Allow", "GET, HEAD"), ("Content-Type", "text/plain"), ("Content-Length", "0")]
            start_response("405 Method Not Allowed", refusal)
            return [b""]
        content, content_type = render(recorder, environ.get("HTTP_ACCEPT", ""))
        headers = [("Content-Type", content_type), ("Vary", "Accept"), ("Content-Length", str(len(content)))]
        start_response("200 OK", headers)
        return [b"" if method == "HEAD" else content]

    return app


def render(recorder: Recorder, accept: str) -> tuple[bytes, str]:
    """Return the metrics in the format that an Accept header prefers, and its content type."""
    chosen = negotiate(accept)
    return recorder.render(openmetrics=chosen.openmetrics), chosen.content_type


def _text(path: str) -> str:
    """Return the path as text; PEP 3333 passes its bytes as Latin-1."""
    try:
        return path.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return path
