"""The first transaction: what is about to be done, decided under the payment's lock and written down."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from refpay.audit.events import SubjectKind
from refpay.audit.repository import record
from refpay.db.pool import Connection
from refpay.errors import InvariantViolation
from refpay.ids import mint_id
from refpay.ledger.repository import read_balances
from refpay.payments import repository
from refpay.payments.beginning import begin, call_of
from refpay.payments.claims import Command
from refpay.payments.errors import (
    AmountExceeded,
    OperationInFlight,
    PaymentUnknown,
    ReferenceInUse,
    StateRefused,
)
from refpay.payments.lifecycle import LIFE_CYCLE, reserve
from refpay.payments.model import (
    Operation,
    OperationKind,
    OperationStatus,
    Order,
    Payment,
    PaymentStatus,
    Payout,
    PayoutOrder,
    Subject,
)
from refpay.providers.port import Call
from refpay.providers.registry import CallableProvider
from refpay.providers.routing import Route, choose_provider, read_routes
from refpay.risk.model import Assessment, Attempt
from refpay.risk.ranges import note_suspicious, refuse_blocked
from refpay.risk.screening import Screening

_WITHOUT_EFFECT: Final = (OperationStatus.DECLINED, OperationStatus.FAILED)

# Raises what refuses a payout that nobody else has approved; called before anything is written.
Approve = Callable[[Connection, Command, PayoutOrder, datetime], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """What a provider promises, as spans from an operation's beginning.

    Nothing is sent after `last_send`, no call is open after `call`, and from `settle` on a provider
    that does not know the operation never will.
    """

    last_send: timedelta
    call: timedelta
    settle: timedelta


@dataclass(frozen=True, slots=True)
class Intent:
    """A committed intention and the call that carries it out; `assessment` is what risk said, if asked.

    `resumed` if another process had begun it and died.
    """

    subject: Subject
    operation: Operation
    call: Call
    assessment: Assessment | None = None
    resumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Decides an intent from what is known: it reads nothing and writes nothing."""

    command: Command
    operation_id: UUID
    now: datetime
    deadlines: Mapping[str, Deadlines]
    providers: Mapping[str, CallableProvider]

    def attempt(self, order: Order) -> Attempt:
        """Return what risk sees of an order."""
        return Attempt(self.operation_id, self.now, order.card_range, order.money.amount_minor)

    def authorization(self, order: Order, routes: Sequence[Route], assessment: Assessment) -> Intent:
        """Return a new payment at the provider that routing chooses; raises what refuses it for now."""
        payment = Payment(
            id=mint_id(self.now),
            merchant=self.command.principal.name,
            merchant_reference=order.merchant_reference,
            status=PaymentStatus.AUTHORIZING,
            amount_minor=order.money.amount_minor,
            currency=order.money.currency,
            card_range=order.card_range,
            provider=self.choose(routes, order.merchant_reference),
            created_at=self.now,
        )
        return self.intent(
            payment,
            OperationKind.AUTHORIZE,
            order.money.amount_minor,
            card_token=order.card_token,
            assessment=assessment,
        )

    def choose(self, routes: Sequence[Route], merchant_reference: str) -> str:
        """Return the provider of what is new; raises NoProviderAvailable or CircuitOpened."""
        merchant = self.command.principal.name
        provider = choose_provider(routes, merchant=merchant, merchant_reference=merchant_reference)
        self.providers[provider].require_closed()
        return provider

    def intent(
        self,
        subject: Subject,
        kind: OperationKind,
        amount_minor: int,
        *,
        card_token: str = "",
        parent: Operation | None = None,
        assessment: Assessment | None = None,
    ) -> Intent:
        """Return an operation that begins now, and its call."""
        deadlines = self.deadlines[subject.provider]
        operation = Operation(
            id=self.operation_id,
            payment_id=subject.id if isinstance(subject, Payment) else None,
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
            call_deadline=self.now + deadlines.call,
            settle_after=self.now + deadlines.settle,
            next_query_at=self.now + deadlines.settle,
            query_attempts=0,
            lease_until=self.now + deadlines.call,
            parent_id=None if parent is None else parent.id,
            parent_reference=None if parent is None else parent.provider_reference,
        )
        deadline = self.now + deadlines.last_send
        call = call_of(subject, operation, deadline=deadline, card_token=card_token)
        return Intent(subject, operation, call, assessment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner(Draft):
    """Plans inside the caller's transaction; each method raises what refuses the operation.

    Without a screening, risk is not asked and everything is allowed.
    """

    connection: Connection
    screening: Screening | None
    approve: Approve

    async def authorize(self, order: Order) -> Intent:
        """Plan a new payment at the provider that routing chooses, unless risk blocks it."""
        attempt = self.attempt(order)
        assessment = await self._screen(attempt)
        intent = self.authorization(order, await read_routes(self.connection), assessment)
        assert isinstance(intent.subject, Payment), "authorized"  # noqa: S101 narrows the type
        if not await repository.insert_payment(self.connection, intent.subject):
            raise ReferenceInUse(f"merchant_reference has a live charge: {order.merchant_reference}")
        await note_suspicious(self.connection, attempt, assessment)
        await begin(self.connection, intent.operation, intent.subject)
        return intent

    async def capture(self, payment_id: UUID, amount_minor: int | None) -> Intent:
        """Plan a capture: all that is left of the authorization, or the given part, which is set aside."""
        payment, operations = await self._lock(payment_id, OperationKind.CAPTURE)
        left = payment.held_minor
        if not left and payment.capture_reserved_minor:
            raise OperationInFlight(f"payment has an operation that has not ended: {payment.id}")
        if not left:
            raise StateRefused(f"nothing is left to capture: {payment.id}")
        amount = left if amount_minor is None else amount_minor
        _require_left(amount, left, "to capture")
        return await self._intend(
            payment, OperationKind.CAPTURE, amount, parent=find_authorization(operations)
        )

    async def void(self, payment_id: UUID) -> Intent:
        """Plan the release of all that is left of an authorization."""
        payment, operations = await self._lock(payment_id, OperationKind.VOID)
        if not payment.held_minor:
            raise StateRefused(f"nothing is left to void: {payment.id}")
        parent = find_authorization(operations)
        return await self._intend(payment, OperationKind.VOID, payment.held_minor, parent=parent)

    async def refund(self, payment_id: UUID, amount_minor: int) -> Intent:
        """Plan a refund of one capture and set its amount aside: refunds never exceed what was captured."""
        payment, operations = await self._lock(payment_id, OperationKind.REFUND)
        _require_left(amount_minor, payment.refundable_minor, "to refund")
        left = refundable(operations)
        _require_left(amount_minor, max(left.values(), default=0), "to refund of one capture")
        parent = next(one for one in operations if left.get(one.id, 0) >= amount_minor)
        return await self._intend(payment, OperationKind.REFUND, amount_minor, parent=parent)

    async def payout(self, order: PayoutOrder) -> Intent:
        """Plan a payout of what a merchant is owed; two at once are planned one after the other."""
        merchant, currency = self.command.principal.name, order.money.currency
        await repository.lock_payouts(self.connection, merchant)
        if await repository.is_paid_out(self.connection, merchant, order.merchant_reference):
            raise ReferenceInUse(f"merchant_reference has a payout: {order.merchant_reference}")
        # In this order: a refund that ends in between counts twice, and the other way round not at all.
        promised = await repository.read_promised(self.connection, merchant, currency)
        account = f"merchant_payable:{merchant}"
        owed = -(await read_balances(self.connection, [account])).get((account, currency), 0)
        _require_left(order.money.amount_minor, owed - promised, "to pay out")
        # Only now: a payout that is refused uses nobody's word up.
        await self.approve(self.connection, self.command, order, self.now)
        provider = self.choose(await read_routes(self.connection), order.merchant_reference)
        payout = Payout(
            id=self.operation_id,
            merchant=merchant,
            merchant_reference=order.merchant_reference,
            amount_minor=order.money.amount_minor,
            currency=currency,
            provider=provider,
            created_at=self.now,
        )
        await repository.insert_payout(self.connection, payout)
        return await self._intend(payout, OperationKind.PAYOUT, payout.amount_minor)

    async def resume(self, operation: Operation, card_token: str) -> Intent | None:
        """Go on with what a dead process had begun, under its provider key; None while somebody has it."""
        subject = await repository.read_subject(self.connection, operation)
        self.providers[subject.provider].require_closed()
        deadlines = self.deadlines[subject.provider]
        taken = await repository.take_over(
            self.connection,
            operation.id,
            self.now,
            lease_until=self.now + deadlines.call,
            settle_after=self.now + deadlines.settle,
        )
        if taken is None:
            return None
        event = self.command.audit(
            f"{taken.kind}.taken_over",
            SubjectKind.OPERATION,
            str(taken.id),
            before={"lease_until": operation.lease_until.isoformat()},
            after={"lease_until": taken.lease_until.isoformat(), "turn": taken.query_attempts},
            now=self.now,
        )
        await record(self.connection, event)
        deadline = self.now + deadlines.last_send
        call = call_of(subject, taken, deadline=deadline, card_token=card_token)
        return Intent(subject, taken, call, resumed=True)

    async def _screen(self, attempt: Attempt) -> Assessment:
        """Return what risk says, whatever the provider would be; raises RiskBlocked."""
        if self.screening is None:
            return Assessment()
        assessment = await self.screening.screen(self.connection, attempt)
        await refuse_blocked(self.connection, attempt, assessment, correlation_id=self.command.correlation_id)
        return assessment

    async def _lock(self, payment_id: UUID, kind: OperationKind) -> tuple[Payment, Sequence[Operation]]:
        """Lock a payment in which the life cycle lets an operation of this kind begin now."""
        payment = await repository.lock_payment(self.connection, payment_id)
        # Somebody else's payment looks like none at all.
        if payment is None or payment.merchant != self.command.principal.name:
            raise PaymentUnknown(f"there is no such payment: {payment_id}")
        self.providers[payment.provider].require_closed()
        operations = await repository.read_operations(self.connection, payment.id)
        step = LIFE_CYCLE[kind]
        unresolved = {one.kind for one in operations if not one.status.final}
        if unresolved & step.waits_for or (unresolved and payment.status not in step.moves):
            raise OperationInFlight(f"payment has an operation that has not ended: {payment.id}")
        if payment.status not in step.moves:
            raise StateRefused(f"payment is {payment.status}, needed to {kind}: {', '.join(step.moves)}")
        if len(operations) >= repository.OPERATIONS_MAXIMUM:
            raise StateRefused(
                f"payment has {len(operations)} operations, allowed: {repository.OPERATIONS_MAXIMUM}"
            )
        return payment, operations

    async def _intend(
        self, subject: Subject, kind: OperationKind, amount_minor: int, *, parent: Operation | None = None
    ) -> Intent:
        if isinstance(subject, Payment) and LIFE_CYCLE[kind].reserves:
            subject = reserve(subject, kind, amount_minor)
            await repository.update_payment(self.connection, subject)
        intent = self.intent(subject, kind, amount_minor, parent=parent)
        await begin(self.connection, intent.operation, subject)
        return intent


def refundable(operations: Sequence[Operation]) -> dict[UUID, int]:
    """Return what is left of each capture: less refunds, released or on their way too, and chargebacks."""
    released = {one.parent_id for one in operations if one.kind is OperationKind.SUSPENSE_RELEASE}
    done = OperationStatus.SUCCEEDED
    left = {one.id: one.amount_minor for one in operations if (one.kind, one.status) == ("capture", done)}
    for one in operations:
        if one.parent_id in left and (one.status not in _WITHOUT_EFFECT or one.id in released):
            match one.kind:
                case OperationKind.REFUND | OperationKind.CHARGEBACK:
                    left[one.parent_id] -= one.amount_minor
                case OperationKind.CHARGEBACK_REVERSAL:
                    left[one.parent_id] += one.amount_minor
    return left


def _require_left(amount_minor: int, left_minor: int, what: str) -> None:
    if amount_minor > left_minor:
        raise AmountExceeded(f"amount_minor is {amount_minor}, left {what}: {max(0, left_minor)}")


def find_authorization(operations: Sequence[Operation]) -> Operation:
    """Return the authorization that succeeded; raises InvariantViolation without one."""
    for one in operations:
        if one.kind is OperationKind.AUTHORIZE and one.status is OperationStatus.SUCCEEDED:
            return one
    raise InvariantViolation("payment has no authorization that succeeded, though its state says so")
