"""Starlette: instruments an application with its own routes and serves its metrics, in one call."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match, Mount, Route, WebSocketRoute

from moneypath.telemetry.errors import TelemetryError
from moneypath.telemetry.integrations.asgi import TelemetryMiddleware, metrics_endpoint
from moneypath.telemetry.integrations.http_server import RequestTimes, own_routes
from moneypath.telemetry.recording.recorder import Recorder

METRICS_PATH = "/metrics"

# Turns a list of routes into one of single routes. FastAPI needs that; Starlette's list has them already.
Flatten = Callable[[Sequence[BaseRoute]], Iterable[object]]


def instrument(
    app: Starlette,
    recorder: Recorder,
    *,
    metrics_path: str | None = METRICS_PATH,
    flatten: Flatten = iter,
) -> None:
    """Time the application's requests and serve its metrics at `metrics_path` (None: nowhere).

    The routes that exist when the application starts become the values of the label; a later one is
    `other`. Raises TelemetryError if the application has started or already has a route for that path.
    """
    if app.middleware_stack is not None:
        raise TelemetryError(
            "The application has already started.", hint="Call instrument() where the application is made."
        )
    routes = _Templates(app, recorder, flatten)
    # Raise now if the recorder cannot be used: a server may ignore errors at the start.
    RequestTimes(recorder, ())
    if metrics_path is not None:
        _serve_metrics(app, recorder, metrics_path)
    app.add_middleware(TelemetryMiddleware, recorder=recorder, routes=routes)


class _Templates:
    """The templates of an application at the moment of iteration; Starlette iterates when it starts."""

    __slots__ = ("_app", "_flatten", "_recorder")

    def __init__(self, app: Starlette, recorder: Recorder, flatten: Flatten) -> None:
        self._app = app
        self._recorder = recorder
        self._flatten = flatten

    def __iter__(self) -> Iterator[str]:
        return iter(own_routes(self._recorder, templates(self._app.routes, self._flatten)))


def templates(routes: Sequence[BaseRoute], flatten: Flatten = iter, prefix: str = "") -> Iterator[str]:
    """Yield the templates of HTTP routes in matching order, including those of mounted applications."""
    for route in flatten(routes):
        path = prefix + (getattr(route, "path", None) or "")
        # FastAPI yields each route of a router as a context with the route's attributes.
        kind = getattr(route, "original_route", route)
        mounted = getattr(route, "routes", None)
        if mounted:
            yield from templates(mounted, flatten, path)
        elif isinstance(kind, Mount):
            yield f"{path}/{{path:path}}"
        elif path and not isinstance(kind, WebSocketRoute):
            yield path


def _serve_metrics(app: Starlette, recorder: Recorder, path: str) -> None:
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    if any(route.matches(scope)[0] is Match.FULL for route in app.routes):
        raise TelemetryError(
            f"The application already has a route for {path}.",
            hint="Call instrument() before adding a route for every path, or give another metrics_path.",
        )
    app.router.routes.append(Route(path, metrics_endpoint(recorder), include_in_schema=False))
