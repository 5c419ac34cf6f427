"""The endpoints that move money, and the one that reads."""

from typing import Final
from uuid import UUID

from refpay.app import bodies
from refpay.app.contract import Demand, Endpoint, G, Problems
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


def _following(word: str, takes: type[G], status: int, scope: Scope) -> Endpoint[G]:
    """Declare what moves a payment that is there: done, or 202 while its outcome is not known."""
    kind = scope.removeprefix("payments:")
    return Endpoint(
        "POST",
        f"/v1/payments/{{payment_id}}/{word}",
        takes,
        {status: PaymentView, 202: PaymentView},
        scopes=(scope,),
        audit=_audited(kind, "payment.changed"),
        problems=(
            *(*_CALLING, errors.PaymentUnknown, errors.OperationInFlight, errors.StateRefused),
            *(errors.AmountExceeded, errors.ProviderDeclined),
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
async def authorize(services: Services, demand: Demand[bodies.AuthorizeBody]) -> Reply:
    """Authorize a new charge. 202: the outcome is not known yet; ask again with the same key, or read."""
    body = demand.given
    money = Money(body.amount_minor, Currency(body.currency))
    order = Order(body.merchant_reference, money, body.card_token)
    return await services.payments.authorize(demand.command, order)


@_following("capture", bodies.CaptureBody, 200, Scope.PAYMENTS_CAPTURE)
async def capture(services: Services, demand: Demand[bodies.CaptureBody]) -> Reply:
    """Capture a part of an authorization, all that is left of it if no amount is given."""
    return await services.payments.capture(demand.command, _paid(demand), demand.given.amount_minor)


@_following("void", bodies.VoidBody, 200, Scope.PAYMENTS_VOID)
async def void(services: Services, demand: Demand[bodies.VoidBody]) -> Reply:
    """Release all that is left of an authorization."""
    return await services.payments.void(demand.command, _paid(demand))


@_following("refunds", bodies.RefundBody, 201, Scope.PAYMENTS_REFUND)
async def refund(services: Services, demand: Demand[bodies.RefundBody]) -> Reply:
    """Refund a part of what was captured; refunds together never exceed it."""
    return await services.payments.refund(demand.command, _paid(demand), demand.given.amount_minor)


@Endpoint(
    "POST",
    "/v1/payouts",
    bodies.PayoutBody,
    {201: PayoutView, 202: PayoutView},
    scopes=(Scope.PAYOUTS_CREATE,),
    audit=_audited("payout", "approval.requested", "approval.used"),
    problems=(
        *(*_CALLING, NoProviderAvailable),
        *(errors.AmountExceeded, errors.ApprovalNeeded, errors.ProviderDeclined, errors.ReferenceInUse),
    ),
    measured_as="payout",
)
async def pay_out(services: Services, demand: Demand[bodies.PayoutBody]) -> Reply:
    """Pay the merchant a part of what it is owed, once for each of its references, whatever the key.

    403 `approval_needed`: ask again once it is approved.
    """
    body = demand.given
    money = Money(body.amount_minor, Currency(body.currency))
    return await services.payments.payout(demand.command, PayoutOrder(body.merchant_reference, money))


@Endpoint(
    "GET",
    "/v1/payments",
    bodies.PaymentsQuery,
    {200: PaymentsView},
    scopes=(Scope.PAYMENTS_READ,),
    problems=(CursorInvalid,),
)
async def list_payments(services: Services, demand: Demand[bodies.PaymentsQuery]) -> bytes:
    """List the caller's own payments, newest first."""
    query, merchant = demand.given, demand.command.principal.name
    span = query.span(merchant, query.created_from, query.created_to)
    payments, last = await listing.list_payments(
        services.database, merchant, span, status=query.status, reference=query.merchant_reference
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
async def show_payment(services: Services, demand: Demand[bodies.NoQuery]) -> bytes:
    """Read a payment; a merchant sees its own, an operator every one."""
    return await services.payments.read(demand.command.principal, _paid(demand))


def _paid(demand: Demand[G]) -> UUID:
    return demand.id("payment_id", errors.PaymentUnknown)
