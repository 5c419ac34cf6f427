"""Endpoints that move money, and those that read payments."""

from typing import Final
from uuid import UUID

from refpay.app import bodies
from refpay.app.contract import AuthenticatedRequest, Endpoint, PayloadT, Problems
from refpay.app.errors import CursorInvalid
from refpay.app.services import Services
from refpay.app.views import PaymentsView, PaymentView, PayoutView
from refpay.identity.principals import Scope
from refpay.money import Currency, Money
from refpay.payments import errors, listing
from refpay.payments.answers import describe_payment
from refpay.payments.claims import Reply
from refpay.payments.model import Order, PayoutOrder
from refpay.providers.errors import CircuitOpened, NoProviderAvailable, ProviderRefused
from refpay.risk.errors import RiskBlocked, RiskUnavailable

_CALLING: Final[Problems] = (errors.KeyInFlight, errors.Overloaded, CircuitOpened, ProviderRefused)
_ENDS: Final = ("begun", "taken_over", "succeeded", "declined", "failed", "indeterminate", "contradicted")


def _audited(kind: str, *more: str) -> tuple[str, ...]:
    return (*(f"{kind}.{end}" for end in _ENDS), *more)


def _following(word: str, request_model: type[PayloadT], status: int, scope: Scope) -> Endpoint[PayloadT]:
    """Declare an operation on an existing payment: it answers 202 while the outcome is not known."""
    kind = scope.removeprefix("payments:")
    return Endpoint(
        "POST",
        f"/v1/payments/{{payment_id}}/{word}",
        request_model,
        {status: PaymentView, 202: PaymentView},
        scopes=(scope,),
        audit=_audited(kind, "payment.changed"),
        problems=(
            *_CALLING,
            errors.PaymentUnknown,
            errors.OperationInFlight,
            errors.StateRefused,
            errors.AmountExceeded,
            errors.ProviderDeclined,
        ),
        measured_as=kind,
    )


@Endpoint(
    "POST",
    "/v1/payments",
    bodies.AuthorizeBody,
    {201: PaymentView, 202: PaymentView},
    scopes=(Scope.PAYMENTS_AUTHORIZE,),
    audit=_audited("authorize", "payment.changed", "card_range.blocked"),
    problems=(*_CALLING, NoProviderAvailable, errors.ReferenceInUse, RiskBlocked, RiskUnavailable),
    measured_as="authorize",
)
async def authorize(services: Services, request: AuthenticatedRequest[bodies.AuthorizeBody]) -> Reply:
    """Authorize a new payment. 202: the outcome is not known yet; ask again with the same key, or read."""
    body = request.payload
    money = Money(body.amount_minor, Currency(body.currency))
    order = Order(body.merchant_reference, money, body.card_token)
    return await services.payments.authorize(request.command, order)


@_following("capture", bodies.CaptureBody, 200, Scope.PAYMENTS_CAPTURE)
async def capture(services: Services, request: AuthenticatedRequest[bodies.CaptureBody]) -> Reply:
    """Capture a part of an authorization, or all that is left of it if no amount is given."""
    return await services.payments.capture(request.command, _paid(request), request.payload.amount_minor)


@_following("void", bodies.VoidBody, 200, Scope.PAYMENTS_VOID)
async def void(services: Services, request: AuthenticatedRequest[bodies.VoidBody]) -> Reply:
    """Release all that is left of an authorization."""
    return await services.payments.void(request.command, _paid(request))


@_following("refunds", bodies.RefundBody, 201, Scope.PAYMENTS_REFUND)
async def refund(services: Services, request: AuthenticatedRequest[bodies.RefundBody]) -> Reply:
    """Refund a part of what was captured. Refunds together never exceed it."""
    return await services.payments.refund(request.command, _paid(request), request.payload.amount_minor)


@Endpoint(
    "POST",
    "/v1/payouts",
    bodies.PayoutBody,
    {201: PayoutView, 202: PayoutView},
    scopes=(Scope.PAYOUTS_CREATE,),
    audit=_audited("payout", "approval.requested", "approval.used"),
    problems=(
        *_CALLING,
        NoProviderAvailable,
        errors.AmountExceeded,
        errors.ApprovalNeeded,
        errors.ProviderDeclined,
        errors.ReferenceInUse,
    ),
    measured_as="payout",
)
async def pay_out(services: Services, request: AuthenticatedRequest[bodies.PayoutBody]) -> Reply:
    """Pay the merchant a part of what it is owed.

    Each merchant reference is paid once, whatever the idempotency key.

    403 `approval_needed`: ask again once a second person has approved it.
    """
    body = request.payload
    money = Money(body.amount_minor, Currency(body.currency))
    return await services.payments.payout(request.command, PayoutOrder(body.merchant_reference, money))


@Endpoint(
    "GET",
    "/v1/payments",
    bodies.PaymentsQuery,
    {200: PaymentsView},
    scopes=(Scope.PAYMENTS_READ,),
    problems=(CursorInvalid,),
)
async def list_payments(services: Services, request: AuthenticatedRequest[bodies.PaymentsQuery]) -> bytes:
    """List the caller's own payments, newest first."""
    query, merchant = request.payload, request.command.principal.name
    page_request = query.page_request(merchant, query.created_from, query.created_to)
    payments, last = await listing.list_payments(
        services.database, merchant, page_request, status=query.status, reference=query.merchant_reference
    )
    return query.page(merchant, "payments", [describe_payment(one) for one in payments], last)


@Endpoint(
    "GET",
    "/v1/payments/{payment_id}",
    bodies.NoQuery,
    {200: PaymentView},
    scopes=(Scope.PAYMENTS_READ,),
    problems=(errors.PaymentUnknown,),
)
async def show_payment(services: Services, request: AuthenticatedRequest[bodies.NoQuery]) -> bytes:
    """Read a payment. A merchant reads its own, an operator reads any."""
    return await services.payments.read(request.command.principal, _paid(request))


def _paid(request: AuthenticatedRequest[PayloadT]) -> UUID:
    return request.id("payment_id", errors.PaymentUnknown)
