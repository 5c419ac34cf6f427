"""Endpoints of the operator actions, and of what they act on."""

from typing import Final

from pydantic import BaseModel

from refpay.app import views
from refpay.app.bodies import NoQuery, ReasonBody
from refpay.app.contract import AuthenticatedRequest, Endpoint, Problem, Problems
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
_DRAIN_PROBLEMS: Final = (ProviderUnknown, LastActiveProvider)
_RANGE_PROBLEMS: Final = (CardRangeInvalid, NoSuchRange)
_REPAIR_PROBLEMS: Final = (ProviderUnknown, DuplicatesLeft)
_RELEASE_PROBLEMS: Final = (*releasing.DEFINITIVE, releasing.OperationUnknown, OperationInFlight)
_RELEASED: Final = ("suspense_release.begun", "suspense_release.succeeded", "payment.changed")


def _reading(path: str, view: type[BaseModel]) -> Endpoint[NoQuery]:
    return Endpoint("GET", f"/v1/operations/{path}", NoQuery, {200: view}, scopes=(Scope.OPERATIONS_READ,))


def _action(
    path: str, scope: Scope, audited: str, view: type[BaseModel], *problems: Problem
) -> Endpoint[ReasonBody]:
    path, answers = f"/v1/operations/{path}", {200: view}
    return Endpoint("POST", path, ReasonBody, answers, scopes=(scope,), audit=(audited,), problems=problems)


def _approved(path: str, view: type[BaseModel], problems: Problems, *audited: str) -> Endpoint[ReasonBody]:
    """Declare an operator action that moves money: it answers 202 until a second person has approved it."""
    answers: dict[int, type[BaseModel]] = {200: view, 202: views.RepairPendingView}
    path = f"/v1/operations/{path}"
    scopes, audit = (Scope.OPERATIONS_REPAIR,), (*audited, "approval.requested", "approval.used")
    return Endpoint("POST", path, ReasonBody, answers, scopes=scopes, audit=audit, problems=problems)


@_reading("providers", views.RoutesView)
async def show_routing(services: Services, _request: AuthenticatedRequest[NoQuery]) -> bytes:
    """Read every provider's routing."""
    return await services.routing.read()


@_action("providers/{provider}/drain", _ROUTE, "provider.drained", views.RouteChangeView, *_DRAIN_PROBLEMS)
async def drain(services: Services, request: AuthenticatedRequest[ReasonBody]) -> Reply:
    """Stop routing new payments to a provider."""
    provider, reason = request.path["provider"], request.payload.reason
    return await services.routing.change(request.command, provider, active=False, reason=reason)


@_action("providers/{provider}/restore", _ROUTE, "provider.restored", views.RouteChangeView, ProviderUnknown)
async def restore(services: Services, request: AuthenticatedRequest[ReasonBody]) -> Reply:
    """Route new payments to a provider again."""
    provider, reason = request.path["provider"], request.payload.reason
    return await services.routing.change(request.command, provider, active=True, reason=reason)


@_reading("risk", views.RiskView)
async def show_risk(services: Services, _request: AuthenticatedRequest[NoQuery]) -> bytes:
    """Read which card ranges are blocked and which are busiest."""
    return await services.card_ranges.read()


@_action(
    "risk/ranges/{card_range}/block", _RISK, "card_range.blocked", views.CardRangeChangeView, *_RANGE_PROBLEMS
)
async def block(services: Services, request: AuthenticatedRequest[ReasonBody]) -> Reply:
    """Block a card range for new authorizations. `busiest` is the range with the most signals."""
    named, reason = request.path["card_range"], request.payload.reason
    return await services.card_ranges.change(request.command, named, blocked=True, reason=reason)


@_action(
    "risk/ranges/{card_range}/unblock",
    _RISK,
    "card_range.unblocked",
    views.CardRangeChangeView,
    *_RANGE_PROBLEMS,
)
async def unblock(services: Services, request: AuthenticatedRequest[ReasonBody]) -> Reply:
    """Unblock a card range. `busiest` is the busiest of the blocked ranges."""
    named, reason = request.path["card_range"], request.payload.reason
    return await services.card_ranges.change(request.command, named, blocked=False, reason=reason)


@_reading("dead-letters", views.DeadLettersView)
async def show_dead_letters(services: Services, _request: AuthenticatedRequest[NoQuery]) -> bytes:
    """Read the dead letters by queue and reason, and the latest replays."""
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
async def replay(services: Services, request: AuthenticatedRequest[ReasonBody]) -> Reply:
    """Replay the dead letters of a queue. 202: not done yet; ask again with the same key, or read."""
    queue, reason = request.path["queue"], request.payload.reason
    return await services.dead_letters.replay(request.command, queue, reason=reason)


@_reading("reconciliation", views.ReconciliationView)
async def show_reconciliation(services: Services, _request: AuthenticatedRequest[NoQuery]) -> bytes:
    """Read the state of reconciliation and its open breaks."""
    return await services.settlement_reports.read()


@_action("settlements/{provider}/refetch", _ROUTE, "settlement.refetched", views.RefetchView, ProviderUnknown)
async def refetch(services: Services, request: AuthenticatedRequest[ReasonBody]) -> Reply:
    """Fetch the doubtful settlement reports of a provider again."""
    provider, reason = request.path["provider"], request.payload.reason
    return await services.settlement_reports.refetch(request.command, provider, reason=reason)


@_approved("duplicates/{provider}/refund", views.RepairView, _REPAIR_PROBLEMS, "duplicate.repair_ordered")
async def refund_duplicates(services: Services, request: AuthenticatedRequest[ReasonBody]) -> Reply:
    """Refund what a provider charged twice."""
    provider, reason = request.path["provider"], request.payload.reason
    return await services.duplicates.refund(request.command, provider, reason=reason)


@_approved("suspense/{operation_id}/release", views.PaymentView, _RELEASE_PROBLEMS, *_RELEASED)
async def release_suspense(services: Services, request: AuthenticatedRequest[ReasonBody]) -> Reply:
    """Charge a refund that came too late to its merchant."""
    operation_id, reason = request.id("operation_id", releasing.OperationUnknown), request.payload.reason
    return await services.suspense.release(request.command, operation_id, reason=reason)
