"""Wires the worker together."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from moneypath.telemetry import Recorder
from moneypath.telemetry.integrations.asgi import metrics_endpoint
from refpay.clock import Clock, SystemClock
from refpay.costs import CostModel
from refpay.db.pool import Database
from refpay.ledger.journal import open_journal
from refpay.loops import Loop
from refpay.measures import WORKER_METRICS, Measures, make_recorder
from refpay.operations.durable_settings import require_durable
from refpay.payments.settler import Settler
from refpay.providers.registry import open_attempts
from refpay.runtime import running, serve
from refpay.settings import Settings, read_settings
from refpay.worker.duties import open_duties

_CONNECTIONS: Final = 10
_READY_WITHIN_SECONDS: Final = 10.0


def health_app(recorder: Recorder, loops: Sequence[Loop]) -> Starlette:
    """Return /healthz (the process answers), /readyz (its loops went well lately) and /metrics."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        ready = all(loop.is_healthy(within_seconds=_READY_WITHIN_SECONDS) for loop in loops)
        return JSONResponse({"status": "ready" if ready else "waiting"}, status_code=200 if ready else 503)

    metrics = Route("/metrics", metrics_endpoint(recorder))
    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), metrics])


@asynccontextmanager
async def open_worker(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[ASGIApp]:
    """Run the worker's loops and yield its health and metrics app.

    Raises StartRefused for whatever keeps it from working at all.
    """
    clock = clock or SystemClock()
    costs = CostModel.load(settings.costs_file)
    recorder = make_recorder(settings, service="refpay-worker", metrics=WORKER_METRICS)
    measures = Measures(recorder, costs)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, recorder.tracer.close)
        database = await Database.connect(settings.database, most_connections=_CONNECTIONS)
        stack.push_async_callback(database.close)
        await require_durable(database, settings)
        async with (
            open_attempts(settings, measures=measures, clock=clock) as providers,
            open_journal(settings.acknowledgements_folder, service="refpay-worker", clock=clock) as journal,
        ):
            settler = Settler(database, measures=measures, clock=clock, journal=journal)
            duties = open_duties(settings, database, providers, measures, clock, costs, settler)
            async with duties as loops, running(*(loop.run() for loop in loops)):
                yield health_app(recorder, loops)


async def main() -> None:
    """Run the worker as the environment says."""
    settings = read_settings(os.environ)
    await serve(open_worker(settings), settings.worker_port, settings.listen_host)
