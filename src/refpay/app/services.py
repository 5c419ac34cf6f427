"""What the endpoints may use: the doors of the other rooms, and nothing behind them."""

from collections.abc import Mapping
from dataclasses import dataclass

from refpay.app.rates import Rates
from refpay.audit.trail import Trail
from refpay.db.pool import Database
from refpay.identity.principals import Principals
from refpay.identity.signing import SignatureVerifier
from refpay.identity.token_desk import TokenDesk
from refpay.ledger.balances import Balances
from refpay.measures import Measures
from refpay.operations.approving import Approving
from refpay.operations.card_ranges import CardRanges
from refpay.operations.dead_letters import DeadLetters
from refpay.operations.duplicates import Duplicates
from refpay.operations.routing import Routing
from refpay.operations.settlements import Settlements
from refpay.payments.listing import Listing
from refpay.payments.service import Payments
from refpay.payments.webhooks import Webhooks


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
    listing: Listing
    balances: Balances
    webhooks: Webhooks
    # What each provider's signed requests are judged by.
    verifiers: Mapping[str, SignatureVerifier]
    trail: Trail
    routing: Routing
    card_ranges: CardRanges
    dead_letters: DeadLetters
    settlements: Settlements
    approving: Approving
    duplicates: Duplicates
