"""Wires the API together: every endpoint that the modules of routes declare, in their order."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.types import ASGIApp

from moneypath.telemetry.integrations.asgi import TelemetryMiddleware
from refpay.app import (
    house_routes,
    identity_routes,
    operation_routes,
    payment_routes,
    record_routes,
    webhook_routes,
)
from refpay.app.contract import Problem, Problems, Served
from refpay.app.errors import MethodRefused, RequestRefused, RouteUnknown
from refpay.app.guard import Guard
from refpay.app.openapi import describe
from refpay.app.services import Services, open_services
from refpay.app.serving import serve_endpoints
from refpay.clock import Clock, SystemClock
from refpay.runtime import serve
from refpay.settings import Settings, read_settings

_MODULES = (payment_routes, webhook_routes, operation_routes, record_routes, identity_routes, house_routes)
SERVED: Final = tuple(one for module in _MODULES for one in vars(module).values() if isinstance(one, Served))
# Answered before any endpoint is found.
_UNROUTED: Final[Problems] = (RouteUnknown, MethodRefused, RequestRefused)


def answered() -> dict[str, Problem]:
    """Return what callers can be answered, by code."""
    problems = [*_UNROUTED, *(problem for one in SERVED for problem in one.endpoint.refusals())]
    return {problem.code: problem for problem in sorted(problems, key=lambda problem: problem.code)}


@asynccontextmanager
async def open_app(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[ASGIApp]:
    """Yield the whole API, connected to its database and its providers.

    Raises StartRefused for whatever keeps it from working at all.
    """
    description = json.dumps(describe(SERVED)).encode()
    async with open_services(settings, clock or SystemClock(), description) as services:
        yield create_app(services)


def create_app(services: Services) -> ASGIApp:
    """Return the ASGI app: telemetry outside, then the guard, then FastAPI."""
    app = serve_endpoints(SERVED, services)
    paths = dict.fromkeys(route.path for route in app.routes if isinstance(route, Route | APIRoute))
    return TelemetryMiddleware(Guard(app, services.measures), services.measures.recorder, paths)


async def main() -> None:
    """Run the API as the environment says."""
    settings = read_settings(os.environ)
    await serve(open_app(settings), settings.listen_port, settings.listen_host)
