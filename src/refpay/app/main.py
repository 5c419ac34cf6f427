"""Wires the API together."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.types import ASGIApp

from moneypath.telemetry.integrations.asgi import TelemetryMiddleware
from refpay.app.endpoints import SERVED
from refpay.app.guard import Guard
from refpay.app.openapi import describe
from refpay.app.rates import Rates
from refpay.app.services import Services
from refpay.app.serving import serve_endpoints
from refpay.audit.trail import Trail
from refpay.clock import Clock, SystemClock
from refpay.costs import CostModel
from refpay.db.pool import Database
from refpay.identity.principals import Principals
from refpay.identity.signing import SignatureVerifier
from refpay.identity.token_desk import TokenDesk
from refpay.ledger.balances import Balances
from refpay.ledger.journal import open_journal
from refpay.measures import API_METRICS, Measures, make_recorder
from refpay.operations.approving import Approving
from refpay.operations.card_ranges import CardRanges
from refpay.operations.dead_letters import DeadLetters
from refpay.operations.duplicates import Duplicates
from refpay.operations.durable_settings import require_durable
from refpay.operations.routing import Routing
from refpay.operations.settlements import Settlements
from refpay.payments.approvals import require_approval
from refpay.payments.listing import Listing
from refpay.payments.service import Payments, make_deadlines
from refpay.payments.settler import Settler
from refpay.payments.webhooks import Webhooks
from refpay.providers.registry import make_resilient, open_attempts
from refpay.risk.screening import Screening
from refpay.runtime import serve
from refpay.settings import Settings, read_settings

# Payments have connections of their own: a lever has to work when they use up theirs. So have webhooks, which
# are as many as calls: no buyer waits for what a provider says again.
_PAYMENT_CONNECTIONS: Final = 8
_WEBHOOK_CONNECTIONS: Final = 3
_CONNECTIONS: Final = 4


@asynccontextmanager
async def open_app(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[ASGIApp]:
    """Yield the whole API, connected to its database and its providers.

    Raises StartRefused for whatever keeps it from working at all.
    """
    clock = clock or SystemClock()
    principals = Principals.load(settings.secrets_folder, clock)
    recorder = make_recorder(settings, service="refpay-api", metrics=API_METRICS)
    measures = Measures(recorder, CostModel.load(settings.costs_file))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, recorder.tracer.close)
        database = await Database.connect(settings.database, most_connections=_CONNECTIONS)
        stack.push_async_callback(database.close)
        await require_durable(database, settings)
        own = await Database.connect(settings.database, most_connections=_PAYMENT_CONNECTIONS, by_key=True)
        stack.push_async_callback(own.close)
        told = await Database.connect(settings.database, most_connections=_WEBHOOK_CONNECTIONS, by_key=True)
        stack.push_async_callback(told.close)
        async with (
            open_attempts(settings, measures=measures, clock=clock) as attempts,
            open_journal(settings.acknowledgements_folder, service="refpay-api", clock=clock) as journal,
        ):
            providers = make_resilient(attempts, settings, measures=measures, clock=clock)
            deadlines = make_deadlines(settings)
            payments = Payments(
                own,
                providers,
                deadlines=deadlines,
                measures=measures,
                clock=clock,
                journal=journal,
                screening=Screening(settings.risk),
                approve=require_approval(database, settings.payout_alone_max_minor),
            )
            services = Services(
                description=json.dumps(describe(SERVED)).encode(),
                database=database,
                measures=measures,
                principals=principals,
                tokens=TokenDesk(principals, clock),
                rates=Rates(settings.rates, clock.monotonic),
                payments=payments,
                listing=Listing(database),
                balances=Balances(database),
                webhooks=Webhooks(
                    Settler(told, measures=measures, clock=clock, journal=journal),
                    measures=measures,
                    clock=clock,
                ),
                verifiers={
                    name: SignatureVerifier(
                        name, settings.secrets_folder / f"webhook_{name}.json", told, clock
                    )
                    for name in providers
                },
                trail=Trail(database),
                routing=Routing(database, clock=clock),
                card_ranges=CardRanges(database, settings.risk, clock=clock),
                dead_letters=DeadLetters(database, clock=clock),
                settlements=Settlements(database, clock=clock),
                approving=Approving(database, clock),
                duplicates=Duplicates(database, providers, clock, deadlines),
            )
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
