"""Enforces what endpoints declare: who, under which key, and what; only then is anything handed on."""

from collections.abc import Awaitable, Callable, Iterable

from fastapi import FastAPI, Request, Response
from starlette.routing import Route

from moneypath.telemetry.integrations.asgi import metrics_endpoint
from refpay.app.commands import read_demand, read_question
from refpay.app.contract import Endpoint
from refpay.app.responses import answer_failures, make_response
from refpay.app.services import Services
from refpay.errors import RefpayError


def serve_endpoints(endpoints: Iterable[Endpoint], services: Services) -> FastAPI:
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
    answer_failures(app)
    for endpoint in endpoints:
        app.add_api_route(endpoint.path, _serve(endpoint, services), methods=[endpoint.method])
    app.router.routes.append(Route("/metrics", metrics_endpoint(services.measures.recorder)))
    return app


def _serve(endpoint: Endpoint, services: Services) -> Callable[[Request], Awaitable[Response]]:
    read = read_demand if endpoint.changes_state else read_question
    measures = services.measures

    async def serve(request: Request) -> Response:
        since = measures.now()
        try:
            given = await read(endpoint, services, request)
        except RefpayError:
            if endpoint.measured_as is not None:
                measures.count_payment(endpoint.measured_as, "live", "rejected", since=since)
            raise
        return make_response(await endpoint.handle(services, given))

    return serve
