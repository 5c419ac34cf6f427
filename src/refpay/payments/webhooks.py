"""Apply what providers report unasked, each message once: webhooks, and lines of settlement reports.

Chargebacks are among them; a provider initiates and names them for each capture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from refpay.audit.events import AuditEvent, Facts, SubjectKind
from refpay.audit.repository import record
from refpay.clock import Clock
from refpay.db.pool import Connection
from refpay.ids import Id, read_id
from refpay.measures import ServiceMetrics
from refpay.money import AmountMinor, Currency, Money
from refpay.payments import repository
from refpay.payments.errors import EventInvalid, OperationInFlight
from refpay.payments.initiation import initiate, internal_operation, operation_record
from refpay.payments.lifecycle import LIFE_CYCLE
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment
from refpay.payments.outcome_resolver import OutcomeResolver, ledger_kind
from refpay.payments.outcomes import NOT_DONE, ReportedOutcome
from refpay.payments.resolution import ResolvedOutcome, resolve
from refpay.providers.port import CallKind, DeclineCode
from refpay.providers.reports import MovementKind, ReportLine

Name = Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]


class EventKind(StrEnum):
    """The kind of a provider's event."""

    OPERATION = "operation"
    CHARGEBACK_OPENED = "chargeback.opened"
    CHARGEBACK_WON = "chargeback.won"


_EVENTS: Final = {
    MovementKind.CHARGEBACK: EventKind.CHARGEBACK_OPENED,
    MovementKind.CHARGEBACK_REVERSAL: EventKind.CHARGEBACK_WON,
}
_OPERATIONS: Final = {
    EventKind.CHARGEBACK_OPENED: OperationKind.CHARGEBACK,
    EventKind.CHARGEBACK_WON: OperationKind.CHARGEBACK_REVERSAL,
}


class EventBody(BaseModel):
    """An event about the operation of `key`, or about the chargeback `movement` of that capture."""

    # Fields that a provider adds are left alone, and the description says so.
    model_config = ConfigDict(extra="ignore", json_schema_extra={"additionalProperties": True})

    event: Id
    type: EventKind
    key: Id
    kind: Literal["authorize", "capture", "refund", "void", "payout"] | None = None
    status: Literal["done", "declined", "refused"] | None = None
    id: Name | None = None
    decline_code: str | None = None
    amount: AmountMinor
    currency: Currency
    movement: Name | None = None


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """One message: the `outcome` of the operation of `key`, or the chargeback `movement` of that capture."""

    id: UUID
    kind: EventKind
    key: UUID
    call: CallKind
    money: Money
    outcome: ReportedOutcome | None
    movement: str


def read_event(content: Mapping[str, Any]) -> ProviderEvent:
    """Return the event of a JSON body. Raises EventInvalid, which names the key and never its value."""
    try:
        body = EventBody.model_validate(content)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_context=False, include_input=False)[0]
        allowed = first["msg"].removeprefix("Input should be ")
        # The cause would quote the values.
        raise EventInvalid(f"{first['loc'][0]}: allowed: {allowed}") from None
    money = Money(body.amount, body.currency)
    if body.type is not EventKind.OPERATION:
        movement = _require("movement", body.movement)
        return ProviderEvent(body.event, body.type, body.key, CallKind.CAPTURE, money, None, movement)
    call, outcome = CallKind(_require("kind", body.kind)), _outcome(body)
    return ProviderEvent(body.event, body.type, body.key, call, money, outcome, movement="")


def _outcome(body: EventBody) -> ReportedOutcome:
    match _require("status", body.status):
        case "done":
            return ReportedOutcome(OperationStatus.SUCCEEDED, provider_reference=_require("id", body.id))
        case "declined":
            known = (one for one in DeclineCode if one == body.decline_code)
            return ReportedOutcome(OperationStatus.DECLINED, decline_code=next(known, DeclineCode.OTHER))
        case _:
            return NOT_DONE


def _require(key: str, value: str | None) -> str:
    if value is None:
        raise EventInvalid(f"{key}: is missing, which is not allowed here")
    return value


class Webhooks:
    """Applies what providers report unasked, in any order."""

    def __init__(self, resolver: OutcomeResolver, *, measures: ServiceMetrics, clock: Clock) -> None:
        self._resolver, self._measures, self._clock = resolver, measures, clock

    async def apply(self, provider: str, event: ProviderEvent) -> None:
        """Apply a provider's event, once by its id. What contradicts or is unknown is recorded.

        Raises OperationInFlight for a chargeback of an operation without an outcome, and
        DatabaseUnavailable; the provider sends the event again.
        """
        now = self._clock.now()
        self._measures.count_webhook(provider, await self._apply(provider, event, now), at=now)

    async def apply_line(self, provider: str, line: ReportLine) -> None:
        """Apply a movement of a settlement report, once by its content."""
        key = read_id(line.key)
        if key is None:
            # Not a key of ours. The reconciliation reports it.
            return
        kind = _EVENTS.get(line.kind, EventKind.OPERATION)
        moved = ReportedOutcome(OperationStatus.SUCCEEDED, provider_reference=line.movement)
        event = ProviderEvent(
            id=uuid5(key, f"{line.kind} {line.movement} {line.amount_minor} {line.currency}"),
            kind=kind,
            key=key,
            call=CallKind.REFUND if line.kind is MovementKind.REFUND else CallKind.CAPTURE,
            money=Money(line.amount_minor, line.currency),
            outcome=moved if kind is EventKind.OPERATION else None,
            movement=line.movement,
        )

        await self._apply(provider, event, self._clock.now())

    async def _apply(self, provider: str, event: ProviderEvent, now: datetime) -> str:
        """Return the result, as the webhook series labels it."""
        result = "duplicate"

        async def take(connection: Connection) -> Sequence[ResolvedOutcome]:
            nonlocal result
            if not await repository.insert_event(connection, provider, event.id, event.kind, now):
                return ()
            all_resolved = await self._take(connection, provider, event, now)
            result = "unknown_payment" if all_resolved is None else "applied"
            return all_resolved or ()

        reported = event.outcome or ReportedOutcome(OperationStatus.SUCCEEDED)
        operation = _OPERATIONS.get(event.kind, OperationKind(event.call))
        await self._resolver.run(take, ledger_kind(operation, reported))
        return result

    async def _take(
        self, connection: Connection, provider: str, event: ProviderEvent, now: datetime
    ) -> Sequence[ResolvedOutcome] | None:
        """Return the resolved outcomes; None if the event is about no operation of ours."""
        actor = f"provider:{provider}"
        operation = await repository.find_operation(connection, provider, event.key)
        if operation is None:
            about, key = SubjectKind.PROVIDER, str(event.key)
            unmatched = AuditEvent(now, actor, "event.unmatched", about, provider, None, _facts(event), key)
            await record(connection, unmatched)
            return None
        if event.outcome is None:
            return await _take_chargeback(connection, operation, event, actor, now)
        subject = await repository.read_subject(connection, operation)
        reported = (event.call, event.money)
        if reported != (LIFE_CYCLE[operation.kind].call, Money(operation.amount_minor, subject.currency)):
            facts = {"status": operation.status, **_facts(event)}
            await record(connection, operation_record(operation, "contradicted", actor, now, after=facts))
            return None
        if operation.status.final and operation.status is event.outcome.status:
            # The usual case: the answer has said the same already, so no lock is needed.
            return ()
        return [await resolve(connection, operation, event.outcome, now=now, actor=actor)]


def _facts(event: ProviderEvent) -> Facts:
    return {
        "type": event.kind,
        "key": str(event.key),
        "kind": event.call,
        "found": None if event.outcome is None else event.outcome.status,
        "amount_minor": event.money.amount_minor,
        "currency": event.money.currency,
    }


async def _take_chargeback(
    connection: Connection, capture: Operation, event: ProviderEvent, actor: str, now: datetime
) -> Sequence[ResolvedOutcome]:
    """Resolve what is new of a chargeback inside the caller's transaction.

    One that was won was opened before, so the order of messages does not matter. One that does not fit the
    capture is recorded and not applied. Raises OperationInFlight while the capture itself has no outcome;
    the provider reports the chargeback again.
    """
    payment, movement, money = None, event.movement, event.money
    if capture.payment_id is not None:
        payment = await repository.lock_payment(connection, capture.payment_id)
    capture = await repository.lock_operation(connection, capture.id) or capture
    if not capture.status.final:
        raise OperationInFlight(f"the operation charged back has not ended: {capture.id}")
    all_resolved: list[ResolvedOutcome] = []
    won = event.kind is EventKind.CHARGEBACK_WON
    reported = OperationKind.CHARGEBACK_REVERSAL if won else OperationKind.CHARGEBACK
    for kind in dict.fromkeys((OperationKind.CHARGEBACK, reported)):
        known = [] if payment is None else await repository.read_operations(connection, payment.id)
        same = [one for one in _of(capture, kind, known) if one.idempotency_key == movement]
        taken = [Money(one.amount_minor, payment.currency) for one in same if payment is not None]
        if taken and (kind is not reported or taken == [money]):
            continue
        if taken or payment is None or not _fits(kind, payment, capture, known, event):
            said: Facts = {"amount_minor": money.amount_minor, "currency": money.currency}
            facts: Facts = {"status": capture.status, "movement": movement, **said}
            contradicted = replace(capture, kind=kind)
            await record(connection, operation_record(contradicted, "contradicted", actor, now, after=facts))
            break
        operation = internal_operation(
            kind, payment, money.amount_minor, parent=capture, now=now, principal=actor, name=movement
        )
        await initiate(connection, operation, payment)
        done = ReportedOutcome(OperationStatus.SUCCEEDED, provider_reference=movement)
        all_resolved.append(await resolve(connection, operation, done, now=now, actor=actor))
        payment = await repository.lock_payment(connection, payment.id)
    return all_resolved


def _fits(
    kind: OperationKind, payment: Payment, capture: Operation, ours: Sequence[Operation], event: ProviderEvent
) -> bool:
    money = event.money
    if payment.status not in LIFE_CYCLE[kind].transitions or money.currency is not payment.currency:
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
