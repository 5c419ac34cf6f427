"""Assemble the API from the endpoints that the route modules declare."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.routing import Route
from starlette.types import ASGIApp

from moneypath.telemetry.integrations.asgi import TelemetryMiddleware
from refpay.app import (
    identity_routes,
    operation_routes,
    payment_routes,
    record_routes,
    system_routes,
    webhook_routes,
)
from refpay.app.contract import BoundEndpoint, Problem, Problems
from refpay.app.errors import MethodRefused, RequestRefused, RouteUnknown
from refpay.app.guard import Guard
from refpay.app.openapi import describe
from refpay.app.services import Services, open_services
from refpay.app.serving import serve_endpoints
from refpay.clock import Clock, SystemClock
from refpay.runtime import serve
from refpay.settings import Settings, read_settings

_MODULES = (payment_routes, webhook_routes, operation_routes, record_routes, identity_routes, system_routes)
ENDPOINTS: Final = tuple(
    one for module in _MODULES for one in vars(module).values() if isinstance(one, BoundEndpoint)
)
# Answered when no endpoint is found.
_UNROUTED: Final[Problems] = (RouteUnknown, MethodRefused, RequestRefused)


def answered() -> dict[str, Problem]:
    """Return every problem that the API may answer with, by code."""
    problems = [*_UNROUTED, *(problem for one in ENDPOINTS for problem in one.endpoint.refusals())]
    return {problem.code: problem for problem in sorted(problems, key=lambda problem: problem.code)}


@asynccontextmanager
async def open_app(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[ASGIApp]:
    """Yield the whole API, connected to its database and its providers.

    Raises StartRefused if anything that it needs is missing or wrong.
    """
    description = json.dumps(describe(ENDPOINTS)).encode()
    async with open_services(settings, clock or SystemClock(), description) as services:
        yield create_app(services)


def create_app(services: Services) -> ASGIApp:
    """Return the ASGI app: telemetry outermost, then the guard, then the router."""
    app = serve_endpoints(ENDPOINTS, services)
    paths = dict.fromkeys(route.path for route in app.routes if isinstance(route, Route))
    return TelemetryMiddleware(
        Guard(app, services.measures, services.id_forms), services.measures.recorder, paths
    )


async def main() -> None:
    """Run the API with settings from the environment."""
    settings = read_settings(os.environ)
    await serve(open_app(settings), settings.listen_port, settings.listen_host)
