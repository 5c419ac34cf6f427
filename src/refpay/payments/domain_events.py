"""Build the domain event of a resolved operation."""

from datetime import datetime
from typing import Final

from moneypath.telemetry import correlation
from moneypath.telemetry.integrations.messages import context_headers
from refpay.errors import InvariantViolation
from refpay.ids import mint_id
from refpay.outbox.events import Event, EventType
from refpay.payments.model import Operation, OperationKind, OperationStatus, Subject

_K: Final = OperationKind
# The event of each final status, in this order. What a provider or an operator initiated only succeeds.
_ENDS: Final = (OperationStatus.SUCCEEDED, OperationStatus.DECLINED, OperationStatus.FAILED)
_TYPES: Final = {
    _K.AUTHORIZE: (EventType.AUTHORIZED, EventType.DECLINED, EventType.FAILED),
    _K.CAPTURE: (EventType.CAPTURED, EventType.CAPTURE_DECLINED, EventType.CAPTURE_FAILED),
    _K.VOID: (EventType.VOIDED, EventType.VOID_DECLINED, EventType.VOID_FAILED),
    _K.EXPIRY: (EventType.EXPIRED, EventType.EXPIRY_DECLINED, EventType.EXPIRY_FAILED),
    _K.REFUND: (EventType.REFUNDED, EventType.REFUND_DECLINED, EventType.REFUND_FAILED),
    _K.PAYOUT: (EventType.PAID_OUT, EventType.PAYOUT_DECLINED, EventType.PAYOUT_FAILED),
    _K.CHARGEBACK: (EventType.CHARGEBACK_OPENED,),
    _K.CHARGEBACK_REVERSAL: (EventType.CHARGEBACK_WON,),
    _K.UNDO_AUTHORIZE: (
        EventType.LATE_AUTHORIZATION_VOIDED,
        EventType.LATE_AUTHORIZATION_KEPT,
        EventType.LATE_AUTHORIZATION_KEPT,
    ),
    _K.UNDO_CAPTURE: (
        EventType.LATE_CAPTURE_REFUNDED,
        EventType.LATE_CAPTURE_KEPT,
        EventType.LATE_CAPTURE_KEPT,
    ),
    _K.SUSPENSE_RELEASE: (EventType.LATE_REFUND_BORNE,),
}


def event_headers(operation: Operation) -> dict[str, str]:
    """Return the headers of an operation's event: the id of the request that initiated it, and the trace.

    The trace is that of the process that resolves it: if the worker finds the outcome, it is not the
    request's.
    """
    with correlation.bound(operation.correlation_id):
        return context_headers()


def make_event(subject: Subject, operation: Operation, now: datetime) -> Event:
    """Return the event of a resolved operation. Raises InvariantViolation for an unresolved one."""
    kinds = dict(zip(_ENDS, _TYPES[operation.kind], strict=False))
    if operation.status not in kinds:
        raise InvariantViolation(f"operation is not resolved: {operation.id}")
    return Event(
        id=mint_id(now),
        type=kinds[operation.status],
        at=now,
        operation_id=operation.id,
        payment_id=subject.id,
        merchant=subject.merchant,
        provider=subject.provider,
        currency=subject.currency,
        amount_minor=operation.amount_minor,
    )
