"""What every integration of a web framework does with a request: time it under labels from closed sets."""

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Self

from moneypath.telemetry import correlation
from moneypath.telemetry.catalogue.metric import VALUE_LENGTH_LIMIT
from moneypath.telemetry.catalogue.vocabulary import HTTP_METHODS, HTTP_STATUS_CODES, OTHER, Outcome
from moneypath.telemetry.correlation import trace
from moneypath.telemetry.correlation.context import ACTIVE, leave
from moneypath.telemetry.errors import LabelsUnknown
from moneypath.telemetry.integrations.routes import ROUTES_LIMIT, Routes
from moneypath.telemetry.recording.recorder import Recorder
from moneypath.telemetry.tracing import Span, SpanKind
from moneypath.telemetry.tracing.finished import STATUS_CODE, Ending

HISTOGRAM = "http_server_request_duration_seconds"
# In an ASGI scope or a WSGI environ: the request is being timed, an inner middleware leaves it alone.
MARK = "moneypath.telemetry"


# The headers that a request's context comes in.
CARRIED: Final = (correlation.HEADER, trace.HEADER, trace.STATE_HEADER)


# Where requests of one method, route and status are counted, and what their spans say.
Kind = tuple[Callable[[float], None], Ending]


class RequestTimes:
    """Time requests to a closed set of routes; `routes` closes it, any other path is `other`."""

    __slots__ = ("_histogram", "_kinds", "begin", "by_path", "clock", "find")

    def __init__(self, recorder: Recorder, routes: Iterable[str]) -> None:
        closed_routes = Routes(routes)
        self.find = closed_routes.find
        self.begin = recorder.tracer.begin
        self.clock = recorder.tracer.clock
        self._histogram = recorder.histogram(HISTOGRAM)
        self._histogram.close_label("http_route", (*closed_routes.templates, OTHER))
        self._kinds: dict[tuple[str, str, int], Kind] = {}
        # By method, path and status: of routes without parameters, whose template is their path.
        self.by_path: dict[tuple[str, str, int], Kind] = {}

    def kind(self, method: str, route: str, status: int) -> Kind:
        """Return the kind of a request to a route that `find` returned: observe its seconds, end its span."""
        try:
            return self._kinds[method, route, status]
        except (KeyError, TypeError):
            return self._make_kind(method, route, status)

    def kind_of_path(self, request: tuple[str, str, int], matched: object) -> Kind:
        """Return the kind of a request by method, path and status; `by_path` has those that come often.

        `matched` is what the framework says it matched: a template, or an object with one as its `path`.
        """
        method, path, status = request
        # A route of Starlette's is not hashable, its path is.
        route = self.find(path, getattr(matched, "path", matched))
        return self.kind(method, route, status)

    def _make_kind(self, method: str, route: str, status: int) -> Kind:
        known_method = closed(method, HTTP_METHODS)
        labels = {
            "http_request_method": known_method,
            "http_route": route,
            "http_response_status_code": closed(str(status), HTTP_STATUS_CODES),
        }
        ending = Ending(
            f"{known_method} {route}",
            {"http.request.method": known_method, "http.route": route, STATUS_CODE: status},
            Outcome.FAILED if isinstance(status, int) and status >= 500 else None,
        )
        try:
            observe = self._histogram.bind(**labels).observe
        except LabelsUnknown:
            # The budget of series is used up; this counts the drop.
            histogram = self._histogram
            return lambda seconds: histogram.observe(seconds, **labels), ending
        kind = observe, ending
        # What a caller may choose freely, the method, must not grow the tables.
        if known_method == method and isinstance(status, int):
            self._kinds[method, route, status] = kind
            if "{" not in route:
                self.by_path[method, route, status] = kind
        return kind


class ServedRequest:
    """One request outside of ASGI, whose response may be made in steps; each step is a `with` of it.

    Between the steps nothing of it is active, whichever thread or task comes next.
    """

    __slots__ = ("_active", "_begun", "_span", "_times", "_token", "correlation_id")

    def __init__(self, times: RequestTimes, carried: Mapping[str, str]) -> None:
        clock = times.clock
        self._begun = clock()
        self._times = times
        self.correlation_id = correlation.accept(carried.get(correlation.HEADER))
        outside = ACTIVE.get()
        self._span: Span | None = times.begin(
            "HTTP",
            SpanKind.SERVER,
            self.correlation_id,
            carried.get(trace.HEADER),
            carried.get(trace.STATE_HEADER),
            self._begun,
        )
        self._active = ACTIVE.get()
        ACTIVE.set(outside)

    def __enter__(self) -> Self:
        self._token = ACTIVE.set(self._active)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The application may have named its payment.
        self._active = ACTIVE.get()
        leave(self._token)

    @property
    def is_open(self) -> bool:
        """Tell whether its end has still to be told."""
        return self._span is not None

    def end(self, method: str, route: str, status: int, error: BaseException | None = None) -> None:
        """Take its end, the first time."""
        span, times = self._span, self._times
        if span is None:
            return
        self._span = None
        clock = times.clock
        ended = clock()
        token = ACTIVE.set(self._active)
        observe, ending = times.kind(method, route, status)
        observe(ended - self._begun)
        span.end(error, ended, ending)
        leave(token)


def own_routes(recorder: Recorder, templates: Iterable[str]) -> tuple[str, ...]:
    """Keep of an application's own templates those that can be a label, ROUTES_LIMIT at most, in their order.

    What is left out is counted as `other`: a service must not fail to start over the number of its routes.
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
