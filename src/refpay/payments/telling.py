"""Which event a settled operation gives."""

from datetime import datetime
from typing import Final

from moneypath.telemetry import correlation
from moneypath.telemetry.integrations.messages import context_headers
from refpay.errors import InvariantViolation
from refpay.ids import mint_id
from refpay.outbox.events import Event, EventType
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment

_TYPES: Final = {
    (OperationKind.AUTHORIZE, OperationStatus.SUCCEEDED): EventType.AUTHORIZED,
    (OperationKind.AUTHORIZE, OperationStatus.DECLINED): EventType.DECLINED,
    (OperationKind.AUTHORIZE, OperationStatus.FAILED): EventType.FAILED,
    (OperationKind.CAPTURE, OperationStatus.SUCCEEDED): EventType.CAPTURED,
    (OperationKind.CAPTURE, OperationStatus.DECLINED): EventType.CAPTURE_DECLINED,
    (OperationKind.CAPTURE, OperationStatus.FAILED): EventType.CAPTURE_FAILED,
    (OperationKind.REFUND, OperationStatus.SUCCEEDED): EventType.REFUNDED,
    (OperationKind.REFUND, OperationStatus.DECLINED): EventType.REFUND_DECLINED,
    (OperationKind.REFUND, OperationStatus.FAILED): EventType.REFUND_FAILED,
}


def carry(operation: Operation) -> dict[str, str]:
    """Return what its event carries to consumers: the id of the request that began it, and the trace.

    The trace is that of whoever settles it: where the worker found out the end, it is not the request's.
    """
    with correlation.bound(operation.correlation_id):
        return context_headers()


def tell(payment: Payment, operation: Operation, now: datetime) -> Event:
    """Return the event of a settled operation; raises InvariantViolation for one that is not settled."""
    kind = _TYPES.get((operation.kind, operation.status))
    if kind is None:
        raise InvariantViolation(f"operation is not settled: {operation.id}")
    return Event(
        id=mint_id(now),
        type=kind,
        at=now,
        operation_id=operation.id,
        payment_id=payment.id,
        merchant=payment.merchant,
        provider=payment.provider,
        currency=payment.currency,
        amount_minor=operation.amount_minor,
    )
