"""Applies what providers tell by themselves, each message once: webhooks, and lines of settlement reports."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid5

from refpay.audit.events import AuditEvent, Facts, SubjectKind
from refpay.audit.repository import record
from refpay.clock import Clock
from refpay.db.pool import Connection
from refpay.measures import Measures
from refpay.money import MAXIMUM_MINOR, Currency, Money
from refpay.payments import repository
from refpay.payments.beginning import operation_record
from refpay.payments.chargebacks import take_chargeback
from refpay.payments.errors import EventInvalid
from refpay.payments.findings import NOT_DONE, Finding
from refpay.payments.lifecycle import LIFE_CYCLE
from refpay.payments.model import OperationStatus
from refpay.payments.settler import Settler, ledger_kind
from refpay.payments.settling import Settlement, settle
from refpay.providers.port import CallKind, DeclineCode
from refpay.providers.reports import MovementKind, ReportLine

_NAME: Final = re.compile(r"[!-~]{1,128}")


class EventKind(StrEnum):
    """What a provider tells of."""

    OPERATION = "operation"
    CHARGEBACK_OPENED = "chargeback.opened"
    CHARGEBACK_WON = "chargeback.won"


_EVENTS: Final = {
    MovementKind.CHARGEBACK: EventKind.CHARGEBACK_OPENED,
    MovementKind.CHARGEBACK_REVERSAL: EventKind.CHARGEBACK_WON,
}


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
    kind = EventKind(_one_of(content, "type", list(EventKind)))
    about_operation = kind is EventKind.OPERATION
    calls = [one for one in CallKind if one is not CallKind.QUERY]
    call = CallKind(_one_of(content, "kind", calls)) if about_operation else CallKind.CAPTURE
    amount = content.get("amount")
    if isinstance(amount, bool) or not isinstance(amount, int) or not 1 <= amount <= MAXIMUM_MINOR:
        raise EventInvalid(f"amount: allowed: a whole number from 1 to {MAXIMUM_MINOR}")
    return ProviderEvent(
        id=_uuid(content, "event"),
        kind=kind,
        key=_uuid(content, "key"),
        call=call,
        money=Money(amount, Currency(_one_of(content, "currency", list(Currency)))),
        finding=_finding(content) if about_operation else None,
        movement="" if about_operation else _name(content, "movement"),
    )


class Webhooks:
    """The door for what providers say without being asked; the order of messages does not matter."""

    def __init__(self, settler: Settler, *, measures: Measures, clock: Clock) -> None:
        self._settler = settler
        self._measures = measures
        self._clock = clock

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
            return await take_chargeback(
                connection,
                operation,
                actor=actor,
                movement=event.movement,
                money=event.money,
                won=event.kind is EventKind.CHARGEBACK_WON,
                now=now,
            )
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


def _finding(content: Mapping[str, Any]) -> Finding:
    match _one_of(content, "status", ["done", "declined", "refused"]):
        case "done":
            return Finding(OperationStatus.SUCCEEDED, provider_reference=_name(content, "id"))
        case "declined":
            code = content.get("decline_code")
            known = isinstance(code, str) and code in list(DeclineCode)
            decline_code = DeclineCode(str(code)) if known else DeclineCode.OTHER
            return Finding(OperationStatus.DECLINED, decline_code=decline_code)
        case _:
            return NOT_DONE


def _one_of(content: Mapping[str, Any], key: str, allowed: Sequence[str]) -> str:
    value = content.get(key)
    if not isinstance(value, str) or value not in allowed:
        raise EventInvalid(f"{key}: allowed: {', '.join(allowed)}")
    return value


def _name(content: Mapping[str, Any], key: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise EventInvalid(f"{key}: allowed: 1 to 128 visible ASCII characters")
    return value


def _uuid(content: Mapping[str, Any], key: str) -> UUID:
    try:
        return UUID(_name(content, key))
    except ValueError:
        raise EventInvalid(f"{key}: allowed: a UUID") from None


def _facts(event: ProviderEvent) -> Facts:
    return {
        "type": event.kind,
        "key": str(event.key),
        "kind": event.call,
        "found": None if event.finding is None else event.finding.status,
        "amount_minor": event.money.amount_minor,
        "currency": event.money.currency,
    }
