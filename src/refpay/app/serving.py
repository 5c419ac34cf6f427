"""Enforces what endpoints declare: who, under which key, and what; only then is anything handed on."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Route

from moneypath.telemetry.integrations.asgi import metrics_endpoint
from refpay.app.commands import read_demand
from refpay.app.contract import Served
from refpay.app.errors import RateLimited
from refpay.app.responses import answer_failures, make_response
from refpay.app.services import Services
from refpay.errors import RefpayError


class _DirectRoute(APIRoute):
    """Hands a request to its endpoint as it is: what FastAPI would read of it is declared and read by us."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint."""
        return self.endpoint


def serve_endpoints(served: Iterable[Served], services: Services) -> FastAPI:
    """Return an app with a route for each endpoint, and the metrics.

    The description is made from the same declarations by `openapi`. A path with a slash too many is
    another path, and FastAPI's own telemetry would count every request a second time.
    """
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.router.route_class = _DirectRoute
    answer_failures(app, services.measures)
    for one in served:
        app.add_api_route(one.endpoint.path, _serve(one, services), methods=[one.endpoint.method])
    app.router.routes.append(Route("/metrics", metrics_endpoint(services.measures.recorder)))
    return app


def _serve(served: Served, services: Services) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    endpoint, measures, read = served.endpoint, services.measures, served.endpoint.read or read_demand

    async def serve(request: Request) -> Response:
        since = measures.now()
        try:
            demand = await read(endpoint, services, request)
        except RefpayError as refusal:
            if isinstance(refusal, RateLimited):
                measures.count_limited(refusal.limit)
            if endpoint.measured_as is not None:
                # That a caller sends too much is its own fault; that all of them do is our limit.
                ours = isinstance(refusal, RateLimited) and refusal.limit == "whole"
                outcome = "shed" if ours else "rejected"
                measures.count_payment(endpoint.measured_as, "live", outcome, since=since)
            raise
        return make_response(await served.handle(services, demand))

    return serve
