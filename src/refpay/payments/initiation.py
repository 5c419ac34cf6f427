"""Initiate an operation: write it with its audit record, and build the provider call for it."""

from datetime import datetime, timedelta
from typing import Final

from refpay.audit.events import AuditEvent, Facts, SubjectKind
from refpay.audit.repository import record
from refpay.db.pool import Connection
from refpay.errors import InvariantViolation
from refpay.ids import mint_id
from refpay.money import Money
from refpay.payments import repository
from refpay.payments.lifecycle import LIFE_CYCLE
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment, Payout, Subject
from refpay.providers.port import Call

WORKER: Final = "worker"
# Internal operations are sent at once, and again until the provider gives a definitive answer.
_OWN_OUTCOME_DEADLINE: Final = timedelta(minutes=1)


async def initiate(connection: Connection, operation: Operation, subject: Subject) -> None:
    """Write a new operation and its audit record inside the caller's transaction."""
    await repository.insert_operation(connection, operation)
    await record(connection, initiated_record(operation, subject))


def internal_operation(
    kind: OperationKind,
    payment: Payment,
    amount_minor: int,
    *,
    parent: Operation,
    now: datetime,
    principal: str = WORKER,
    name: str = "",
) -> Operation:
    """Return an operation that no merchant initiated. The worker may take it at once.

    `name` is the provider's name for it, if the provider initiated it.
    """
    operation_id = mint_id(now)
    return Operation(
        id=operation_id,
        payment_id=payment.id,
        kind=kind,
        status=OperationStatus.STARTED,
        amount_minor=amount_minor,
        provider_key=mint_id(now),
        provider_reference=None,
        decline_code=None,
        principal=principal,
        idempotency_key=name or str(operation_id),
        correlation_id=parent.correlation_id,
        created_at=now,
        call_deadline=now,
        settle_after=now + _OWN_OUTCOME_DEADLINE,
        next_query_at=now,
        query_attempts=0,
        lease_until=now,
        parent_id=parent.id,
        parent_reference=parent.provider_reference,
    )


def provider_call(
    subject: Subject, operation: Operation, *, deadline: datetime, card_token: str = ""
) -> Call:
    """Return the call that carries an operation out. It is the same each time it is made."""
    kind = LIFE_CYCLE[operation.kind].call
    if kind is None:
        raise InvariantViolation(f"operation has no provider call: {operation.kind}")
    return Call(
        kind=kind,
        key=operation.provider_key,
        deadline=deadline,
        reference=subject.merchant_reference,
        money=Money(operation.amount_minor, subject.currency),
        card_token=card_token,
        parent=operation.parent_reference or "",
        beneficiary=subject.merchant if isinstance(subject, Payout) else "",
    )


def initiated_record(operation: Operation, subject: Subject) -> AuditEvent:
    """Return the audit record of an operation that is initiated."""
    facts: Facts = {
        "payment": None if operation.payment_id is None else str(operation.payment_id),
        "provider": subject.provider,
        "status": operation.status,
        "amount_minor": operation.amount_minor,
        "currency": subject.currency,
    }
    return operation_record(operation, "begun", operation.principal, operation.created_at, after=facts)


def operation_record(
    operation: Operation, what: str, actor: str, at: datetime, *, before: Facts | None = None, after: Facts
) -> AuditEvent:
    """Return an audit record of an operation, with its kind in the action: `capture.begun`."""
    action, subject_id = f"{operation.kind}.{what}", str(operation.id)
    kind, correlation_id = SubjectKind.OPERATION, operation.correlation_id
    return AuditEvent(at, actor, action, kind, subject_id, before, after, correlation_id)
