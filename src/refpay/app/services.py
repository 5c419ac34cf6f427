"""What the endpoints may use: the doors of the other rooms, and nothing behind them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from refpay.app.rates import Rates
from refpay.clock import Clock
from refpay.costs import CostModel
from refpay.db.pool import Database
from refpay.identity.principals import Principals
from refpay.identity.signing import SignatureVerifier
from refpay.identity.token_desk import TokenDesk
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
from refpay.payments.releasing import Suspense
from refpay.payments.service import Payments, make_deadlines
from refpay.payments.settler import Settler
from refpay.payments.webhooks import Webhooks
from refpay.providers.registry import make_resilient, open_attempts
from refpay.risk.screening import Screening
from refpay.settings import Settings

# Payments have connections of their own: a lever has to work when they use up theirs. So have webhooks, which
# are as many as calls: no buyer waits for what a provider says again.
_PAYMENT_CONNECTIONS: Final = 8
_WEBHOOK_CONNECTIONS: Final = 3
_CONNECTIONS: Final = 4


@dataclass(frozen=True, slots=True)
class Services:
    """The facades that requests are handed to, and the API's own description as JSON."""

    description: bytes
    database: Database
    measures: Measures
    principals: Principals
    tokens: TokenDesk
    rates: Rates
    payments: Payments
    webhooks: Webhooks
    # What each provider's signed requests are judged by.
    verifiers: Mapping[str, SignatureVerifier]
    routing: Routing
    card_ranges: CardRanges
    dead_letters: DeadLetters
    settlements: Settlements
    approving: Approving
    duplicates: Duplicates
    suspense: Suspense


@asynccontextmanager
async def open_services(settings: Settings, clock: Clock, description: bytes) -> AsyncIterator[Services]:
    """Yield them, connected to the database and the providers.

    Raises StartRefused for whatever keeps the API from working at all.
    """
    principals = Principals.load(settings.secrets_folder, clock)
    recorder = make_recorder(settings, service="refpay-api", metrics=API_METRICS)
    measures = Measures(recorder, CostModel.load(settings.costs_file))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, recorder.tracer.close)

        async def connect(most_connections: int, *, by_key: bool = False) -> Database:
            database = await Database.connect(
                settings.database, most_connections=most_connections, by_key=by_key
            )
            stack.push_async_callback(database.close)
            return database

        database = await connect(_CONNECTIONS)
        await require_durable(database, settings)
        own = await connect(_PAYMENT_CONNECTIONS, by_key=True)
        told = await connect(_WEBHOOK_CONNECTIONS, by_key=True)
        attempts = await stack.enter_async_context(open_attempts(settings, measures=measures, clock=clock))
        folder = settings.acknowledgements_folder
        journal = await stack.enter_async_context(open_journal(folder, service="refpay-api", clock=clock))
        providers = make_resilient(attempts, settings, measures=measures, clock=clock)
        deadlines = make_deadlines(settings)
        settler = Settler(told, measures=measures, clock=clock, journal=journal)
        files = {name: settings.secrets_folder / f"webhook_{name}.json" for name in providers}
        yield Services(
            description=description,
            database=database,
            measures=measures,
            principals=principals,
            tokens=TokenDesk(principals, clock),
            rates=Rates(settings.rates, clock.monotonic),
            payments=Payments(
                own,
                providers,
                deadlines=deadlines,
                measures=measures,
                clock=clock,
                journal=journal,
                screening=Screening(settings.risk),
                approve=require_approval(database, settings.payout_alone_max_minor),
            ),
            webhooks=Webhooks(settler, measures=measures, clock=clock),
            verifiers={name: SignatureVerifier(name, file, told, clock) for name, file in files.items()},
            routing=Routing(database, clock=clock),
            card_ranges=CardRanges(database, settings.risk, clock=clock),
            dead_letters=DeadLetters(database, clock=clock),
            settlements=Settlements(database, clock=clock),
            approving=Approving(database, clock),
            duplicates=Duplicates(database, providers, clock, deadlines),
            suspense=Suspense(database, clock, journal.note),
        )
