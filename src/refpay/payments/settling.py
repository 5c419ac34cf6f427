"""The second transaction: `settle`, the one way an operation ends, exactly once under its row's lock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from refpay.audit.events import AuditEvent, SubjectKind
from refpay.audit.repository import record
from refpay.db.pool import Connection
from refpay.errors import InvariantViolation
from refpay.ledger.entries import Entry, Movement, capture_entry, refund_entry
from refpay.ledger.repository import post
from refpay.outbox.events import Event
from refpay.outbox.repository import append
from refpay.payments import claims_repository, repository
from refpay.payments.answers import operation_answer
from refpay.payments.claims import StoredAnswer
from refpay.payments.findings import Finding
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment, PaymentStatus
from refpay.payments.telling import carry, tell


@dataclass(frozen=True, slots=True)
class Settlement:
    """Where an operation stands now; `applied` if this call made it so.

    `entry` is what this call posted, if money moved. `contradicted` says that a definitive finding came too
    late and differs from what was settled.
    """

    payment: Payment
    operation: Operation
    answer: StoredAnswer
    applied: bool
    contradicted: bool = False
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """All that a finding changes, before it is written; `event` is absent until the operation is final."""

    before: Operation
    settlement: Settlement
    records: Sequence[AuditEvent]
    now: datetime
    actor: str
    event: Event | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def decide(
    payment: Payment,
    operation: Operation,
    operations: Sequence[Operation],
    finding: Finding,
    *,
    now: datetime,
    actor: str,
) -> Change:
    """Return what a finding changes of a payment with these operations, one of which is unresolved."""
    after = replace(
        operation,
        status=finding.status,
        provider_reference=finding.provider_reference,
        decline_code=finding.decline_code,
    )
    moved = move(payment, after)
    answer = operation_answer(moved, after, [after if one.id == after.id else one for one in operations])
    settlement = Settlement(moved, after, answer, applied=True, entry=_entry(moved, after, now))
    records = _changes(payment, moved, operation, after, now=now, actor=actor)
    if not after.status.final:
        return Change(operation, settlement, records, now, actor)
    return Change(operation, settlement, records, now, actor, tell(moved, after, now), carry(after))


async def settle(
    connection: Connection,
    operation_id: UUID,
    payment_id: UUID,
    finding: Finding,
    *,
    now: datetime,
    actor: str,
) -> Settlement:
    """Apply a finding inside the caller's transaction: status, amounts, ledger, audit, event, stored answer.

    An operation that is final already stays as it is, whoever comes second.
    """
    payment = await repository.lock_payment(connection, payment_id)
    operation = await repository.lock_operation(connection, operation_id)
    if payment is None or operation is None:
        raise InvariantViolation(f"operation to settle is not there: {operation_id}")
    if operation.status.final:
        return await _keep(connection, payment, operation, finding, now=now, actor=actor)
    if finding.status is operation.status:
        return await _unchanged(connection, payment, operation)
    operations = await repository.read_operations(connection, payment.id)
    change = decide(payment, operation, operations, finding, now=now, actor=actor)
    settlement = change.settlement
    moved, after = settlement.payment, settlement.operation
    final = after.status.final
    await repository.settle_operation(
        connection, after, settled_at=now if final else None, by=actor if final else None
    )
    if moved != payment:
        await repository.update_payment(connection, moved)
    if settlement.entry is not None:
        await post(connection, settlement.entry)
    await record(connection, *change.records)
    if change.event is not None:
        await append(connection, change.event, change.headers)
        await claims_repository.store(
            connection, principal=after.principal, key=after.idempotency_key, answer=settlement.answer
        )
    return settlement


def move(payment: Payment, operation: Operation) -> Payment:
    """Return the payment after an operation took its new status."""
    succeeded = operation.status is OperationStatus.SUCCEEDED
    match operation.kind:
        case OperationKind.AUTHORIZE:
            status = PaymentStatus.AUTHORIZED if succeeded else PaymentStatus(operation.status.value)
            return replace(payment, status=status)
        case OperationKind.CAPTURE if succeeded:
            captured = payment.captured_minor + operation.amount_minor
            return replace(payment, status=PaymentStatus.CAPTURED, captured_minor=captured)
        case OperationKind.REFUND if operation.status.final:
            refunded = payment.refunded_minor + (operation.amount_minor if succeeded else 0)
            return replace(
                payment,
                status=PaymentStatus.REFUNDED if refunded == payment.captured_minor else payment.status,
                refunded_minor=refunded,
                refund_reserved_minor=payment.refund_reserved_minor - operation.amount_minor,
            )
        case _:
            return payment


def moves_money(operation: Operation) -> bool:
    """Return whether the operation has an entry in the ledger."""
    return operation.status is OperationStatus.SUCCEEDED and operation.kind is not OperationKind.AUTHORIZE


def _entry(payment: Payment, operation: Operation, now: datetime) -> Entry | None:
    if not moves_money(operation):
        return None
    movement = Movement(
        operation_id=operation.id,
        payment_id=payment.id,
        provider=payment.provider,
        merchant=payment.merchant,
        money=payment.money(operation.amount_minor),
    )
    make = capture_entry if operation.kind is OperationKind.CAPTURE else refund_entry
    return make(movement, now)


async def _keep(
    connection: Connection,
    payment: Payment,
    operation: Operation,
    finding: Finding,
    *,
    now: datetime,
    actor: str,
) -> Settlement:
    """Leave a final operation alone; a finding that says otherwise is put on record, not applied."""
    settlement = await _unchanged(connection, payment, operation)
    if not finding.status.final or finding.status is operation.status:
        return settlement
    event = AuditEvent(
        at=now,
        actor=actor,
        action=f"{operation.kind}.contradicted",
        subject_kind=SubjectKind.OPERATION,
        subject_id=str(operation.id),
        before={"status": operation.status},
        after={"status": operation.status, "found": finding.status},
        correlation_id=operation.correlation_id,
    )
    await record(connection, event)
    return replace(settlement, contradicted=True)


async def _unchanged(connection: Connection, payment: Payment, operation: Operation) -> Settlement:
    answer = await claims_repository.read_answer(connection, operation.id) if operation.status.final else None
    if answer is None:
        answer = operation_answer(
            payment, operation, await repository.read_operations(connection, payment.id)
        )
    return Settlement(payment, operation, answer, applied=False)


def _changes(
    payment: Payment, moved: Payment, operation: Operation, after: Operation, *, now: datetime, actor: str
) -> list[AuditEvent]:
    changes = [
        AuditEvent(
            at=now,
            actor=actor,
            action=f"{operation.kind}.{after.status}",
            subject_kind=SubjectKind.OPERATION,
            subject_id=str(operation.id),
            before={"status": operation.status},
            after={
                "status": after.status,
                "provider_reference": after.provider_reference,
                "decline_code": after.decline_code,
            },
            correlation_id=operation.correlation_id,
        )
    ]
    if moved != payment:
        changes.append(
            AuditEvent(
                at=now,
                actor=actor,
                action="payment.changed",
                subject_kind=SubjectKind.PAYMENT,
                subject_id=str(payment.id),
                before=_facts(payment),
                after=_facts(moved),
                correlation_id=operation.correlation_id,
            )
        )
    return changes


def _facts(payment: Payment) -> dict[str, str | int | bool | None]:
    return {
        "status": payment.status,
        "captured_minor": payment.captured_minor,
        "refunded_minor": payment.refunded_minor,
        "refund_reserved_minor": payment.refund_reserved_minor,
    }
