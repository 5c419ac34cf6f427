"""Wires the worker together."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from starlette.types import ASGIApp

from refpay.clock import Clock, SystemClock
from refpay.costs import CostModel
from refpay.db.pool import Database
from refpay.ledger.journal import open_journal
from refpay.measures import WORKER_METRICS, Measures, make_recorder
from refpay.operations.durable_settings import require_durable
from refpay.payments.settler import Settler
from refpay.providers.registry import open_attempts
from refpay.runtime import running, serve
from refpay.settings import Settings, read_settings
from refpay.worker.duties import Parts, open_duties
from refpay.worker.health import health_app

_CONNECTIONS: Final = 10


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
            parts = Parts(settings, database, providers, measures, clock, costs, settler)
            async with open_duties(parts) as loops, running(*(loop.run() for loop in loops)):
                yield health_app(recorder, loops)


async def main() -> None:
    """Run the worker as the environment says."""
    settings = read_settings(os.environ)
    await serve(open_worker(settings), settings.worker_port, settings.listen_host)
