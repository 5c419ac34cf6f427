"""Times HTTP requests under labels from closed sets. All web framework integrations use it."""

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Self

from moneypath.telemetry import correlation
from moneypath.telemetry.catalogue.metric import VALUE_LENGTH_LIMIT
from moneypath.telemetry.catalogue.vocabulary import HTTP_METHODS, HTTP_STATUS_CODES, OTHER, Outcome
from moneypath.telemetry.correlation import trace
from moneypath.telemetry.correlation.context import ACTIVE, restore_active
from moneypath.telemetry.errors import LabelsUnknown
from moneypath.telemetry.integrations.routes import ROUTES_LIMIT, Routes
from moneypath.telemetry.recording.recorder import Recorder
from moneypath.telemetry.tracing import Span, SpanKind
from moneypath.telemetry.tracing.span_data import STATUS_CODE, SpanPreset

HISTOGRAM = "http_server_request_duration_seconds"
# Set in an ASGI scope or WSGI environ while a request is being timed; an inner middleware then passes it
# on.
TIMED_KEY = "moneypath.telemetry"


# The headers that carry a request's context.
CARRIED: Final = (correlation.HEADER, trace.HEADER, trace.STATE_HEADER)


# For one method, route and status: the function that observes the seconds, and the span preset.
RequestHandle = tuple[Callable[[float], None], SpanPreset]


class RequestTimes:
    """Times requests by route. `routes` are the values of the label; any other path is `other`."""

    __slots__ = ("_handles", "_histogram", "begin", "by_path", "clock", "find")

    def __init__(self, recorder: Recorder, routes: Iterable[str]) -> None:
        closed_routes = Routes(routes)
        self.find = closed_routes.find
        self.begin = recorder.tracer.begin
        self.clock = recorder.tracer.clock
        self._histogram = recorder.histogram(HISTOGRAM)
        self._histogram.close_label("http_route", (*closed_routes.templates, OTHER))
        self._handles: dict[tuple[str, str, int], RequestHandle] = {}
        # By method, path and status, for routes without parameters, whose template equals the path.
        self.by_path: dict[tuple[str, str, int], RequestHandle] = {}

    def handle(self, method: str, route: str, status: int) -> RequestHandle:
        """Return a function that observes a request's seconds, and its span preset.

        `find` returned the route.
        """
        try:
            return self._handles[method, route, status]
        except (KeyError, TypeError):
            return self._make_handle(method, route, status)

    def handle_of_path(self, request: tuple[str, str, int], matched: object) -> RequestHandle:
        """Return what records a request by method, path and status. `by_path` caches the frequent ones.

        `matched` is what the framework matched: a template, or an object with the template as its `path`.
        """
        method, path, status = request
        # Starlette's routes are not hashable, their paths are.
        route = self.find(path, getattr(matched, "path", matched))
        return self.handle(method, route, status)

    def _make_handle(self, method: str, route: str, status: int) -> RequestHandle:
        known_method = closed(method, HTTP_METHODS)
        labels = {
            "http_request_method": known_method,
            "http_route": route,
            "http_response_status_code": closed(str(status), HTTP_STATUS_CODES),
        }
        preset = SpanPreset(
            f"{known_method} {route}",
            {"http.request.method": known_method, "http.route": route, STATUS_CODE: status},
            Outcome.FAILED if isinstance(status, int) and status >= 500 else None,
        )
        try:
            observe = self._histogram.bind(**labels).observe
        except LabelsUnknown:
            # The series budget is used up; each call counts a drop.
            histogram = self._histogram
            return lambda seconds: histogram.observe(seconds, **labels), preset
        handle = observe, preset
        # A caller can send any method; unknown ones must not grow the tables.
        if known_method == method and isinstance(status, int):
            self._handles[method, route, status] = handle
            if "{" not in route:
                self.by_path[method, route, status] = handle
        return handle


class ServedRequest:
    """One request outside ASGI. Its response may be made in steps; wrap each step in `with`.

    Its context is active only within the steps, whichever thread or task runs them.
    """

    __slots__ = ("_active", "_span", "_started_at", "_times", "_token", "correlation_id")

    def __init__(self, times: RequestTimes, carried: Mapping[str, str]) -> None:
        clock = times.clock
        self._started_at = clock()
        self._times = times
        self.correlation_id = correlation.accept(carried.get(correlation.HEADER))
        outside = ACTIVE.get()
        self._span: Span | None = times.begin(
            "HTTP",
            SpanKind.SERVER,
            self.correlation_id,
            carried.get(trace.HEADER),
            carried.get(trace.STATE_HEADER),
            self._started_at,
        )
        self._active = ACTIVE.get()
        ACTIVE.set(outside)

    def __enter__(self) -> Self:
        self._token = ACTIVE.set(self._active)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The application may have changed the active context by naming its payment.
        self._active = ACTIVE.get()
        restore_active(self._token)

    @property
    def is_open(self) -> bool:
        """Return whether the request has not ended yet."""
        return self._span is not None

    def end(self, method: str, route: str, status: int, error: BaseException | None = None) -> None:
        """End the request. Only the first call counts."""
        span, times = self._span, self._times
        if span is None:
            return
        self._span = None
        clock = times.clock
        ended = clock()
        token = ACTIVE.set(self._active)
        observe, preset = times.handle(method, route, status)
        observe(ended - self._started_at)
        span.end(error, ended, preset)
        restore_active(token)


def own_routes(recorder: Recorder, templates: Iterable[str]) -> tuple[str, ...]:
    """Return those templates of an application that can be a label, in their order, at most ROUTES_LIMIT.

    Other routes are counted as `other`, because a service must not fail to start over its number of routes.
    """
    declared = recorder.histogram(HISTOGRAM).spec.labels["http_route"]
    kept = dict.fromkeys(
        template
        for template in templates
        if template.startswith("/")
        and len(template) <= VALUE_LENGTH_LIMIT
        and template.isprintable()
        and (not declared or template in declared)
    )
    return tuple(kept)[:ROUTES_LIMIT]


def closed(value: object, allowed: tuple[str, ...]) -> str:
    """Return the value if it is allowed, else `other`."""
    return value if isinstance(value, str) and value in allowed else OTHER
