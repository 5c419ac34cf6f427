"""What every integration of a web framework does with a request: time it under labels from closed sets."""

from collections.abc import Iterable

from moneypath.telemetry.catalogue.metric import VALUE_LENGTH_LIMIT
from moneypath.telemetry.catalogue.vocabulary import HTTP_METHODS, HTTP_STATUS_CODES, OTHER
from moneypath.telemetry.errors import LabelsUnknown
from moneypath.telemetry.integrations.routes import ROUTES_LIMIT, Routes
from moneypath.telemetry.recording.cells import BoundHistogram
from moneypath.telemetry.recording.recorder import Recorder

HISTOGRAM = "http_server_request_duration_seconds"
# In an ASGI scope or a WSGI environ: the request is being timed, an inner middleware leaves it alone.
MARK = "moneypath.telemetry"


class RequestTimes:
    """Time requests to a closed set of routes; `routes` closes it, any other path is `other`."""

    __slots__ = ("_handles", "_histogram", "routes")

    def __init__(self, recorder: Recorder, routes: Iterable[str]) -> None:
        self.routes = Routes(routes)
        self._histogram = recorder.histogram(HISTOGRAM)
        self._histogram.close_label("http_route", (*self.routes.templates, OTHER))
        self._handles: dict[tuple[str, str, int], BoundHistogram] = {}

    def record(self, seconds: float, method: str, route: str, status: int) -> None:
        """Take one request; `route` is what `routes.find` returned. Never raises."""
        try:
            handle = self._handles[method, route, status]
        except (KeyError, TypeError):
            self._record_first(seconds, method, route, status)
            return
        handle.observe(seconds)

    def _record_first(self, seconds: float, method: str, route: str, status: int) -> None:
        labels = {
            "http_request_method": closed(method, HTTP_METHODS),
            "http_route": route,
            "http_response_status_code": closed(str(status), HTTP_STATUS_CODES),
        }
        try:
            handle = self._histogram.bind(**labels)
        except LabelsUnknown:
            # The budget of series is used up; this counts the drop.
            self._histogram.observe(seconds, **labels)
            return
        handle.observe(seconds)
        # What a caller may choose freely, the method, must not grow the table.
        if labels["http_request_method"] == method and isinstance(status, int):
            self._handles[method, route, status] = handle


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
