"""Assemble what the endpoints use, from the public modules of the other packages."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from moneypath.telemetry.redaction import IdForms
from refpay.app.rate_limits import RateLimiter
from refpay.clock import Clock
from refpay.costs import CostModel
from refpay.db.pool import Database
from refpay.identity.principals import Principals
from refpay.identity.signing import SignatureVerifier
from refpay.identity.token_issuer import TokenIssuer
from refpay.ledger.receipt_log import open_receipt_log
from refpay.measures import API_METRICS, ServiceMetrics, make_recorder
from refpay.operations.approval_decisions import ApprovalDecisions
from refpay.operations.card_ranges import CardRanges
from refpay.operations.dead_letters import DeadLetters
from refpay.operations.duplicates import Duplicates
from refpay.operations.durable_settings import require_durable
from refpay.operations.routing import Routing
from refpay.operations.settlement_reports import SettlementReports
from refpay.payments.approvals import require_approval
from refpay.payments.outcome_resolver import OutcomeResolver
from refpay.payments.releasing import Suspense
from refpay.payments.service import Payments, make_deadlines
from refpay.payments.webhooks import Webhooks
from refpay.providers.registry import make_resilient, open_attempts
from refpay.risk.screening import Screening
from refpay.settings import Network, Settings

# Payments have connections of their own, so that operator actions work while payments use up theirs. So have
# webhooks, which come as often as calls, so that no payment waits for them.
_PAYMENT_CONNECTIONS: Final = 8
_WEBHOOK_CONNECTIONS: Final = 3
_CONNECTIONS: Final = 4


@dataclass(frozen=True, slots=True)
class Services:
    """The services that handlers call, and the API's OpenAPI description as JSON."""

    description: bytes
    database: Database
    measures: ServiceMetrics
    principals: Principals
    tokens: TokenIssuer
    rates: RateLimiter
    payments: Payments
    webhooks: Webhooks
    # Verify the signed requests of each provider.
    verifiers: Mapping[str, SignatureVerifier]
    webhook_networks: Mapping[str, tuple[Network, ...]]
    routing: Routing
    card_ranges: CardRanges
    dead_letters: DeadLetters
    settlement_reports: SettlementReports
    approvals: ApprovalDecisions
    duplicates: Duplicates
    suspense: Suspense
    # Of ids that look like card numbers.
    id_forms: IdForms


@asynccontextmanager
async def open_services(settings: Settings, clock: Clock, description: bytes) -> AsyncIterator[Services]:
    """Yield the services, connected to the database and the providers.

    Raises StartRefused if anything that the API needs is missing or wrong.
    """
    principals = Principals.load(settings.secrets_folder, clock)
    recorder = make_recorder(settings, service="refpay-api", metrics=API_METRICS)
    measures = ServiceMetrics(recorder, CostModel.load(settings.costs_file))
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
        payment_database = await connect(_PAYMENT_CONNECTIONS, by_key=True)
        webhook_database = await connect(_WEBHOOK_CONNECTIONS, by_key=True)
        attempts = await stack.enter_async_context(open_attempts(settings, measures=measures, clock=clock))
        folder = settings.acknowledgements_folder
        receipt_log = await stack.enter_async_context(
            open_receipt_log(folder, service="refpay-api", clock=clock)
        )
        providers = make_resilient(attempts, settings, measures=measures, clock=clock)
        deadlines = make_deadlines(settings)
        resolver = OutcomeResolver(webhook_database, measures=measures, clock=clock, receipt_log=receipt_log)
        files = {name: settings.secrets_folder / f"webhook_{name}.json" for name in providers}
        yield Services(
            description=description,
            database=database,
            measures=measures,
            principals=principals,
            tokens=TokenIssuer(principals, clock),
            rates=RateLimiter(settings.rates, clock.monotonic),
            payments=Payments(
                payment_database,
                providers,
                deadlines=deadlines,
                measures=measures,
                clock=clock,
                receipt_log=receipt_log,
                screening=Screening(settings.risk),
                approve=require_approval(database, settings.payout_alone_max_minor),
            ),
            webhooks=Webhooks(resolver, measures=measures, clock=clock),
            verifiers={
                name: SignatureVerifier(name, file, webhook_database, clock) for name, file in files.items()
            },
            webhook_networks={one.name: one.webhook_networks for one in settings.providers},
            routing=Routing(database, clock=clock),
            card_ranges=CardRanges(database, settings.risk, clock=clock),
            dead_letters=DeadLetters(database, clock=clock),
            settlement_reports=SettlementReports(database, clock=clock),
            approvals=ApprovalDecisions(database, clock),
            duplicates=Duplicates(database, providers, clock, deadlines),
            suspense=Suspense(database, clock, receipt_log.note),
            id_forms=settings.id_forms,
        )
