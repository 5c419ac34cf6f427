"""Alive, ready, measured."""

from collections.abc import Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from moneypath.telemetry import Recorder
from moneypath.telemetry.integrations.asgi import metrics_endpoint
from refpay.loops import Loop

_READY_WITHIN_SECONDS: Final = 10.0


def health_app(recorder: Recorder, loops: Sequence[Loop]) -> Starlette:
    """Return /healthz (the process answers), /readyz (its loops went well lately) and /metrics."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        ready = all(loop.is_healthy(within_seconds=_READY_WITHIN_SECONDS) for loop in loops)
        return JSONResponse({"status": "ready" if ready else "waiting"}, status_code=200 if ready else 503)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics_endpoint(recorder)),
        ]
    )
