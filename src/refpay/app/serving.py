"""Serve the declared endpoints: check sender, scopes, key and payload, then call the handler."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from moneypath.telemetry.integrations.asgi import metrics_endpoint
from refpay.app.commands import read_request
from refpay.app.contract import BoundEndpoint
from refpay.app.errors import RateLimited
from refpay.app.responses import install_error_handlers, make_response
from refpay.app.services import Services
from refpay.errors import RefpayError


def serve_endpoints(bound: Iterable[BoundEndpoint], services: Services) -> Starlette:
    """Return an app with a route for each endpoint, and one for the metrics."""
    routes = [_make_route(one, services) for one in bound]
    routes.append(Route("/metrics", metrics_endpoint(services.measures.recorder)))
    app = Starlette(routes=routes)
    # A path with a trailing slash is another path.
    app.router.redirect_slashes = False
    install_error_handlers(app, services.measures)
    return app


def _make_route(bound: BoundEndpoint, services: Services) -> Route:
    endpoint = bound.endpoint
    route = Route(endpoint.path, _make_handler(bound, services), methods=[endpoint.method])
    # Starlette adds HEAD to GET, which no endpoint declares.
    route.methods = {endpoint.method}
    return route


def _make_handler(
    bound: BoundEndpoint, services: Services
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    endpoint, measures, read = bound.endpoint, services.measures, bound.endpoint.read or read_request

    async def serve(request: Request) -> Response:
        since = measures.now()
        try:
            authenticated = await read(endpoint, services, request)
        except RefpayError as refusal:
            if isinstance(refusal, RateLimited):
                measures.count_limited(refusal.limit)
            if endpoint.measured_as is not None:
                # One sender above its limit is rejected; all together above ours are shed.
                ours = isinstance(refusal, RateLimited) and refusal.limit == "whole"
                outcome = "shed" if ours else "rejected"
                measures.count_payment(endpoint.measured_as, "live", outcome, since=since)
            raise
        return make_response(await bound.handle(services, authenticated))

    return serve
