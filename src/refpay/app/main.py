"""Wires the API together."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.types import ASGIApp

from moneypath.telemetry.integrations.asgi import TelemetryMiddleware
from refpay.app.endpoints import SERVED
from refpay.app.guard import Guard
from refpay.app.openapi import describe
from refpay.app.services import Services, open_services
from refpay.app.serving import serve_endpoints
from refpay.clock import Clock, SystemClock
from refpay.runtime import serve
from refpay.settings import Settings, read_settings


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
