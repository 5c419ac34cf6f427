"""Resolve an operation: apply a reported outcome once, under its lock, in the caller's transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from refpay.audit.events import AuditEvent, Facts, SubjectKind
from refpay.audit.repository import record
from refpay.db.pool import Connection
from refpay.errors import InvariantViolation
from refpay.ledger.entries import (
    Entry,
    EntryKind,
    Movement,
    capture_entry,
    chargeback_entry,
    chargeback_won_entry,
    hold_entry,
    payout_entry,
    refund_entry,
    release_entry,
    suspense_entry,
    suspense_release_entry,
)
from refpay.ledger.repository import post, read_entries_of
from refpay.money import Money
from refpay.outbox.events import Event
from refpay.outbox.repository import append
from refpay.payments import claims_repository, repository
from refpay.payments.answers import operation_answer, refusal_answer
from refpay.payments.claims import StoredAnswer
from refpay.payments.domain_events import event_headers, make_event
from refpay.payments.errors import KeyExpired, OperationInFlight
from refpay.payments.initiation import WORKER, initiate, internal_operation, operation_record
from refpay.payments.lifecycle import LIFE_CYCLE, RELEASES, Initiator, apply_operation, use_up
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment, Subject
from refpay.payments.outcomes import ReportedOutcome

# The entry of an operation that succeeded. A late authorization has none, because we never held anything.
_ENTRIES: Final[Mapping[OperationKind, Callable[[Movement, datetime], Entry]]] = {
    OperationKind.AUTHORIZE: hold_entry,
    OperationKind.CAPTURE: lambda m, now: capture_entry(m, now, release_minor=m.money.amount_minor),
    OperationKind.VOID: release_entry,
    OperationKind.EXPIRY: release_entry,
    OperationKind.REFUND: refund_entry,
    OperationKind.PAYOUT: payout_entry,
    OperationKind.CHARGEBACK: chargeback_entry,
    OperationKind.CHARGEBACK_REVERSAL: chargeback_won_entry,
    OperationKind.UNDO_CAPTURE: partial(suspense_entry, received=False),
    OperationKind.SUSPENSE_RELEASE: partial(suspense_release_entry, received=False),
}
# The entry of one that succeeded although we had answered that it did not. A merchant that was paid is owed
# less, or it would be paid again. People decide who bears a refund: the merchant may have refunded anew.
_LATE: Final = {
    OperationKind.REFUND: _ENTRIES[OperationKind.UNDO_CAPTURE],
    OperationKind.PAYOUT: payout_entry,
    OperationKind.UNDO_CAPTURE: _ENTRIES[OperationKind.UNDO_CAPTURE],
}


@dataclass(frozen=True, slots=True)
class ResolvedOutcome:
    """The state of an operation after a reported outcome was applied; `applied` if this call changed it.

    `entry` is what this call posted, if money moved. `contradicted` says that a definitive outcome came too
    late and differs from the one that was applied before.
    """

    subject: Subject
    operation: Operation
    answer: StoredAnswer
    applied: bool
    contradicted: bool = False
    entry: Entry | None = None

    @property
    def takes_fee(self) -> bool:
        """Return whether this call posted a capture, for which the provider takes its fee."""
        return self.entry is not None and self.entry.kind is EntryKind.POSTING


@dataclass(frozen=True, slots=True)
class OutcomeChange:
    """Everything that an outcome changes, before it is written.

    `event` is absent until the operation is final.
    """

    before: Operation
    resolved: ResolvedOutcome
    records: Sequence[AuditEvent]
    now: datetime
    actor: str
    event: Event | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def decide(
    subject: Subject,
    operation: Operation,
    operations: Sequence[Operation],
    outcome: ReportedOutcome,
    *,
    now: datetime,
    actor: str,
) -> OutcomeChange:
    """Return what an outcome changes.

    `operations` are all of the subject's, the unresolved one among them.
    """
    after = replace(
        operation,
        status=outcome.status,
        provider_reference=outcome.provider_reference,
        decline_code=outcome.decline_code,
    )
    moved = apply_operation(subject, after) if isinstance(subject, Payment) else subject
    records = [_change(operation, after, now, actor)]
    if isinstance(subject, Payment) and isinstance(moved, Payment) and moved != subject:
        records.append(_payment_change(subject, moved, after, now, actor))
    entry = None
    if after.status is OperationStatus.SUCCEEDED and after.kind in _ENTRIES:
        entry = _ENTRIES[after.kind](_movement(moved, after), now)
    answer = operation_answer(moved, after, [after if one.id == after.id else one for one in operations])
    resolved = ResolvedOutcome(moved, after, answer, applied=True, entry=entry)
    if not after.status.final:
        return OutcomeChange(operation, resolved, records, now, actor)
    return OutcomeChange(
        operation, resolved, records, now, actor, make_event(moved, after, now), event_headers(after)
    )


async def resolve(
    connection: Connection, known: Operation, outcome: ReportedOutcome, *, now: datetime, actor: str
) -> ResolvedOutcome:
    """Apply an outcome in the caller's transaction: status, amounts, ledger, audit, event, stored answer.

    `known` is the operation as it was read at any time. An operation that is final stays as it is. What a
    provider did after all is then taken back by an operation of our own, or posted where nothing takes it
    back.
    """
    subject = await repository.read_subject(connection, known, lock=True)
    operation = await repository.lock_operation(connection, known.id)
    if operation is None:
        raise InvariantViolation(f"operation to resolve is not there: {known.id}")
    superseded = outcome.fencing_token is not None and outcome.fencing_token != operation.query_attempts
    if outcome.status is operation.status or superseded:
        return await _unchanged(connection, subject, operation)
    if operation.status.final:
        return await _keep(connection, subject, operation, outcome, now=now, actor=actor)
    operations = await _read_operations(connection, operation)
    change = decide(subject, operation, operations, outcome, now=now, actor=actor)
    resolved = change.resolved
    moved, after = resolved.subject, resolved.operation
    final = after.status.final
    await repository.resolve_operation(
        connection, after, settled_at=now if final else None, by=actor if final else None
    )
    if isinstance(moved, Payment) and moved != subject:
        await repository.update_payment(connection, moved)
    if resolved.entry is not None:
        await post(connection, resolved.entry)
    await record(connection, *change.records)
    if change.event is not None:
        await append(connection, change.event, change.headers)
        if LIFE_CYCLE[after.kind].initiated_by is Initiator.MERCHANT:
            await claims_repository.store(
                connection, principal=after.principal, key=after.idempotency_key, answer=resolved.answer
            )
    return resolved


async def _keep(
    connection: Connection,
    subject: Subject,
    operation: Operation,
    outcome: ReportedOutcome,
    *,
    now: datetime,
    actor: str,
) -> ResolvedOutcome:
    """Leave a final operation as it is, and record an outcome that contradicts it.

    What a provider did after all is posted once, because the operation's row is locked. Raises
    OperationInFlight while another operation may use the same hold; the provider reports the outcome again.
    """
    resolved = await _unchanged(connection, subject, operation)
    if not outcome.status.final:
        return resolved
    entry = None
    if outcome.status is OperationStatus.SUCCEEDED:
        siblings = await _read_operations(connection, operation)
        step = LIFE_CYCLE[operation.kind]
        undone = any(one.parent_id == operation.id and one.kind is step.compensated_by for one in siblings)
        if undone or await read_entries_of(connection, [operation.id]):
            return resolved
        blocked_by = LIFE_CYCLE[step.compensated_by or operation.kind].blocked_by
        if any(one.kind in blocked_by and not one.status.final for one in siblings):
            raise OperationInFlight(f"done too late, and another operation has not ended: {operation.id}")
        entry = await _take_in(connection, subject, operation, outcome, now)
    found = replace(_change(operation, operation, now, actor), action=f"{operation.kind}.contradicted")
    await record(connection, replace(found, after={**found.after, "found": outcome.status}))
    return replace(resolved, contradicted=True, entry=entry)


async def _take_in(
    connection: Connection, subject: Subject, late: Operation, outcome: ReportedOutcome, now: datetime
) -> Entry | None:
    """Post what a provider did although we had answered that it did not, and initiate what takes it back.

    Money that a capture moved stays in suspense until it is back; money that a refund moved stays there until
    people decide. A late capture or release has used up its part of the hold, so that part is not released.
    """
    entry = _LATE[late.kind](_movement(subject, late), now) if late.kind in _LATE else None
    if isinstance(subject, Payment):
        if late.kind in (OperationKind.CAPTURE, *RELEASES):
            entry = await _use_up(connection, subject, late, now)
        if (kind := LIFE_CYCLE[late.kind].compensated_by) is not None:
            parent = replace(late, provider_reference=outcome.provider_reference)
            undo = internal_operation(kind, subject, late.amount_minor, parent=parent, now=now)
            await initiate(connection, undo, subject)
    if entry is not None:
        await post(connection, entry)
    return entry


async def _use_up(connection: Connection, payment: Payment, late: Operation, now: datetime) -> Entry | None:
    left = use_up(payment, late)
    released = left.released_minor - payment.released_minor
    if released:
        await repository.update_payment(connection, left)
        await record(connection, _payment_change(payment, left, late, now, WORKER))
    if late.kind is OperationKind.CAPTURE:
        return suspense_entry(_movement(payment, late), now, release_minor=released)
    return release_entry(_movement(payment, replace(late, amount_minor=released)), now) if released else None


def _movement(subject: Subject, operation: Operation) -> Movement:
    return Movement(
        operation_id=operation.id,
        payment_id=operation.payment_id,
        provider=subject.provider,
        merchant=subject.merchant,
        money=Money(operation.amount_minor, subject.currency),
    )


async def _unchanged(connection: Connection, subject: Subject, operation: Operation) -> ResolvedOutcome:
    try:
        final = operation.status.final
        answer = await claims_repository.read_answer(connection, operation.id) if final else None
    except KeyExpired as gone:
        answer = refusal_answer(gone, operation.correlation_id)
    if answer is None:
        answer = operation_answer(subject, operation, await _read_operations(connection, operation))
    return ResolvedOutcome(subject, operation, answer, applied=False)


async def _read_operations(connection: Connection, operation: Operation) -> Sequence[Operation]:
    if operation.payment_id is None:
        return [operation]
    return await repository.read_operations(connection, operation.payment_id)


def _change(operation: Operation, after: Operation, now: datetime, actor: str) -> AuditEvent:
    facts: Facts = {
        "status": after.status,
        "provider_reference": after.provider_reference,
        "decline_code": after.decline_code,
    }
    before: Facts = {"status": operation.status}
    return operation_record(operation, after.status, actor, now, before=before, after=facts)


def _payment_change(
    payment: Payment, moved: Payment, operation: Operation, now: datetime, actor: str
) -> AuditEvent:
    return AuditEvent(
        at=now,
        actor=actor,
        action="payment.changed",
        subject_kind=SubjectKind.PAYMENT,
        subject_id=str(payment.id),
        before=_facts(payment),
        after=_facts(moved),
        correlation_id=operation.correlation_id,
    )


def _facts(payment: Payment) -> Facts:
    return {
        "status": payment.status,
        "captured_minor": payment.captured_minor,
        "capture_reserved_minor": payment.capture_reserved_minor,
        "released_minor": payment.released_minor,
        "refunded_minor": payment.refunded_minor,
        "refund_reserved_minor": payment.refund_reserved_minor,
        "charged_back_minor": payment.charged_back_minor,
    }
