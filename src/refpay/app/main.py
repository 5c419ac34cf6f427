"""Wires the API together."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.routing import Route

from moneypath.telemetry.integrations.asgi import TelemetryMiddleware, metrics_endpoint
from refpay.app.guard import Guard
from refpay.app.health_routes import health_routes
from refpay.app.operation_routes import (
    dead_letter_routes,
    duplicate_routes,
    operation_routes,
    risk_routes,
    settlement_routes,
)
from refpay.app.payment_routes import payment_routes
from refpay.app.responses import answer_failures
from refpay.clock import Clock, SystemClock
from refpay.costs import CostModel
from refpay.db.pool import Database
from refpay.identity.principals import Principals
from refpay.ledger.journal import open_journal
from refpay.measures import API_METRICS, Measures, make_recorder
from refpay.operations.card_ranges import CardRanges
from refpay.operations.dead_letters import DeadLetters
from refpay.operations.duplicates import Duplicates
from refpay.operations.routing import Routing
from refpay.operations.settlements import Settlements
from refpay.payments.approvals import require_approval
from refpay.payments.service import Payments, make_deadlines
from refpay.providers.registry import make_resilient, open_attempts
from refpay.risk.screening import Screening
from refpay.runtime import App, listen, serve
from refpay.settings import Settings, read_settings

# Payments have connections of their own: a lever has to work when they use up theirs.
_PAYMENT_CONNECTIONS: Final = 8
_CONNECTIONS: Final = 4


@asynccontextmanager
async def open_app(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[App]:
    """Yield the whole API, connected to its database and its providers.

    Raises StartRefused for whatever keeps it from working at all.
    """
    clock = clock or SystemClock()
    principals = Principals.load(settings.tokens_file)
    recorder = make_recorder(settings, service="refpay-api", metrics=API_METRICS)
    measures = Measures(recorder, CostModel.load(settings.costs_file))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, recorder.tracer.close)
        database = await Database.connect(settings.database, most_connections=_CONNECTIONS)
        stack.push_async_callback(database.close)
        own = await Database.connect(settings.database, most_connections=_PAYMENT_CONNECTIONS, by_key=True)
        stack.push_async_callback(own.close)
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
                approve=require_approval(settings.payout_alone_max_minor),
            )
            operations = (
                operation_routes(Routing(database, clock=clock), principals),
                risk_routes(CardRanges(database, settings.risk, clock=clock), principals),
                dead_letter_routes(DeadLetters(database, clock=clock), principals),
                settlement_routes(Settlements(database, clock=clock), principals),
                duplicate_routes(Duplicates(database, providers, clock, deadlines), principals),
            )
            yield create_app(payments, operations, principals, database, measures)


def create_app(
    payments: Payments,
    operations: Iterable[APIRouter],
    principals: Principals,
    database: Database,
    measures: Measures,
) -> App:
    """Return the ASGI app: telemetry outside, then the guard, then FastAPI."""
    app = FastAPI(
        title="refpay",
        description="The reference payment service.",
        version="1",
        docs_url=None,
        redoc_url=None,
        # Ours counts every request once; FastAPI's own would wake up with any global provider.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    answer_failures(app)
    app.include_router(payment_routes(payments, principals, measures))
    for routes in operations:
        app.include_router(routes)
    app.include_router(health_routes(database))
    app.router.routes.append(Route("/metrics", metrics_endpoint(measures.recorder), include_in_schema=False))
    return TelemetryMiddleware(Guard(app), measures.recorder, _ROUTES)


_ROUTES: Final = (
    "/v1/payments",
    "/v1/payments/{payment_id}",
    "/v1/payments/{payment_id}/capture",
    "/v1/payments/{payment_id}/refunds",
    "/v1/operations/providers",
    "/v1/operations/providers/{provider}/drain",
    "/v1/operations/providers/{provider}/restore",
    "/v1/operations/risk",
    "/v1/operations/risk/ranges/{card_range}/block",
    "/v1/operations/risk/ranges/{card_range}/unblock",
    "/v1/operations/dead-letters",
    "/v1/operations/dead-letters/{queue}/replay",
    "/v1/operations/reconciliation",
    "/v1/operations/settlements/{provider}/refetch",
    "/v1/operations/duplicates/{provider}/refund",
    "/healthz",
    "/readyz",
    "/metrics",
)


async def main() -> None:
    """Run the API as the environment says."""
    settings = read_settings(os.environ)
    listener = listen(settings.listen_port, settings.listen_host)
    try:
        async with open_app(settings) as app:
            await serve(app, listener)
    finally:
        listener.close()
