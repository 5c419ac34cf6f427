"""The operations levers, with scopes of their own."""

from fastapi import APIRouter, Request, Response

from refpay.app.bodies import ReplayBody, RouteBody
from refpay.app.commands import authenticate, read_demand
from refpay.app.payment_routes import describe_body
from refpay.app.responses import json_response, reply_response
from refpay.identity.principals import Principals, Scope
from refpay.operations.card_ranges import CardRanges
from refpay.operations.dead_letters import DeadLetters
from refpay.operations.duplicates import Duplicates
from refpay.operations.routing import Routing
from refpay.operations.settlements import Settlements


def operation_routes(routing: Routing, principals: Principals) -> APIRouter:
    """Return the routes under /v1/operations/providers."""
    router = APIRouter()

    async def change(request: Request, provider: str, *, active: bool) -> Response:
        demand = await read_demand(request, principals, Scope.OPERATIONS_ROUTE, RouteBody)
        reply = await routing.change(demand.command, provider, active=active, reason=demand.body.reason)
        return reply_response(reply)

    @router.post("/v1/operations/providers/{provider}/drain", openapi_extra=describe_body(RouteBody))
    async def drain(request: Request, provider: str) -> Response:
        return await change(request, provider, active=False)

    @router.post("/v1/operations/providers/{provider}/restore", openapi_extra=describe_body(RouteBody))
    async def restore(request: Request, provider: str) -> Response:
        return await change(request, provider, active=True)

    @router.get("/v1/operations/providers")
    async def show(request: Request) -> Response:
        authenticate(request, principals, Scope.OPERATIONS_READ)
        return json_response(await routing.read())

    return router


def risk_routes(card_ranges: CardRanges, principals: Principals) -> APIRouter:
    """Return the routes under /v1/operations/risk."""
    router = APIRouter()

    async def change(request: Request, card_range: str, *, blocked: bool) -> Response:
        demand = await read_demand(request, principals, Scope.OPERATIONS_RISK, RouteBody)
        reply = await card_ranges.change(
            demand.command, card_range, blocked=blocked, reason=demand.body.reason
        )
        return reply_response(reply)

    @router.post("/v1/operations/risk/ranges/{card_range}/block", openapi_extra=describe_body(RouteBody))
    async def block(request: Request, card_range: str) -> Response:
        return await change(request, card_range, blocked=True)

    @router.post("/v1/operations/risk/ranges/{card_range}/unblock", openapi_extra=describe_body(RouteBody))
    async def unblock(request: Request, card_range: str) -> Response:
        return await change(request, card_range, blocked=False)

    @router.get("/v1/operations/risk")
    async def show(request: Request) -> Response:
        authenticate(request, principals, Scope.OPERATIONS_READ)
        return json_response(await card_ranges.read())

    return router


def dead_letter_routes(dead_letters: DeadLetters, principals: Principals) -> APIRouter:
    """Return the routes under /v1/operations/dead-letters."""
    router = APIRouter()

    @router.post("/v1/operations/dead-letters/{queue}/replay", openapi_extra=describe_body(ReplayBody))
    async def replay(request: Request, queue: str) -> Response:
        demand = await read_demand(request, principals, Scope.OPERATIONS_REPLAY, ReplayBody)
        return reply_response(await dead_letters.replay(demand.command, queue, reason=demand.body.reason))

    @router.get("/v1/operations/dead-letters")
    async def show(request: Request) -> Response:
        authenticate(request, principals, Scope.OPERATIONS_READ)
        return json_response(await dead_letters.read())

    return router


def settlement_routes(settlements: Settlements, principals: Principals) -> APIRouter:
    """Return the routes of reconciliation and of the settlement reports behind it."""
    router = APIRouter()

    @router.get("/v1/operations/reconciliation")
    async def reconciliation(request: Request) -> Response:
        authenticate(request, principals, Scope.OPERATIONS_READ)
        return json_response(await settlements.read())

    @router.post("/v1/operations/settlements/{provider}/refetch", openapi_extra=describe_body(RouteBody))
    async def refetch(request: Request, provider: str) -> Response:
        demand = await read_demand(request, principals, Scope.OPERATIONS_ROUTE, RouteBody)
        reply = await settlements.refetch(demand.command, provider, reason=demand.body.reason)
        return reply_response(reply)

    return router


def duplicate_routes(duplicates: Duplicates, principals: Principals) -> APIRouter:
    """Return the route that gives back what a provider charged twice; it moves money, so by its own scope."""
    router = APIRouter()

    @router.post("/v1/operations/duplicates/{provider}/refund", openapi_extra=describe_body(RouteBody))
    async def refund(request: Request, provider: str) -> Response:
        demand = await read_demand(request, principals, Scope.OPERATIONS_REPAIR, RouteBody)
        return reply_response(await duplicates.refund(demand.command, provider, reason=demand.body.reason))

    return router
