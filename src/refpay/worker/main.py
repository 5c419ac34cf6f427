"""Wires the worker together."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from refpay.clock import Clock, SystemClock
from refpay.costs import CostModel
from refpay.db.pool import Database
from refpay.ledger.journal import open_journal
from refpay.loops import Loop
from refpay.measures import WORKER_METRICS, Measures, make_recorder
from refpay.operations.durable_settings import require_durable
from refpay.payments.settler import Settler
from refpay.providers.registry import open_attempts
from refpay.runtime import App, end_tasks, listen, serve
from refpay.settings import Settings, read_settings
from refpay.worker.duties import DUTIES, Parts
from refpay.worker.health import health_app

_CONNECTIONS: Final = 10


@asynccontextmanager
async def open_worker(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[App]:
    """Run the worker's loops and yield its health and metrics app.

    Raises StartRefused for whatever keeps it from working at all.
    """
    clock = clock or SystemClock()
    costs = CostModel.load(settings.costs_file)
    recorder = make_recorder(settings, service="refpay-worker", metrics=WORKER_METRICS)
    measures = Measures(recorder, costs)
    database = await Database.connect(settings.database, most_connections=_CONNECTIONS)
    try:
        await require_durable(database, settings)
        async with AsyncExitStack() as stack:
            providers = await stack.enter_async_context(
                open_attempts(settings, measures=measures, clock=clock)
            )
            journal = await stack.enter_async_context(
                open_journal(settings.acknowledgements_folder, service="refpay-worker", clock=clock)
            )
            settler = Settler(database, measures=measures, clock=clock, journal=journal)
            parts = Parts(settings, database, providers, measures, clock, costs, settler)
            loops = [loop for duty in DUTIES for loop in await stack.enter_async_context(duty(parts))]
            await stack.enter_async_context(_running(loops))
            yield health_app(measures.recorder, loops)
    finally:
        await database.close()
        await asyncio.to_thread(recorder.tracer.close)


@asynccontextmanager
async def _running(loops: Sequence[Loop]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(loop.run()) for loop in loops]
    try:
        yield
    finally:
        await end_tasks(*tasks)


async def main() -> None:
    """Run the worker as the environment says."""
    settings = read_settings(os.environ)
    listener = listen(settings.worker_port, settings.listen_host)
    try:
        async with open_worker(settings) as app:
            await serve(app, listener)
    finally:
        listener.close()
