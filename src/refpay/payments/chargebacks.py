"""Chargebacks: begun by a provider, named by it for each capture, and taken once, whoever tells of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from refpay.audit.events import Facts
from refpay.audit.repository import record
from refpay.db.pool import Connection
from refpay.money import Money
from refpay.payments import repository
from refpay.payments.beginning import begin, operation_record, own_operation
from refpay.payments.errors import OperationInFlight
from refpay.payments.findings import Finding
from refpay.payments.lifecycle import LIFE_CYCLE
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment
from refpay.payments.settling import Settlement, settle


async def take_chargeback(
    connection: Connection,
    capture: Operation,
    *,
    actor: str,
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
    told = OperationKind.CHARGEBACK_REVERSAL if won else OperationKind.CHARGEBACK
    for kind in dict.fromkeys((OperationKind.CHARGEBACK, told)):
        known = [] if payment is None else await repository.read_operations(connection, payment.id)
        same = [one for one in _of(capture, kind, known) if one.idempotency_key == movement]
        taken = [Money(one.amount_minor, payment.currency) for one in same if payment is not None]
        if taken and (kind is not told or taken == [money]):
            continue
        if taken or payment is None or not _fits(kind, payment, capture, known, movement, money):
            facts: Facts = {
                "status": capture.status,
                "movement": movement,
                "amount_minor": money.amount_minor,
                "currency": money.currency,
            }
            misfit = replace(capture, kind=kind)
            await record(connection, operation_record(misfit, "contradicted", actor, now, after=facts))
            break
        operation = own_operation(
            kind, payment, money.amount_minor, parent=capture, now=now, principal=actor, name=movement
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
    opened = _of(capture, OperationKind.CHARGEBACK, known)
    if kind is OperationKind.CHARGEBACK_REVERSAL:
        return (movement, money.amount_minor) in [(one.idempotency_key, one.amount_minor) for one in opened]
    done = (capture.kind, capture.status) == (OperationKind.CAPTURE, OperationStatus.SUCCEEDED)
    won = _of(capture, OperationKind.CHARGEBACK_REVERSAL, known)
    standing = sum(one.amount_minor for one in opened) - sum(one.amount_minor for one in won)
    return done and money.amount_minor <= capture.amount_minor - standing


def _of(capture: Operation, kind: OperationKind, known: Sequence[Operation]) -> Sequence[Operation]:
    return [one for one in known if (one.kind, one.parent_id) == (kind, capture.id)]
