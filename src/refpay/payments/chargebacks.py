"""Chargebacks: begun by a provider, known by its own name of each, and taken once, whoever tells of them."""

from collections.abc import Sequence
from datetime import datetime

from refpay.audit.events import AuditEvent, SubjectKind
from refpay.audit.repository import record
from refpay.db.pool import Connection
from refpay.money import Money
from refpay.payments import repository
from refpay.payments.beginning import begin, own_operation
from refpay.payments.errors import OperationInFlight
from refpay.payments.findings import Finding
from refpay.payments.lifecycle import LIFE_CYCLE
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment
from refpay.payments.settling import Settlement, settle


async def take_chargeback(
    connection: Connection,
    capture: Operation,
    *,
    provider: str,
    movement: str,
    money: Money,
    won: bool,
    now: datetime,
) -> Sequence[Settlement]:
    """Settle what is new of a chargeback inside the caller's transaction; one that was won was opened before.

    So their order does not matter. What does not fit the capture is put on record and not applied. Raises
    OperationInFlight while the capture itself has no outcome: the provider tells of it again.
    """
    payment = None
    if capture.payment_id is not None:
        payment = await repository.lock_payment(connection, capture.payment_id)
    capture = await repository.lock_operation(connection, capture.id) or capture
    if not capture.status.final:
        raise OperationInFlight(f"the operation charged back has not ended: {capture.id}")
    settlements: list[Settlement] = []
    actor = f"provider:{provider}"
    for kind in (OperationKind.CHARGEBACK, OperationKind.CHARGEBACK_REVERSAL)[: 1 + won]:
        known = [] if payment is None else await repository.read_operations(connection, payment.id)
        if any((one.kind, one.idempotency_key) == (kind, movement) for one in known):
            continue
        fits = payment is not None and _fits(kind, payment, capture, known, movement, money)
        # It would be refused as a second one of its name, and told again and again.
        if payment is None or not fits or await repository.is_named(connection, actor, kind, movement):
            await record(connection, _misfit(kind, capture, movement, money, actor, now))
            break
        operation = own_operation(
            kind,
            payment,
            money.amount_minor,
            parent=capture,
            parent_reference=capture.provider_reference,
            now=now,
            correlation_id=capture.correlation_id,
            principal=actor,
            name=movement,
        )
        await begin(connection, operation, payment)
        done = Finding(OperationStatus.SUCCEEDED, provider_reference=movement)
        settlements.append(await settle(connection, operation, done, now=now, actor=actor))
        payment = await repository.lock_payment(connection, payment.id)
    return settlements


def _fits(
    kind: OperationKind,
    payment: Payment,
    capture: Operation,
    known: Sequence[Operation],
    movement: str,
    money: Money,
) -> bool:
    if payment.status not in LIFE_CYCLE[kind].moves or money.currency is not payment.currency:
        return False
    opened = [one for one in known if one.kind is OperationKind.CHARGEBACK and one.parent_id == capture.id]
    if kind is OperationKind.CHARGEBACK_REVERSAL:
        return any(
            (one.idempotency_key, one.amount_minor) == (movement, money.amount_minor) for one in opened
        )
    done = (capture.kind, capture.status) == (OperationKind.CAPTURE, OperationStatus.SUCCEEDED)
    won = [
        one for one in known if one.kind is OperationKind.CHARGEBACK_REVERSAL and one.parent_id == capture.id
    ]
    standing = sum(one.amount_minor for one in opened) - sum(one.amount_minor for one in won)
    return done and money.amount_minor <= capture.amount_minor - standing


def _misfit(
    kind: OperationKind, capture: Operation, movement: str, money: Money, actor: str, now: datetime
) -> AuditEvent:
    return AuditEvent(
        at=now,
        actor=actor,
        action=f"{kind}.contradicted",
        subject_kind=SubjectKind.OPERATION,
        subject_id=str(capture.id),
        before=None,
        after={
            "status": capture.status,
            "movement": movement,
            "amount_minor": money.amount_minor,
            "currency": money.currency,
        },
        correlation_id=capture.correlation_id,
    )
