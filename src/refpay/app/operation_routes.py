"""The operations levers, with scopes of their own."""

from typing import Final

from refpay.app.bodies import NoQuery, ReasonBody
from refpay.app.contract import Demand, Endpoint, Routes
from refpay.app.services import Services
from refpay.app.views import (
    CardRangeChangeView,
    ReconciliationView,
    RefetchView,
    RepairAwaitsView,
    RepairView,
    ReplayChangeView,
    RiskView,
    RouteChangeView,
    RoutesView,
    SetAsideView,
)
from refpay.identity.principals import Scope
from refpay.operations.dead_letters import QueueUnknown, ReplayBegan
from refpay.operations.duplicates import DuplicatesLeft
from refpay.operations.routing import LastActiveProvider, ProviderUnknown
from refpay.payments.claims import Reply
from refpay.risk.errors import CardRangeInvalid, NoSuchRange

routes: Final = Routes()
_READ: Final = (Scope.OPERATIONS_READ,)


@routes.serve(Endpoint("GET", "/v1/operations/providers", NoQuery, {200: RoutesView}, scopes=_READ))
async def show_routing(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Read every provider's routing."""
    return await services.routing.read()


@routes.serve(
    Endpoint(
        "POST",
        "/v1/operations/providers/{provider}/drain",
        ReasonBody,
        {200: RouteChangeView},
        scopes=(Scope.OPERATIONS_ROUTE,),
        audit=("provider.drained",),
        problems=(ProviderUnknown, LastActiveProvider),
    )
)
async def drain(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Give a provider no new payments."""
    provider, reason = demand.path["provider"], demand.given.reason
    return await services.routing.change(demand.command, provider, active=False, reason=reason)


@routes.serve(
    Endpoint(
        "POST",
        "/v1/operations/providers/{provider}/restore",
        ReasonBody,
        {200: RouteChangeView},
        scopes=(Scope.OPERATIONS_ROUTE,),
        audit=("provider.restored",),
        problems=(ProviderUnknown,),
    )
)
async def restore(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Give a provider new payments again."""
    provider, reason = demand.path["provider"], demand.given.reason
    return await services.routing.change(demand.command, provider, active=True, reason=reason)


@routes.serve(Endpoint("GET", "/v1/operations/risk", NoQuery, {200: RiskView}, scopes=_READ))
async def show_risk(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Read which card ranges are blocked, and which are busiest."""
    return await services.card_ranges.read()


@routes.serve(
    Endpoint(
        "POST",
        "/v1/operations/risk/ranges/{card_range}/block",
        ReasonBody,
        {200: CardRangeChangeView},
        scopes=(Scope.OPERATIONS_RISK,),
        audit=("card_range.blocked",),
        problems=(CardRangeInvalid, NoSuchRange),
    )
)
async def block(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Block a card range for new authorizations; `busiest` is the one with the most signals."""
    named, reason = demand.path["card_range"], demand.given.reason
    return await services.card_ranges.change(demand.command, named, blocked=True, reason=reason)


@routes.serve(
    Endpoint(
        "POST",
        "/v1/operations/risk/ranges/{card_range}/unblock",
        ReasonBody,
        {200: CardRangeChangeView},
        scopes=(Scope.OPERATIONS_RISK,),
        audit=("card_range.unblocked",),
        problems=(CardRangeInvalid, NoSuchRange),
    )
)
async def unblock(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Let a card range pay again; `busiest` is the busiest of the blocked ones."""
    named, reason = demand.path["card_range"], demand.given.reason
    return await services.card_ranges.change(demand.command, named, blocked=False, reason=reason)


@routes.serve(Endpoint("GET", "/v1/operations/dead-letters", NoQuery, {200: SetAsideView}, scopes=_READ))
async def show_dead_letters(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Read what is set aside, and the latest requests to move it back."""
    return await services.dead_letters.read()


@routes.serve(
    Endpoint(
        "POST",
        "/v1/operations/dead-letters/{queue}/replay",
        ReasonBody,
        {200: ReplayChangeView, 202: ReplayChangeView},
        scopes=(Scope.OPERATIONS_REPLAY,),
        audit=("dead_letters.replay_requested",),
        problems=(QueueUnknown, ReplayBegan),
    )
)
async def replay(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Have a queue's dead letters moved back. 202: not done; ask again with the same key, or read."""
    queue, reason = demand.path["queue"], demand.given.reason
    return await services.dead_letters.replay(demand.command, queue, reason=reason)


@routes.serve(
    Endpoint("GET", "/v1/operations/reconciliation", NoQuery, {200: ReconciliationView}, scopes=_READ)
)
async def show_reconciliation(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Read how far reconciliation is, and what does not agree."""
    return await services.settlements.read()


@routes.serve(
    Endpoint(
        "POST",
        "/v1/operations/settlements/{provider}/refetch",
        ReasonBody,
        {200: RefetchView},
        scopes=(Scope.OPERATIONS_ROUTE,),
        audit=("settlement.refetched",),
        problems=(ProviderUnknown,),
    )
)
async def refetch(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Have doubtful settlement reports of a provider fetched again."""
    provider, reason = demand.path["provider"], demand.given.reason
    return await services.settlements.refetch(demand.command, provider, reason=reason)


@routes.serve(
    Endpoint(
        "POST",
        "/v1/operations/duplicates/{provider}/refund",
        ReasonBody,
        {200: RepairView, 202: RepairAwaitsView},
        scopes=(Scope.OPERATIONS_REPAIR,),
        audit=("duplicate.repair_ordered", "approval.requested", "approval.used"),
        problems=(ProviderUnknown, DuplicatesLeft),
    )
)
async def refund_duplicates(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Give back what a provider charged twice."""
    provider, reason = demand.path["provider"], demand.given.reason
    return await services.duplicates.refund(demand.command, provider, reason=reason)
