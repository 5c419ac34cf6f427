"""The ledger's balances, for those who may read all of them."""

from typing import Final

from refpay.app.bodies import BalancesQuery
from refpay.app.contract import Demand, Endpoint, Routes
from refpay.app.services import Services
from refpay.app.views import BalancesView
from refpay.encoding import encode
from refpay.identity.principals import Scope
from refpay.ledger.errors import HistoryArchived

routes: Final = Routes()


@routes.serve(
    Endpoint(
        "GET",
        "/v1/ledger/balances",
        BalancesQuery,
        {200: BalancesView},
        scopes=(Scope.LEDGER_READ,),
        problems=(HistoryArchived,),
    )
)
async def list_balances(services: Services, demand: Demand[BalancesQuery]) -> bytes:
    """Read what accounts come to, now or at any earlier instant."""
    query = demand.given
    page = await services.balances.read(query.account, query.as_of, after=query.after, limit=query.limit)
    shown = [
        {"account": account, "currency": currency, "balance_minor": minor}
        for (account, currency), minor in sorted(page.balances.items())
    ]
    return encode({"as_of": query.as_of, "balances": shown, "next": page.after})
