"""The operations levers, with scopes of their own."""

from typing import Final

from pydantic import BaseModel

from refpay.app import views
from refpay.app.bodies import NoQuery, ReasonBody
from refpay.app.contract import Demand, Endpoint, Problem, Problems
from refpay.app.services import Services
from refpay.identity.principals import Scope
from refpay.operations.dead_letters import QueueUnknown, ReplayBegan
from refpay.operations.duplicates import DuplicatesLeft
from refpay.operations.routing import LastActiveProvider, ProviderUnknown
from refpay.payments import releasing
from refpay.payments.claims import Reply
from refpay.payments.errors import OperationInFlight
from refpay.risk.errors import CardRangeInvalid, NoSuchRange

_ROUTE, _RISK = Scope.OPERATIONS_ROUTE, Scope.OPERATIONS_RISK
_NO_DRAINING: Final = (ProviderUnknown, LastActiveProvider)
_NO_RANGE: Final = (CardRangeInvalid, NoSuchRange)
_NO_REPAIR: Final = (ProviderUnknown, DuplicatesLeft)
_NO_RELEASE: Final = (*releasing.DEFINITIVE, releasing.OperationUnknown, OperationInFlight)
_RELEASED: Final = ("suspense_release.begun", "suspense_release.succeeded", "payment.changed")


def _reading(path: str, view: type[BaseModel]) -> Endpoint[NoQuery]:
    return Endpoint("GET", f"/v1/operations/{path}", NoQuery, {200: view}, scopes=(Scope.OPERATIONS_READ,))


def _lever(
    path: str, scope: Scope, audited: str, view: type[BaseModel], *problems: Problem
) -> Endpoint[ReasonBody]:
    path, answers = f"/v1/operations/{path}", {200: view}
    return Endpoint("POST", path, ReasonBody, answers, scopes=(scope,), audit=(audited,), problems=problems)


def _approved(path: str, view: type[BaseModel], problems: Problems, *audited: str) -> Endpoint[ReasonBody]:
    """Declare a lever that moves money: 202 until a second person has agreed."""
    answers: dict[int, type[BaseModel]] = {200: view, 202: views.RepairAwaitsView}
    path = f"/v1/operations/{path}"
    scopes, audit = (Scope.OPERATIONS_REPAIR,), (*audited, "approval.requested", "approval.used")
    return Endpoint("POST", path, ReasonBody, answers, scopes=scopes, audit=audit, problems=problems)


@_reading("providers", views.RoutesView)
async def show_routing(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Read every provider's routing."""
    return await services.routing.read()


@_lever("providers/{provider}/drain", _ROUTE, "provider.drained", views.RouteChangeView, *_NO_DRAINING)
async def drain(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Give a provider no new payments."""
    provider, reason = demand.path["provider"], demand.given.reason
    return await services.routing.change(demand.command, provider, active=False, reason=reason)


@_lever("providers/{provider}/restore", _ROUTE, "provider.restored", views.RouteChangeView, ProviderUnknown)
async def restore(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Give a provider new payments again."""
    provider, reason = demand.path["provider"], demand.given.reason
    return await services.routing.change(demand.command, provider, active=True, reason=reason)


@_reading("risk", views.RiskView)
async def show_risk(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Read which card ranges are blocked, and which are busiest."""
    return await services.card_ranges.read()


@_lever("risk/ranges/{card_range}/block", _RISK, "card_range.blocked", views.CardRangeChangeView, *_NO_RANGE)
async def block(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Block a card range for new authorizations; `busiest` is the one with the most signals."""
    named, reason = demand.path["card_range"], demand.given.reason
    return await services.card_ranges.change(demand.command, named, blocked=True, reason=reason)


@_lever(
    "risk/ranges/{card_range}/unblock", _RISK, "card_range.unblocked", views.CardRangeChangeView, *_NO_RANGE
)
async def unblock(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Let a card range pay again; `busiest` is the busiest of the blocked ones."""
    named, reason = demand.path["card_range"], demand.given.reason
    return await services.card_ranges.change(demand.command, named, blocked=False, reason=reason)


@_reading("dead-letters", views.SetAsideView)
async def show_dead_letters(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Read what is set aside, and the latest requests to move it back."""
    return await services.dead_letters.read()


@Endpoint(
    "POST",
    "/v1/operations/dead-letters/{queue}/replay",
    ReasonBody,
    {200: views.ReplayChangeView, 202: views.ReplayChangeView},
    scopes=(Scope.OPERATIONS_REPLAY,),
    audit=("dead_letters.replay_requested",),
    problems=(QueueUnknown, ReplayBegan),
)
async def replay(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Have a queue's dead letters moved back. 202: not done; ask again with the same key, or read."""
    queue, reason = demand.path["queue"], demand.given.reason
    return await services.dead_letters.replay(demand.command, queue, reason=reason)


@_reading("reconciliation", views.ReconciliationView)
async def show_reconciliation(services: Services, _demand: Demand[NoQuery]) -> bytes:
    """Read how far reconciliation is, and what does not agree."""
    return await services.settlements.read()


@_lever("settlements/{provider}/refetch", _ROUTE, "settlement.refetched", views.RefetchView, ProviderUnknown)
async def refetch(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Have doubtful settlement reports of a provider fetched again."""
    provider, reason = demand.path["provider"], demand.given.reason
    return await services.settlements.refetch(demand.command, provider, reason=reason)


@_approved("duplicates/{provider}/refund", views.RepairView, _NO_REPAIR, "duplicate.repair_ordered")
async def refund_duplicates(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Give back what a provider charged twice."""
    provider, reason = demand.path["provider"], demand.given.reason
    return await services.duplicates.refund(demand.command, provider, reason=reason)


@_approved("suspense/{operation_id}/release", views.PaymentView, _NO_RELEASE, *_RELEASED)
async def release_suspense(services: Services, demand: Demand[ReasonBody]) -> Reply:
    """Have a merchant bear a refund that came too late."""
    operation_id, reason = demand.id("operation_id", releasing.OperationUnknown), demand.given.reason
    return await services.suspense.release(demand.command, operation_id, reason=reason)
