"""Wires the worker together."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from refpay.clock import Clock, SystemClock
from refpay.db.pool import Database
from refpay.measures import WORKER_METRICS, Measures, make_recorder
from refpay.operations.checks import Checks
from refpay.payments.resolving import Resolver
from refpay.payments.settler import Settler
from refpay.providers.registry import open_attempts
from refpay.runtime import App, listen, serve
from refpay.settings import Settings, read_settings
from refpay.worker.gauges import Gauges
from refpay.worker.health import health_app
from refpay.worker.loops import Loop

_CONNECTIONS: Final = 10


@asynccontextmanager
async def open_worker(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[App]:
    """Run the worker's loops and yield its health and metrics app.

    Raises StartRefused for whatever keeps it from working at all.
    """
    clock = clock or SystemClock()
    measures = Measures(make_recorder(settings, service="refpay-worker", metrics=WORKER_METRICS))
    database = await Database.connect(settings.database, most_connections=_CONNECTIONS)
    try:
        async with open_attempts(settings, measures=measures, clock=clock) as providers:
            resolver = Resolver(
                database,
                providers,
                settler=Settler(database, measures=measures, clock=clock),
                clock=clock,
                pause_seconds=settings.settle_interval_seconds,
            )
            checks = Checks(
                database, clock=clock, settle_deadline=timedelta(seconds=settings.settle_deadline_seconds)
            )
            gauges = Gauges(measures.recorder, providers=providers)

            async def check() -> None:
                gauges.show(await checks.run_once())

            loops = (
                Loop(
                    "settle",
                    resolver.run_once,
                    interval_seconds=settings.settle_interval_seconds,
                    clock=clock,
                ),
                Loop("check", check, interval_seconds=settings.check_interval_seconds, clock=clock),
            )
            async with _running(loops):
                yield health_app(measures.recorder, loops)
    finally:
        await database.close()


@asynccontextmanager
async def _running(loops: Sequence[Loop]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(loop.run()) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def main() -> None:
    """Run the worker as the environment says."""
    settings = read_settings(os.environ)
    listener = listen(settings.worker_port)
    try:
        async with open_worker(settings) as app:
            await serve(app, listener)
    finally:
        listener.close()
