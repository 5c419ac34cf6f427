"""Plan operations and write their intents, in the first transaction, under the payment's lock."""

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
from refpay.payments.claims import Command, StoredAnswer
from refpay.payments.errors import (
    AmountExceeded,
    OperationInFlight,
    PaymentUnknown,
    ReferenceInUse,
    StateRefused,
)
from refpay.payments.initiation import initiate, provider_call
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
from refpay.providers.registry import GuardedProvider
from refpay.providers.routing import Route, choose_provider, read_routes
from refpay.risk.model import Assessment, AuthorizationAttempt

_WITHOUT_EFFECT: Final = (OperationStatus.DECLINED, OperationStatus.FAILED)

# Raises the refusal of a payout without a second approval. Called before anything is written.
Approve = Callable[[Connection, Command, PayoutOrder, datetime], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The deadlines of a provider, as spans from the start of an operation.

    Nothing is sent after `last_send` and no call is open after `call`. A provider that does not know the
    operation at `settle_after` never will.
    """

    last_send: timedelta
    call: timedelta
    settle_after: timedelta


@dataclass(frozen=True, slots=True)
class Intent:
    """A committed intent and the call that carries it out; `assessment` is that of risk, if risk was asked.

    `resumed` says that another process initiated it and died.
    """

    subject: Subject
    operation: Operation
    call: Call
    assessment: Assessment | None = None
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A definitive refusal, stored under its key; `assessment` if it was risk that refused."""

    answer: StoredAnswer
    assessment: Assessment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOperation:
    """Plans an operation from what is known. It reads nothing and writes nothing."""

    command: Command
    operation_id: UUID
    now: datetime
    deadlines: Mapping[str, Deadlines]
    providers: Mapping[str, GuardedProvider]

    def attempt(self, order: Order) -> AuthorizationAttempt:
        """Return the input of the risk assessment of an order."""
        return AuthorizationAttempt(self.operation_id, self.now, order.card_range, order.money.amount_minor)

    def authorization(self, order: Order, routes: Sequence[Route], assessment: Assessment) -> Intent:
        """Return a new payment at the provider that routing chooses. Raises what refuses it for now."""
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
        """Return the provider of a new payment. Raises NoProviderAvailable or CircuitOpened."""
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
            settle_after=self.now + deadlines.settle_after,
            next_query_at=self.now + deadlines.settle_after,
            query_attempts=0,
            lease_until=self.now + deadlines.call,
            parent_id=None if parent is None else parent.id,
            parent_reference=None if parent is None else parent.provider_reference,
        )
        deadline = self.now + deadlines.last_send
        call = provider_call(subject, operation, deadline=deadline, card_token=card_token)
        return Intent(subject, operation, call, assessment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner(PlannedOperation):
    """Plans everything but authorizations, inside the caller's transaction.

    Each method raises the reason if it refuses the operation.
    """

    connection: Connection
    approve: Approve

    async def capture(self, payment_id: UUID, amount_minor: int | None) -> Intent:
        """Plan a capture of the given amount, or of all that is left. The amount is reserved."""
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
        """Plan a refund of one capture and reserve its amount: refunds never exceed what was captured."""
        payment, operations = await self._lock(payment_id, OperationKind.REFUND)
        _require_left(amount_minor, payment.refundable_minor, "to refund")
        left = refundable(operations)
        _require_left(amount_minor, max(left.values(), default=0), "to refund of one capture")
        parent = next(one for one in operations if left.get(one.id, 0) >= amount_minor)
        return await self._intend(payment, OperationKind.REFUND, amount_minor, parent=parent)

    async def payout(self, order: PayoutOrder) -> Intent:
        """Plan a payout of what a merchant is owed. Two at once are planned one after the other."""
        merchant, currency = self.command.principal.name, order.money.currency
        await repository.lock_payouts(self.connection, merchant)
        if await repository.is_paid_out(self.connection, merchant, order.merchant_reference):
            raise ReferenceInUse(f"merchant_reference has a payout: {order.merchant_reference}")
        # Read in this order: a refund that ends in between counts twice, otherwise it would not count at all.
        promised = await repository.read_in_flight_debits(self.connection, merchant, currency)
        account = f"merchant_payable:{merchant}"
        owed = -(await read_balances(self.connection, [account])).get((account, currency), 0)
        _require_left(order.money.amount_minor, owed - promised, "to pay out")
        # After the checks above, so that a refused payout uses up no approval.
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
        """Resume the operation of a process that died, under its provider key.

        Return None while another one holds it.
        """
        subject = await repository.read_subject(self.connection, operation)
        self.providers[subject.provider].require_closed()
        deadlines = self.deadlines[subject.provider]
        taken = await repository.take_over(
            self.connection,
            operation.id,
            self.now,
            lease_until=self.now + deadlines.call,
            settle_after=self.now + deadlines.settle_after,
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
        call = provider_call(subject, taken, deadline=deadline, card_token=card_token)
        return Intent(subject, taken, call, resumed=True)

    async def _lock(self, payment_id: UUID, kind: OperationKind) -> tuple[Payment, Sequence[Operation]]:
        """Lock a payment in which the life cycle allows an operation of this kind to begin."""
        payment = await repository.lock_payment(self.connection, payment_id)
        # Another merchant's payment looks as if it did not exist.
        if payment is None or payment.merchant != self.command.principal.name:
            raise PaymentUnknown(f"there is no such payment: {payment_id}")
        self.providers[payment.provider].require_closed()
        operations = await repository.read_operations(self.connection, payment.id)
        step = LIFE_CYCLE[kind]
        unresolved = {one.kind for one in operations if not one.status.final}
        if unresolved & step.blocked_by or (unresolved and payment.status not in step.transitions):
            raise OperationInFlight(f"payment has an operation that has not ended: {payment.id}")
        if payment.status not in step.transitions:
            raise StateRefused(
                f"payment is {payment.status}, needed to {kind}: {', '.join(step.transitions)}"
            )
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
        await initiate(self.connection, intent.operation, subject)
        return intent


def refundable(operations: Sequence[Operation]) -> dict[UUID, int]:
    """Return what is left of each capture after refunds, released or unresolved ones too, and chargebacks."""
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
    """Return the authorization that succeeded. Raises InvariantViolation if there is none."""
    for one in operations:
        if one.kind is OperationKind.AUTHORIZE and one.status is OperationStatus.SUCCEEDED:
            return one
    raise InvariantViolation("payment has no authorization that succeeded, though its state says so")
