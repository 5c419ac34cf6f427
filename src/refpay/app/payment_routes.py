"""The endpoints that move money, and the one that reads."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from refpay.app import bodies
from refpay.app.contract import Demand, Endpoint, G, Handler, Problems, Routes
from refpay.app.cursors import make_cursor, read_cursor
from refpay.app.errors import CursorInvalid
from refpay.app.services import Services
from refpay.app.views import PaymentsView, PaymentView, PayoutView
from refpay.encoding import encode
from refpay.identity.principals import Scope
from refpay.money import Currency, Money
from refpay.payments.answers import describe_payment
from refpay.payments.claims import Reply
from refpay.payments.errors import (
    AmountExceeded,
    ApprovalNeeded,
    KeyInFlight,
    OperationInFlight,
    Overloaded,
    PaymentUnknown,
    ProviderDeclined,
    ReferenceInUse,
    StateRefused,
)
from refpay.payments.listing import Filter
from refpay.payments.model import Order, PayoutOrder
from refpay.providers.errors import CircuitOpened, NoProviderAvailable, ProviderRefused
from refpay.risk.errors import RiskBlocked, RiskUnavailable

routes: Final = Routes()
_CALLING: Final[Problems] = (KeyInFlight, Overloaded, CircuitOpened, ProviderRefused)
_FOLLOWING: Final[Problems] = (
    *_CALLING,
    PaymentUnknown,
    OperationInFlight,
    StateRefused,
    AmountExceeded,
    ProviderDeclined,
)


def _audited(kind: str) -> tuple[str, ...]:
    outcomes = ("begun", "taken_over", "succeeded", "declined", "failed", "indeterminate", "contradicted")
    blocked = ("card_range.blocked",) if kind == "authorize" else ()
    return (*(f"{kind}.{outcome}" for outcome in outcomes), "payment.changed", *blocked)


def _moving(
    path: str, takes: type[G], status: int, scope: Scope, kind: str, problems: Problems
) -> Callable[[Handler[G]], Handler[G]]:
    """Declare an endpoint that moves a payment: done, or 202 while its outcome is not known."""
    endpoint = Endpoint(
        "POST",
        path,
        takes,
        {status: PaymentView, 202: PaymentView},
        scopes=(scope,),
        audit=_audited(kind),
        problems=problems,
        measured_as=kind,
    )
    return routes.serve(endpoint)


@_moving(
    "/v1/payments",
    bodies.AuthorizeBody,
    201,
    Scope.PAYMENTS_AUTHORIZE,
    "authorize",
    (*_CALLING, NoProviderAvailable, ReferenceInUse, RiskBlocked, RiskUnavailable),
)
async def authorize(services: Services, demand: Demand[bodies.AuthorizeBody]) -> Reply:
    """Authorize a new charge. 202: the outcome is not known yet; ask again with the same key, or read."""
    body = demand.given
    money = Money(body.amount_minor, Currency(body.currency))
    order = Order(body.merchant_reference, money, body.card_token)
    return await services.payments.authorize(demand.command, order)


@_moving(
    "/v1/payments/{payment_id}/capture",
    bodies.CaptureBody,
    200,
    Scope.PAYMENTS_CAPTURE,
    "capture",
    _FOLLOWING,
)
async def capture(services: Services, demand: Demand[bodies.CaptureBody]) -> Reply:
    """Capture a part of an authorization, all that is left of it if no amount is given."""
    payment_id = _read_id(demand)
    return await services.payments.capture(demand.command, payment_id, demand.given.amount_minor)


@_moving("/v1/payments/{payment_id}/void", bodies.VoidBody, 200, Scope.PAYMENTS_VOID, "void", _FOLLOWING)
async def void(services: Services, demand: Demand[bodies.VoidBody]) -> Reply:
    """Release all that is left of an authorization."""
    return await services.payments.void(demand.command, _read_id(demand))


@_moving(
    "/v1/payments/{payment_id}/refunds", bodies.RefundBody, 201, Scope.PAYMENTS_REFUND, "refund", _FOLLOWING
)
async def refund(services: Services, demand: Demand[bodies.RefundBody]) -> Reply:
    """Refund a part of what was captured; refunds together never exceed it."""
    return await services.payments.refund(demand.command, _read_id(demand), demand.given.amount_minor)


@routes.serve(
    Endpoint(
        "POST",
        "/v1/payouts",
        bodies.PayoutBody,
        {201: PayoutView, 202: PayoutView},
        scopes=(Scope.PAYOUTS_CREATE,),
        audit=(*_audited("payout")[:-1], "approval.requested", "approval.used"),
        problems=(
            *_CALLING,
            NoProviderAvailable,
            AmountExceeded,
            ApprovalNeeded,
            ProviderDeclined,
            ReferenceInUse,
        ),
        measured_as="payout",
    )
)
async def pay_out(services: Services, demand: Demand[bodies.PayoutBody]) -> Reply:
    """Pay the merchant a part of what it is owed, once for each of its references, whatever the key.

    403 `approval_needed`: ask again once it is approved.
    """
    body = demand.given
    money = Money(body.amount_minor, Currency(body.currency))
    return await services.payments.payout(demand.command, PayoutOrder(body.merchant_reference, money))


@routes.serve(
    Endpoint(
        "GET",
        "/v1/payments",
        bodies.PaymentsQuery,
        {200: PaymentsView},
        scopes=(Scope.PAYMENTS_READ,),
        problems=(CursorInvalid,),
    )
)
async def list_payments(services: Services, demand: Demand[bodies.PaymentsQuery]) -> bytes:
    """List the caller's own payments, newest first."""
    query, merchant = demand.given, demand.command.principal.name
    listing = query.listing(merchant)
    wanted = Filter(query.status, query.merchant_reference, query.created_from, query.created_to)
    after = read_cursor(query.cursor, listing)
    page = await services.listing.read(merchant, wanted, after=after, limit=query.limit)
    shown = [describe_payment(payment) for payment in page.payments]
    return encode({"payments": shown, "next": page.after and make_cursor(page.after, listing)})


@routes.serve(
    Endpoint(
        "GET",
        "/v1/payments/{payment_id}",
        bodies.NoQuery,
        {200: PaymentView},
        scopes=(Scope.PAYMENTS_READ,),
        problems=(PaymentUnknown,),
    )
)
async def show_payment(services: Services, demand: Demand[bodies.NoQuery]) -> bytes:
    """Read a payment; a merchant sees its own, an operator every one."""
    return await services.payments.read(demand.command.principal, _read_id(demand))


def _read_id(given: Demand[Any]) -> UUID:
    try:
        return UUID(given.path["payment_id"])
    except ValueError as problem:
        raise PaymentUnknown("there is no such payment: the id is not a UUID") from problem
