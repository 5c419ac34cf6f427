"""Which event a settled operation gives."""

from datetime import datetime
from typing import Final

from moneypath.telemetry import correlation
from moneypath.telemetry.integrations.messages import context_headers
from refpay.errors import InvariantViolation
from refpay.ids import mint_id
from refpay.outbox.events import Event, EventType
from refpay.payments.model import Operation, OperationKind, OperationStatus, Subject

_K: Final = OperationKind
# How it ended: done, declined, failed. What a provider or an operator began is done.
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
    _K.UNDO_AUTHORIZE: (EventType.LATE_AUTHORIZATION_VOIDED, *[EventType.LATE_AUTHORIZATION_KEPT] * 2),
    _K.UNDO_CAPTURE: (EventType.LATE_CAPTURE_REFUNDED, *[EventType.LATE_CAPTURE_KEPT] * 2),
    _K.SUSPENSE_RELEASE: (EventType.LATE_REFUND_BORNE,),
}


def carry(operation: Operation) -> dict[str, str]:
    """Return what its event carries to consumers: the id of the request that began it, and the trace.

    The trace is that of whoever settles it: where the worker found out the end, it is not the request's.
    """
    with correlation.bound(operation.correlation_id):
        return context_headers()


def tell(subject: Subject, operation: Operation, now: datetime) -> Event:
    """Return the event of a settled operation; raises InvariantViolation for one that is not settled."""
    kinds = dict(zip(_ENDS, _TYPES[operation.kind], strict=False))
    if operation.status not in kinds:
        raise InvariantViolation(f"operation is not settled: {operation.id}")
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
