"""The first transaction: what is about to be done, decided under the payment's lock and written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from refpay.audit.events import AuditEvent, SubjectKind
from refpay.audit.repository import record
from refpay.db.pool import Connection
from refpay.errors import InvariantViolation
from refpay.ids import mint_id
from refpay.payments import repository
from refpay.payments.admission import note_suspicious, refuse_blocked
from refpay.payments.claims import Command
from refpay.payments.errors import (
    AmountExceeded,
    OperationInFlight,
    PaymentUnknown,
    ReferenceInUse,
    StateRefused,
)
from refpay.payments.model import Operation, OperationKind, OperationStatus, Order, Payment, PaymentStatus
from refpay.providers.port import Call, CallKind
from refpay.providers.registry import CallableProvider
from refpay.providers.routing import Route, choose_provider
from refpay.providers.routing_repository import read_routes
from refpay.risk.model import Assessment, Attempt
from refpay.risk.rules import HARMLESS
from refpay.risk.screening import Screening

OPERATIONS_MAXIMUM: Final = 100


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Spans from an operation's creation.

    Nothing is sent after `last_send`, no call is open after `call`, and from `settle` on a provider
    that does not know the operation never will.
    """

    last_send: timedelta
    call: timedelta
    settle: timedelta


@dataclass(frozen=True, slots=True)
class Intent:
    """A committed intention and the call that carries it out; `assessment` is what risk said, if asked."""

    payment: Payment
    operation: Operation
    call: Call
    assessment: Assessment | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What an intent is made of, decided from what is known: it reads nothing and writes nothing."""

    command: Command
    operation_id: UUID
    now: datetime
    deadlines: Deadlines

    def attempt(self, order: Order) -> Attempt:
        """Return what risk sees of an order."""
        return Attempt(self.operation_id, self.now, order.card_range, order.money.amount_minor)

    def authorization(
        self,
        order: Order,
        routes: Sequence[Route],
        providers: Mapping[str, CallableProvider],
        assessment: Assessment,
    ) -> Intent:
        """Return a new payment at the provider that routing chooses; raises what refuses it for now."""
        merchant = self.command.principal.name
        provider = choose_provider(routes, merchant=merchant, merchant_reference=order.merchant_reference)
        providers[provider].require_closed()
        payment = Payment(
            id=mint_id(self.now),
            merchant=merchant,
            merchant_reference=order.merchant_reference,
            status=PaymentStatus.AUTHORIZING,
            amount_minor=order.money.amount_minor,
            currency=order.money.currency,
            card_range=order.card_range,
            provider=provider,
            captured_minor=0,
            refunded_minor=0,
            refund_reserved_minor=0,
            created_at=self.now,
        )
        return self.intent(
            payment,
            OperationKind.AUTHORIZE,
            order.money.amount_minor,
            card_token=order.card_token,
            assessment=assessment,
        )

    def intent(
        self,
        payment: Payment,
        kind: OperationKind,
        amount_minor: int,
        *,
        card_token: str = "",
        parent: str = "",
        assessment: Assessment | None = None,
    ) -> Intent:
        """Return an operation that begins now, and its call."""
        operation = Operation(
            id=self.operation_id,
            payment_id=payment.id,
            kind=kind,
            status=OperationStatus.STARTED,
            amount_minor=amount_minor,
            provider_key=mint_id(self.now),
            provider_reference=None,
            decline_code=None,
            principal=self.command.principal.name,
            idempotency_key=self.command.key,
            correlation_id=self.command.correlation_id,
            created_at=self.now,
            call_deadline=self.now + self.deadlines.call,
            settle_after=self.now + self.deadlines.settle,
            next_query_at=self.now + self.deadlines.settle,
            query_attempts=0,
        )
        call = Call(
            kind=CallKind(kind.value),
            key=operation.provider_key,
            deadline=self.now + self.deadlines.last_send,
            reference=payment.merchant_reference,
            money=payment.money(amount_minor),
            card_token=card_token,
            parent=parent,
        )
        return Intent(payment, operation, call, assessment)


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans inside the caller's transaction; each method raises what refuses the operation.

    Without a screening, risk is not asked and everything is allowed.
    """

    connection: Connection
    draft: Draft
    providers: Mapping[str, CallableProvider]
    screening: Screening | None

    async def authorize(self, order: Order) -> Intent:
        """Plan a new payment at the provider that routing chooses, unless risk blocks it."""
        attempt = self.draft.attempt(order)
        assessment = await self._screen(attempt)
        routes = await read_routes(self.connection)
        intent = self.draft.authorization(order, routes, self.providers, assessment)
        if not await repository.insert_payment(self.connection, intent.payment):
            raise ReferenceInUse(f"merchant_reference has a live charge: {order.merchant_reference}")
        await note_suspicious(self.connection, attempt, assessment)
        return await self._write(intent)

    async def capture(self, payment_id: UUID, amount_minor: int | None) -> Intent:
        """Plan the one capture of an authorization: all of it, or the given part."""
        payment = await self._lock(payment_id)
        operations = await repository.read_operations(self.connection, payment.id)
        if _has_unresolved(operations, OperationKind.AUTHORIZE, OperationKind.CAPTURE):
            raise OperationInFlight(f"payment has an operation that has not ended: {payment.id}")
        if payment.status is not PaymentStatus.AUTHORIZED:
            raise StateRefused(f"payment is {payment.status}, needed to capture: authorized")
        amount = payment.amount_minor if amount_minor is None else amount_minor
        if amount > payment.amount_minor:
            raise AmountExceeded(f"amount_minor is {amount}, authorized: {payment.amount_minor}")
        parent = _done(operations, OperationKind.AUTHORIZE)
        return await self._intend(
            payment, OperationKind.CAPTURE, amount, parent=parent, earlier=len(operations)
        )

    async def refund(self, payment_id: UUID, amount_minor: int) -> Intent:
        """Plan a refund and reserve its amount, so that refunds together never exceed the capture."""
        payment = await self._lock(payment_id)
        operations = await repository.read_operations(self.connection, payment.id)
        if _has_unresolved(operations, OperationKind.AUTHORIZE, OperationKind.CAPTURE):
            raise OperationInFlight(f"payment has an operation that has not ended: {payment.id}")
        if payment.captured_minor == 0:
            raise StateRefused(f"payment is {payment.status}, needed to refund: captured")
        left = payment.captured_minor - payment.refunded_minor - payment.refund_reserved_minor
        if amount_minor > left:
            raise AmountExceeded(f"amount_minor is {amount_minor}, left to refund: {left}")
        parent = _done(operations, OperationKind.CAPTURE)
        reserved = _reserve(payment, amount_minor)
        await repository.update_payment(self.connection, reserved)
        return await self._intend(
            reserved, OperationKind.REFUND, amount_minor, parent=parent, earlier=len(operations)
        )

    async def _screen(self, attempt: Attempt) -> Assessment:
        """Return what risk says, whatever the provider would be; raises RiskBlocked."""
        if self.screening is None:
            return HARMLESS
        assessment = await self.screening.screen(self.connection, attempt)
        await refuse_blocked(
            self.connection, attempt, assessment, correlation_id=self.draft.command.correlation_id
        )
        return assessment

    async def _lock(self, payment_id: UUID) -> Payment:
        payment = await repository.lock_payment(self.connection, payment_id)
        # Somebody else's payment looks like none at all.
        if payment is None or payment.merchant != self.draft.command.principal.name:
            raise PaymentUnknown(f"there is no such payment: {payment_id}")
        self.providers[payment.provider].require_closed()
        return payment

    async def _intend(
        self, payment: Payment, kind: OperationKind, amount_minor: int, *, parent: str, earlier: int
    ) -> Intent:
        if earlier >= OPERATIONS_MAXIMUM:
            raise StateRefused(f"payment has {earlier} operations, allowed: {OPERATIONS_MAXIMUM}")
        return await self._write(self.draft.intent(payment, kind, amount_minor, parent=parent))

    async def _write(self, intent: Intent) -> Intent:
        await repository.insert_operation(self.connection, intent.operation)
        await record(self.connection, begun(intent.operation, intent.payment))
        return intent


def begun(operation: Operation, payment: Payment) -> AuditEvent:
    """Return the audit record of an operation that begins."""
    return AuditEvent(
        at=operation.created_at,
        actor=operation.principal,
        action=f"{operation.kind}.begun",
        subject_kind=SubjectKind.OPERATION,
        subject_id=str(operation.id),
        before=None,
        after={
            "payment": str(payment.id),
            "provider": payment.provider,
            "status": operation.status,
            "amount_minor": operation.amount_minor,
            "currency": payment.currency,
        },
        correlation_id=operation.correlation_id,
    )


def _has_unresolved(operations: Sequence[Operation], *kinds: OperationKind) -> bool:
    return any(operation.kind in kinds and not operation.status.final for operation in operations)


def _done(operations: Sequence[Operation], kind: OperationKind) -> str:
    """Return the provider's reference of the operation that this one builds on."""
    for operation in operations:
        if (
            operation.kind is kind
            and operation.status is OperationStatus.SUCCEEDED
            and operation.provider_reference
        ):
            return operation.provider_reference
    raise InvariantViolation(f"payment has no {kind} that succeeded, though its state says so")


def _reserve(payment: Payment, amount_minor: int) -> Payment:
    return replace(payment, refund_reserved_minor=payment.refund_reserved_minor + amount_minor)
