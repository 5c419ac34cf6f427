"""Assemble the worker."""

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
from refpay.background_jobs import BackgroundJob
from refpay.clock import Clock, SystemClock
from refpay.costs import CostModel
from refpay.db.pool import Database
from refpay.ledger.receipt_log import open_receipt_log
from refpay.measures import WORKER_METRICS, ServiceMetrics, make_recorder
from refpay.operations.durable_settings import require_durable
from refpay.payments.outcome_resolver import OutcomeResolver
from refpay.providers.registry import open_attempts
from refpay.runtime import running, serve
from refpay.settings import Settings, read_settings
from refpay.worker.jobs import open_jobs

_CONNECTIONS: Final = 10
_READY_WITHIN_SECONDS: Final = 10.0


def health_app(recorder: Recorder, jobs: Sequence[BackgroundJob]) -> Starlette:
    """Return the app for /healthz (process answers), /readyz (jobs succeeded recently) and /metrics.

    What does not keep payments from being resolved, such as a broker that takes no messages, does not end
    readiness: /readyz names it.
    """

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        ready = all(job.is_healthy(within_seconds=_READY_WITHIN_SECONDS) for job in jobs)
        answer: dict[str, object] = {"status": "ready" if ready else "waiting"}
        if troubles := {job.name: trouble for job in jobs if (trouble := job.trouble()) is not None}:
            answer["troubles"] = troubles
        return JSONResponse(answer, status_code=200 if ready else 503)

    metrics = Route("/metrics", metrics_endpoint(recorder))
    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), metrics])


@asynccontextmanager
async def open_worker(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[ASGIApp]:
    """Run the worker's background jobs and yield its health and metrics app.

    Raises StartRefused if anything that the worker needs is missing or wrong.
    """
    clock = clock or SystemClock()
    costs = CostModel.load(settings.costs_file)
    recorder = make_recorder(settings, service="refpay-worker", metrics=WORKER_METRICS)
    measures = ServiceMetrics(recorder, costs)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, recorder.tracer.close)
        database = await Database.connect(settings.database, most_connections=_CONNECTIONS)
        stack.push_async_callback(database.close)
        await require_durable(database, settings)
        async with (
            open_attempts(settings, measures=measures, clock=clock) as providers,
            open_receipt_log(
                settings.acknowledgements_folder, service="refpay-worker", clock=clock
            ) as receipt_log,
        ):
            resolver = OutcomeResolver(database, measures=measures, clock=clock, receipt_log=receipt_log)
            async with (
                open_jobs(settings, database, providers, measures, clock, costs, resolver) as jobs,
                running(*(job.run() for job in jobs)),
            ):
                yield health_app(recorder, jobs)


async def main() -> None:
    """Run the worker with settings from the environment."""
    settings = read_settings(os.environ)
    await serve(open_worker(settings), settings.worker_port, settings.listen_host)
