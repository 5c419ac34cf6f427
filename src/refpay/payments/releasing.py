"""The operator action that releases a late refund from suspense to its merchant, once, with two persons."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from refpay.audit.events import SubjectKind
from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.errors import RefpayError
from refpay.identity import approvals
from refpay.identity.approvals import Actor, ApprovalCommand
from refpay.ledger.entries import Entry
from refpay.ledger.repository import read_entries_of
from refpay.payments import repository
from refpay.payments.approvals import await_approval
from refpay.payments.claims import Command, Reply, StoredAnswer
from refpay.payments.errors import AmountExceeded, OperationInFlight
from refpay.payments.idempotent_actions import execute_once
from refpay.payments.initiation import initiate, internal_operation
from refpay.payments.lifecycle import LIFE_CYCLE
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment
from refpay.payments.outcomes import ReportedOutcome
from refpay.payments.resolution import resolve

_RELEASE: Final = OperationKind.SUSPENSE_RELEASE


class OperationUnknown(RefpayError, code="operation_unknown", status=404):
    """There is no such operation."""


class SuspenseEmpty(RefpayError, code="suspense_empty", status=409):
    """The operation has nothing in suspense."""


class SuspenseNotReleasable(RefpayError, code="suspense_kept", status=409):
    """What a late capture has in suspense is given back, not released."""


class SuspenseReleased(RefpayError, code="suspense_released", status=409):
    """What the operation had in suspense is released already."""


DEFINITIVE: Final = (AmountExceeded, SuspenseEmpty, SuspenseNotReleasable, SuspenseReleased)


@dataclass(frozen=True, slots=True)
class Suspense:
    """Releases money from suspense. What is posted is passed to `note` once its COMMIT is known."""

    database: Database
    clock: Clock
    note: Callable[[Entry], None]

    async def release(self, command: Command, operation_id: UUID, *, reason: str) -> Reply:
        """Charge a late refund to its merchant. The answer is 202 until a second person approves it.

        A refusal for good is stored as the answer. Raises OperationUnknown, OperationInFlight or KeyReused.
        """
        now = self.clock.now()
        posted: list[Entry | None] = []

        async def execute(connection: Connection) -> StoredAnswer:
            known = await repository.read_operation(connection, operation_id)
            if known is None:
                raise OperationUnknown(f"there is no such operation: {operation_id}")
            payment = await repository.read_subject(connection, known, lock=True)
            if not isinstance(payment, Payment):
                raise SuspenseEmpty(f"a payout has nothing in suspense: {operation_id}")
            late = await _find(connection, payment, operation_id)
            answer, entry = await _release(connection, command, payment, late, reason, now)
            posted.append(entry)
            return answer

        reply = await execute_once(self.database, command, execute, now=now, answered=DEFINITIVE)
        for entry in filter(None, posted):
            self.note(entry)
        return reply


async def _find(connection: Connection, payment: Payment, operation_id: UUID) -> Operation:
    """Return the refund in suspense of a locked payment that has room for it.

    Raises the reason if there is none.
    """
    operations = await repository.read_operations(connection, payment.id)
    late = next(one for one in operations if one.id == operation_id)
    booked = late.status is not OperationStatus.SUCCEEDED and await read_entries_of(connection, [late.id])
    if booked and late.kind is OperationKind.CAPTURE:
        raise SuspenseNotReleasable(f"the worker has a late capture given back: {late.id}")
    if not booked or late.kind is not OperationKind.REFUND:
        raise SuspenseEmpty(f"nothing is in suspense, the {late.kind} is {late.status}: {late.id}")
    if any((one.kind, one.parent_id) == (_RELEASE, late.id) for one in operations):
        raise SuspenseReleased(f"it was released already: {late.id}")
    # The amount of an unresolved refund is still reserved, even if the provider will refuse it.
    if any(one.kind in LIFE_CYCLE[_RELEASE].blocked_by and not one.status.final for one in operations):
        raise OperationInFlight(f"payment has a refund that has not ended: {payment.id}")
    left_minor = payment.captured_minor - payment.refunded_minor
    if late.amount_minor > left_minor:
        raise AmountExceeded(f"amount_minor is {late.amount_minor}, captured and not refunded: {left_minor}")
    return late


async def _release(
    connection: Connection, command: Command, payment: Payment, late: Operation, reason: str, now: datetime
) -> tuple[StoredAnswer, Entry | None]:
    """Post the release if a second person has approved exactly this; request the approval otherwise."""
    name, amount_minor = command.principal.name, late.amount_minor
    whose = {"payment_id": str(payment.id), "merchant": payment.merchant, "provider": payment.provider}
    content = {**whose, "amount_minor": amount_minor, "currency": payment.currency}
    requested = ApprovalCommand("suspense.release", SubjectKind.OPERATION, str(late.id), content)
    requester = Actor(name, command.correlation_id, now)
    found = await approvals.find_open(connection, requested, requester)
    if found is None or not await approvals.use(connection, found, requested, requester):
        asked = await approvals.request(connection, requested, requester, reason=reason)
        return await_approval(payment.provider, asked), None
    # Named by the provider key of the refund, so that an oracle that sees only entries can match the two.
    key = str(late.provider_key)
    own = internal_operation(_RELEASE, payment, amount_minor, parent=late, now=now, principal=name, name=key)
    own = replace(own, correlation_id=command.correlation_id)
    await initiate(connection, own, payment)
    resolved = await resolve(connection, own, ReportedOutcome(OperationStatus.SUCCEEDED), now=now, actor=name)
    return resolved.answer, resolved.entry
