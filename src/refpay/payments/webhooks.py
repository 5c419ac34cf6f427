"""Applies what providers tell by themselves, each message once: webhooks, and lines of settlement reports.

Chargebacks among them, which a provider begins, and names for each capture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid5

from pydantic import BaseModel, Field, ValidationError

from refpay.audit.events import AuditEvent, Facts, SubjectKind
from refpay.audit.repository import record
from refpay.clock import Clock
from refpay.db.pool import Connection
from refpay.measures import Measures
from refpay.money import AmountMinor, Currency, Money
from refpay.payments import repository
from refpay.payments.beginning import begin, operation_record, own_operation
from refpay.payments.errors import EventInvalid, OperationInFlight
from refpay.payments.findings import NOT_DONE, Finding
from refpay.payments.lifecycle import LIFE_CYCLE
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment
from refpay.payments.settler import Settler, ledger_kind
from refpay.payments.settling import Settlement, settle
from refpay.providers.port import CallKind, DeclineCode
from refpay.providers.reports import MovementKind, ReportLine

Name = Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]


class EventKind(StrEnum):
    """What a provider tells of."""

    OPERATION = "operation"
    CHARGEBACK_OPENED = "chargeback.opened"
    CHARGEBACK_WON = "chargeback.won"


_EVENTS: Final = {
    MovementKind.CHARGEBACK: EventKind.CHARGEBACK_OPENED,
    MovementKind.CHARGEBACK_REVERSAL: EventKind.CHARGEBACK_WON,
}


class EventBody(BaseModel):
    """What a provider tells of the operation of `key`, or of the chargeback `movement` of that capture."""

    event: UUID
    type: EventKind
    key: UUID
    kind: Literal["authorize", "capture", "refund", "void", "payout"] | None = None
    status: Literal["done", "declined", "refused"] | None = None
    id: Name | None = None
    decline_code: str | None = None
    amount: AmountMinor
    currency: Currency
    movement: Name | None = None


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """One message: `finding` of the operation of `key`, or the chargeback of that capture: `movement`."""

    id: UUID
    kind: EventKind
    key: UUID
    call: CallKind
    money: Money
    finding: Finding | None
    movement: str


def read_event(content: Mapping[str, Any]) -> ProviderEvent:
    """Return the event of a JSON body; raises EventInvalid naming the key, never its value."""
    try:
        told = EventBody.model_validate(content)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_context=False, include_input=False)[0]
        allowed = first["msg"].removeprefix("Input should be ")
        # The cause would quote the values.
        raise EventInvalid(f"{first['loc'][0]}: allowed: {allowed}") from None
    money = Money(told.amount, told.currency)
    if told.type is not EventKind.OPERATION:
        movement = _needed("movement", told.movement)
        return ProviderEvent(told.event, told.type, told.key, CallKind.CAPTURE, money, None, movement)
    call, finding = CallKind(_needed("kind", told.kind)), _finding(told)
    return ProviderEvent(told.event, told.type, told.key, call, money, finding, movement="")


def _finding(told: EventBody) -> Finding:
    match _needed("status", told.status):
        case "done":
            return Finding(OperationStatus.SUCCEEDED, provider_reference=_needed("id", told.id))
        case "declined":
            known = (one for one in DeclineCode if one == told.decline_code)
            return Finding(OperationStatus.DECLINED, decline_code=next(known, DeclineCode.OTHER))
        case _:
            return NOT_DONE


def _needed(key: str, value: str | None) -> str:
    if value is None:
        raise EventInvalid(f"{key}: is missing, which is not allowed here")
    return value


class Webhooks:
    """The door for what providers say without being asked; the order of messages does not matter."""

    def __init__(self, settler: Settler, *, measures: Measures, clock: Clock) -> None:
        self._settler, self._measures, self._clock = settler, measures, clock

    async def apply(self, provider: str, event: ProviderEvent) -> None:
        """Take a provider's event, once by its id; what contradicts or is unknown is put on record.

        Raises OperationInFlight for a chargeback of what has no outcome yet, and DatabaseUnavailable;
        the provider sends it again.
        """
        now = self._clock.now()
        self._measures.count_webhook(provider, await self._apply(provider, event, now), at=now)

    async def apply_line(self, provider: str, line: ReportLine) -> None:
        """Take a movement of a settlement report, once by what it says."""
        try:
            key = UUID(line.key)
        except ValueError:
            # Nothing of ours; the comparison says so.
            return
        kind = _EVENTS.get(line.kind, EventKind.OPERATION)
        moved = Finding(OperationStatus.SUCCEEDED, provider_reference=line.movement)
        event = ProviderEvent(
            id=uuid5(key, f"{line.kind} {line.movement} {line.amount_minor} {line.currency}"),
            kind=kind,
            key=key,
            call=CallKind.REFUND if line.kind is MovementKind.REFUND else CallKind.CAPTURE,
            money=Money(line.amount_minor, line.currency),
            finding=moved if kind is EventKind.OPERATION else None,
            movement=line.movement,
        )

        await self._apply(provider, event, self._clock.now())

    async def _apply(self, provider: str, event: ProviderEvent, now: datetime) -> str:
        """Return what became of it, as its series calls that."""
        result = "duplicate"

        async def take(connection: Connection) -> Sequence[Settlement]:
            nonlocal result
            if not await repository.insert_event(connection, provider, event.id, event.kind, now):
                return ()
            settlements = await self._take(connection, provider, event, now)
            result = "unknown_payment" if settlements is None else "applied"
            return settlements or ()

        await self._settler.run(take, ledger_kind(event.call, event.finding))
        return result

    async def _take(
        self, connection: Connection, provider: str, event: ProviderEvent, now: datetime
    ) -> Sequence[Settlement] | None:
        """Return what came of it; None if it is about no operation of ours."""
        actor = f"provider:{provider}"
        operation = await repository.find_operation(connection, provider, event.key)
        if operation is None:
            about, key = SubjectKind.PROVIDER, str(event.key)
            unmatched = AuditEvent(now, actor, "event.unmatched", about, provider, None, _facts(event), key)
            await record(connection, unmatched)
            return None
        if event.finding is None:
            return await _take_chargeback(connection, operation, event, actor, now)
        subject = await repository.read_subject(connection, operation)
        told = (event.call, event.money)
        if told != (LIFE_CYCLE[operation.kind].call, Money(operation.amount_minor, subject.currency)):
            facts = {"status": operation.status, **_facts(event)}
            await record(connection, operation_record(operation, "contradicted", actor, now, after=facts))
            return None
        if operation.status.final and operation.status is event.finding.status:
            # As it nearly always is: no lock for what its answer has told already.
            return ()
        return [await settle(connection, operation, event.finding, now=now, actor=actor)]


def _facts(event: ProviderEvent) -> Facts:
    return {
        "type": event.kind,
        "key": str(event.key),
        "kind": event.call,
        "found": None if event.finding is None else event.finding.status,
        "amount_minor": event.money.amount_minor,
        "currency": event.money.currency,
    }


async def _take_chargeback(
    connection: Connection, capture: Operation, event: ProviderEvent, actor: str, now: datetime
) -> Sequence[Settlement]:
    """Settle what is new of a chargeback inside the caller's transaction; one that was won was opened before.

    So their order does not matter. What does not fit the capture is put on record and not applied. Raises
    OperationInFlight while the capture itself has no outcome: the provider tells of it again.
    """
    payment, movement, money = None, event.movement, event.money
    if capture.payment_id is not None:
        payment = await repository.lock_payment(connection, capture.payment_id)
    capture = await repository.lock_operation(connection, capture.id) or capture
    if not capture.status.final:
        raise OperationInFlight(f"the operation charged back has not ended: {capture.id}")
    settlements: list[Settlement] = []
    won = event.kind is EventKind.CHARGEBACK_WON
    told = OperationKind.CHARGEBACK_REVERSAL if won else OperationKind.CHARGEBACK
    for kind in dict.fromkeys((OperationKind.CHARGEBACK, told)):
        known = [] if payment is None else await repository.read_operations(connection, payment.id)
        same = [one for one in _of(capture, kind, known) if one.idempotency_key == movement]
        taken = [Money(one.amount_minor, payment.currency) for one in same if payment is not None]
        if taken and (kind is not told or taken == [money]):
            continue
        if taken or payment is None or not _fits(kind, payment, capture, known, event):
            said: Facts = {"amount_minor": money.amount_minor, "currency": money.currency}
            facts: Facts = {"status": capture.status, "movement": movement, **said}
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
    kind: OperationKind, payment: Payment, capture: Operation, ours: Sequence[Operation], event: ProviderEvent
) -> bool:
    money = event.money
    if payment.status not in LIFE_CYCLE[kind].moves or money.currency is not payment.currency:
        return False
    opened = _of(capture, OperationKind.CHARGEBACK, ours)
    if kind is OperationKind.CHARGEBACK_REVERSAL:
        return (event.movement, money.amount_minor) in [
            (one.idempotency_key, one.amount_minor) for one in opened
        ]
    done = (capture.kind, capture.status) == (OperationKind.CAPTURE, OperationStatus.SUCCEEDED)
    won = _of(capture, OperationKind.CHARGEBACK_REVERSAL, ours)
    standing = sum(one.amount_minor for one in opened) - sum(one.amount_minor for one in won)
    return done and money.amount_minor <= capture.amount_minor - standing


def _of(capture: Operation, kind: OperationKind, known: Sequence[Operation]) -> Sequence[Operation]:
    return [one for one in known if (one.kind, one.parent_id) == (kind, capture.id)]
