"""The endpoints that move money, and the one that reads."""

from typing import Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from refpay.app.bodies import AuthorizeBody, CaptureBody, RefundBody
from refpay.app.commands import Demand, authenticate, read_demand
from refpay.app.responses import json_response, reply_response
from refpay.errors import RefpayError
from refpay.identity.principals import Principals, Scope
from refpay.measures import Measures
from refpay.money import Currency, Money
from refpay.payments.errors import PaymentUnknown
from refpay.payments.model import Order
from refpay.payments.service import Payments

B = TypeVar("B", bound=BaseModel)


def payment_routes(payments: Payments, principals: Principals, measures: Measures) -> APIRouter:
    """Return the routes under /v1/payments."""
    router = APIRouter()

    async def read(request: Request, operation: str, scope: Scope, model: type[B]) -> Demand[B]:
        since = measures.now()
        try:
            return await read_demand(request, principals, scope, model)
        except RefpayError:
            measures.count_payment(operation, "live", "rejected", since=since)
            raise

    @router.post("/v1/payments", openapi_extra=describe_body(AuthorizeBody))
    async def authorize(request: Request) -> Response:
        demand = await read(request, "authorize", Scope.PAYMENTS_AUTHORIZE, AuthorizeBody)
        body = demand.body
        money = Money(body.amount_minor, Currency(body.currency))
        order = Order(body.merchant_reference, money, body.card_token)
        return reply_response(await payments.authorize(demand.command, order))

    @router.post("/v1/payments/{payment_id}/capture", openapi_extra=describe_body(CaptureBody))
    async def capture(request: Request, payment_id: str) -> Response:
        demand = await read(request, "capture", Scope.PAYMENTS_CAPTURE, CaptureBody)
        found = _read_id(payment_id)
        return reply_response(await payments.capture(demand.command, found, demand.body.amount_minor))

    @router.post("/v1/payments/{payment_id}/refunds", openapi_extra=describe_body(RefundBody))
    async def refund(request: Request, payment_id: str) -> Response:
        demand = await read(request, "refund", Scope.PAYMENTS_REFUND, RefundBody)
        found = _read_id(payment_id)
        return reply_response(await payments.refund(demand.command, found, demand.body.amount_minor))

    @router.get("/v1/payments/{payment_id}")
    async def show(request: Request, payment_id: str) -> Response:
        principal = authenticate(request, principals, Scope.PAYMENTS_READ)
        return json_response(await payments.read(principal, _read_id(payment_id)))

    return router


def describe_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return a body's OpenAPI description; the body is read by hand, after the caller is known."""
    return {"requestBody": {"content": {"application/json": {"schema": model.model_json_schema()}}}}


def _read_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as problem:
        raise PaymentUnknown("there is no such payment: the id is not a UUID") from problem
