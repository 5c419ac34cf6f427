"""Django: a middleware for sync and async, with the routes of the URL configuration.

Call `instrument(globals(), recorder)` in settings.py, below MIDDLEWARE.
"""

import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.admindocs import utils as simplifying
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import get_resolver
from django.utils.module_loading import import_string

from moneypath.telemetry import correlation
from moneypath.telemetry.catalogue.vocabulary import OTHER
from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.integrations.http_server import (
    CARRIED,
    TIMED_KEY,
    RequestTimes,
    ServedRequest,
    own_routes,
)
from moneypath.telemetry.integrations.wsgi import render
from moneypath.telemetry.recording.recorder import Recorder

MIDDLEWARE = "moneypath.telemetry.integrations.django.TelemetryMiddleware"

# <name> and <converter:name>
_PARAMETER = re.compile(r"<(?:([^>:]+):)?([^>]+)>")


def instrument(
    namespace: MutableMapping[str, Any], recorder: Recorder, *, metrics_path: str | None = "/metrics"
) -> None:
    """Add the middleware and its settings to Django settings that are being defined.

    `namespace` is `globals()` of settings.py, or the dictionary for `settings.configure`. The middleware
    comes first and serves the metrics at `metrics_path` (None: nowhere).
    """
    RequestTimes(recorder, ())
    namespace["MIDDLEWARE"] = [MIDDLEWARE, *namespace.get("MIDDLEWARE", ())]
    namespace["MONEYPATH_RECORDER"] = recorder
    namespace["MONEYPATH_METRICS_PATH"] = metrics_path


class TelemetryMiddleware:
    """Times each request until its response ends or is abandoned, and gives it a correlation id.

    Settings: MONEYPATH_RECORDER is a recorder or its dotted path; MONEYPATH_METRICS_PATH is the metrics'
    path. The routes of the URL configuration at the first request become the values of the label.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._recorder = _configured_recorder()
        self._metrics_path = getattr(settings, "MONEYPATH_METRICS_PATH", None)
        self._times = RequestTimes(self._recorder, ())
        self._templates: dict[str, str] | None = None
        self._lock = threading.Lock()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Return the response, or an awaitable for it if Django runs asynchronously."""
        if self._is_async:
            return self._answer_async(request)
        if _is_timed(request):
            return self._get_response(request)
        timed = _TimedRequest(self, self._times, request)
        try:
            with timed.served:
                response = self._metrics(request) or self._get_response(request)
        except BaseException as error:
            timed.end(500, error)
            raise
        return timed.finish(response)

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        if _is_timed(request):
            return await self._get_response(request)
        timed = _TimedRequest(self, self._times, request)
        try:
            with timed.served:
                response = self._metrics(request) or await self._get_response(request)
        except BaseException as error:
            timed.end(500, error)
            raise
        return timed.finish(response)

    def route_of(self, request: HttpRequest) -> str:
        """Return the template of the matched route."""
        templates = self._templates or self._close_routes()
        if request.path_info == self._metrics_path:
            return templates.get(self._metrics_path, OTHER)
        return templates.get(getattr(request.resolver_match, "route", ""), OTHER)

    def _close_routes(self) -> dict[str, str]:
        with self._lock:
            if self._templates is None:
                found = {route: template(route) for route in _routes(get_resolver().url_patterns)}
                if self._metrics_path is not None:
                    found[self._metrics_path] = self._metrics_path
                kept = own_routes(self._recorder, found.values())
                # This sets the values of the label.
                RequestTimes(self._recorder, kept)
                self._templates = {route: each for route, each in found.items() if each in kept}
            return self._templates

    def _metrics(self, request: HttpRequest) -> HttpResponseBase | None:
        if request.path_info != self._metrics_path or request.method not in ("GET", "HEAD"):
            return None
        content, content_type = render(self._recorder, request.headers.get("Accept", ""))
        return HttpResponse(content, content_type=content_type, headers={"Vary": "Accept"})


class _TimedRequest:
    """One request that is being timed."""

    __slots__ = ("_middleware", "_request", "served")

    def __init__(self, middleware: TelemetryMiddleware, times: RequestTimes, request: HttpRequest) -> None:
        self._middleware = middleware
        self._request = request
        request.META[TIMED_KEY] = True
        headers = request.headers
        self.served = ServedRequest(times, {name: headers[name] for name in CARRIED if name in headers})

    def finish(self, response: HttpResponseBase) -> HttpResponseBase:
        """Add the correlation id to the response, and end the request now or when its stream ends."""
        response.headers[correlation.HEADER] = self.served.correlation_id
        if not getattr(response, "streaming", False):
            self.end(response.status_code)
        elif response.is_async:
            response.streaming_content = _AsyncChunks(response.streaming_content, self, response.status_code)
        else:
            response.streaming_content = _Chunks(response.streaming_content, self, response.status_code)
        return response

    def end(self, status: int, error: BaseException | None = None) -> None:
        """End the request, once."""
        if self.served.is_open:
            request = self._request
            self.served.end(request.method, self._middleware.route_of(request), status, error)


class _Chunks:
    """The chunks of a streamed response. Django calls `close` when it is sent or the client has gone."""

    def __init__(self, chunks: Iterable[bytes], timed: _TimedRequest, status: int) -> None:
        self._chunks = iter(chunks)
        self._timed = timed
        self._status = status

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            with self._timed.served:
                return next(self._chunks)
        except StopIteration:
            self._timed.end(self._status)
            raise
        except BaseException as error:
            self._timed.end(500, error)
            raise

    def close(self) -> None:
        """End the request of a response that was not read completely."""
        self._timed.end(self._status)


class _AsyncChunks:
    """The same for an answer that is streamed asynchronously."""

    def __init__(self, chunks: AsyncIterator[bytes], timed: _TimedRequest, status: int) -> None:
        self._chunks = chunks
        self._timed = timed
        self._status = status

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            with self._timed.served:
                return await anext(self._chunks)
        except StopAsyncIteration:
            self._timed.end(self._status)
            raise
        except BaseException as error:
            self._timed.end(500, error)
            raise

    def close(self) -> None:
        """Record what was not read to its end."""
        self._timed.end(self._status)


def template(route: str) -> str:
    """Return `payments/<int:number>/`, or `^payments/(?P<number>[0-9]+)/$`, as `/payments/{number}/`."""
    if "(" in route or route.startswith("^") or route.endswith("$"):
        for simplify in (
            simplifying.remove_non_capturing_groups,
            simplifying.replace_named_groups,
            simplifying.replace_unnamed_groups,
            simplifying.replace_metacharacters,
        ):
            route = simplify(route)
    named = _PARAMETER.sub(
        lambda found: "{" + found[2] + (":path" if found[1] == "path" else "") + "}", route
    )
    return f"/{named.removeprefix('/')}"


def _routes(patterns: Iterable[Any]) -> Iterator[str]:
    """Yield the routes as a resolver match tells them: patterns joined, without the ^ of an inner one."""
    for pattern in patterns:
        own = str(pattern.pattern)
        if not hasattr(pattern, "url_patterns"):
            yield own
            continue
        for inner in _routes(pattern.url_patterns):
            yield own + inner.removeprefix("^") if own else inner


def _is_timed(request: HttpRequest) -> bool:
    return TIMED_KEY in request.META or TIMED_KEY in getattr(request, "scope", ())


def _configured_recorder() -> Recorder:
    given = getattr(settings, "MONEYPATH_RECORDER", None)
    recorder = import_string(given) if isinstance(given, str) else given
    if not isinstance(recorder, Recorder):
        raise TelemetryError(
            "The setting MONEYPATH_RECORDER is not a recorder.",
            hint="Call instrument(globals(), recorder) in settings.py, or set it to the path of a recorder.",
        )
    return recorder
