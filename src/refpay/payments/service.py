"""Carry out what merchants ask for: write the intent, call the provider, write the outcome.

No transaction is open during the provider call.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.errors import InvariantViolation, RefpayError
from refpay.identity.principals import Principal, Scope
from refpay.ids import mint_id
from refpay.ledger.receipt_log import ReceiptLog
from refpay.measures import ServiceMetrics
from refpay.payments import claims_repository, repository
from refpay.payments.answers import ACCEPTED, operation_answer, refusal_answer, subject_body
from refpay.payments.approvals import require_approval
from refpay.payments.authorization_batches import AuthorizationBatches
from refpay.payments.claims import Claim, Command, Reply, StoredAnswer
from refpay.payments.errors import (
    ApprovalUnasked,
    KeyExpired,
    KeyInFlight,
    KeyReused,
    Overloaded,
    PaymentUnknown,
)
from refpay.payments.intents import Approve, Deadlines, Intent, Planner, Refusal
from refpay.payments.model import OperationKind, OperationStatus, Order, Payment, PayoutOrder
from refpay.payments.outcome_resolver import OutcomeResolver
from refpay.payments.outcomes import NOT_DONE, NOT_KNOWN, ReportedOutcome, interpret
from refpay.providers.errors import CircuitOpened, ProviderOutcomeUnknown, ProviderRefused
from refpay.providers.port import ProviderResult
from refpay.providers.registry import GuardedProvider
from refpay.risk.screening import Screening
from refpay.settings import RiskSettings, Settings, read_payout_limits

IN_FLIGHT_MAXIMUM: Final = 512
_LOG: Final = structlog.get_logger()
_SCREENING: Final = Screening(RiskSettings())

Plan = Callable[[Planner], Awaitable[Intent]]


@dataclass(frozen=True, slots=True)
class _OperationRequest:
    """An operation that a merchant asks for. A card token is known to its request alone and never stored."""

    kind: OperationKind
    # Absent for a new payment, which has an order.
    plan: Plan | None = None
    card_token: str = ""
    order: Order | None = None


def make_deadlines(settings: Settings) -> Mapping[str, Deadlines]:
    """Return the deadlines of each provider. `read_settings` has checked their order."""
    return {
        provider.name: Deadlines(
            last_send=timedelta(seconds=provider.call_budget_seconds - provider.timeout_seconds),
            call=timedelta(seconds=provider.call_budget_seconds),
            settle_after=timedelta(seconds=provider.outcome_deadline_seconds),
        )
        for provider in settings.providers
    }


class Payments:
    """Moves money for merchants: authorize, capture, void, refund and pay out."""

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, GuardedProvider],
        *,
        deadlines: Mapping[str, Deadlines],
        measures: ServiceMetrics,
        clock: Clock,
        receipt_log: ReceiptLog | None = None,
        screening: Screening = _SCREENING,
        approve: Approve | None = None,
    ) -> None:
        self._database = database
        self._batches = AuthorizationBatches(
            database, providers, deadlines=deadlines, screening=screening, clock=clock
        )
        self._approve = approve or require_approval(database, read_payout_limits())
        self._providers = providers
        self._deadlines = deadlines
        self._measures = measures
        self._clock = clock
        self.resolver = OutcomeResolver(database, measures=measures, clock=clock, receipt_log=receipt_log)
        self._in_flight = 0

    async def authorize(self, command: Command, order: Order) -> Reply:
        """Authorize a new payment."""
        request = _OperationRequest(OperationKind.AUTHORIZE, card_token=order.card_token, order=order)
        return await self._run(command, request)

    async def capture(self, command: Command, payment_id: UUID, amount_minor: int | None) -> Reply:
        """Capture a part of an authorization, or all that is left of it if no amount is given."""
        request = _OperationRequest(
            OperationKind.CAPTURE, lambda planner: planner.capture(payment_id, amount_minor)
        )
        return await self._run(command, request)

    async def void(self, command: Command, payment_id: UUID) -> Reply:
        """Release all that is left of an authorization."""
        return await self._run(
            command, _OperationRequest(OperationKind.VOID, lambda planner: planner.void(payment_id))
        )

    async def refund(self, command: Command, payment_id: UUID, amount_minor: int) -> Reply:
        """Refund a part of what was captured."""
        request = _OperationRequest(
            OperationKind.REFUND, lambda planner: planner.refund(payment_id, amount_minor)
        )
        return await self._run(command, request)

    async def payout(self, command: Command, order: PayoutOrder) -> Reply:
        """Pay a merchant a part of what it is owed.

        Once all its payouts of 24 hours exceed the limit, a second person has to approve each one.
        """
        return await self._run(
            command, _OperationRequest(OperationKind.PAYOUT, lambda planner: planner.payout(order))
        )

    async def read(self, principal: Principal, payment_id: UUID) -> bytes:
        """Return a payment as JSON. A merchant sees its own payments, an operator every one."""
        async with self._database.transaction() as connection:
            payment = await repository.read_payment(connection, payment_id)
            if payment is None or (
                payment.merchant != principal.name and Scope.OPERATIONS_READ not in principal.scopes
            ):
                raise PaymentUnknown(f"there is no such payment: {payment_id}")
            return subject_body(payment, await repository.read_operations(connection, payment.id))

    async def _run(self, command: Command, request: _OperationRequest) -> Reply:
        since = self._measures.now()
        if self._in_flight >= IN_FLIGHT_MAXIMUM:
            self._measures.count_payment(request.kind, command.traffic, "shed", since=since)
            raise Overloaded(f"operations in flight: {self._in_flight}, allowed: {IN_FLIGHT_MAXIMUM}")
        self._in_flight += 1
        try:
            begun = await self._begin_counted(command, request, since)
            if isinstance(begun, Reply):
                return begun
            return await self._carry_out(command, begun, since)
        finally:
            self._in_flight -= 1

    async def _begin_counted(
        self, command: Command, request: _OperationRequest, since: float
    ) -> Intent | Reply:
        kind = request.kind
        try:
            begun = await self._begin(command, request)
        except (KeyReused, KeyExpired, KeyInFlight) as refusal:
            self._measures.count_key(kind, "in_flight" if isinstance(refusal, KeyInFlight) else "conflict")
            raise
        except RefpayError as refusal:
            outcome = "failed" if refusal.status >= 500 else "rejected"
            provider = refusal.provider if isinstance(refusal, CircuitOpened) else "none"
            self._measures.count_payment(kind, command.traffic, outcome, provider, since=since)
            raise
        except Exception:
            self._measures.count_payment(kind, command.traffic, "failed", since=since)
            raise
        if isinstance(begun, Reply):
            self._measures.count_key(kind, "replayed" if begun.replayed else "recovered")
            return begun
        resumed = isinstance(begun, Intent) and begun.resumed
        self._measures.count_key(kind, "recovered" if resumed else "new")
        if begun.assessment is not None:
            self._measures.count_risk(blocked=begun.assessment.blocked, rule=begun.assessment.rule)
        if isinstance(begun, Refusal):
            outcome = "rejected" if begun.assessment is None else "blocked"
            self._measures.count_payment(kind, command.traffic, outcome, since=since)
            return Reply(begun.answer)
        return begun

    async def _begin(self, command: Command, request: _OperationRequest) -> Intent | Reply | Refusal:
        if request.order is not None:
            initiated = await self._batches.initiate(command, request.order)
            if initiated is not None:
                return initiated
        try:
            return await self._begin_once(command, request)
        except ApprovalUnasked as unasked:
            raise await unasked.ask() from None

    async def _begin_once(self, command: Command, request: _OperationRequest) -> Intent | Reply | Refusal:
        """Claim the key and write the intent in one transaction."""
        now = self._clock.now()
        operation_id = mint_id(now)
        async with self._database.transaction() as connection:
            claim = await claims_repository.claim(connection, command, operation_id=operation_id, now=now)
            planner = Planner(
                connection=connection,
                command=command,
                operation_id=operation_id,
                now=now,
                deadlines=self._deadlines,
                providers=self._providers,
                approve=self._approve,
            )
            if claim is not None:
                return await self._go_on(planner, claim, request)
            if request.plan is None:
                raise InvariantViolation("idempotency key of an authorization is free after it was claimed")
            try:
                return await request.plan(planner)
            except RefpayError as refusal:
                if refusal.retryable or refusal.status >= 500:
                    raise
                answer = refusal_answer(refusal, command.correlation_id)
                await claims_repository.store(
                    connection, principal=command.principal.name, key=command.key, answer=answer
                )
                return Refusal(answer)

    async def _go_on(self, planner: Planner, claim: Claim, request: _OperationRequest) -> Intent | Reply:
        """Return the stored answer, or resume the operation of a process that died.

        Its lease decides who may resume.
        """
        connection = planner.connection
        if (replay := claim.replay_to(planner.command)) is not None:
            return replay
        operation = claim.operation_id and await repository.read_operation(connection, claim.operation_id)
        if not operation:
            raise InvariantViolation("idempotency key has neither an operation nor an answer")
        if operation.status.final:
            # Resolved after its claim was read. Raises KeyExpired if it was reaped too.
            resolved = await claims_repository.claim(
                connection, planner.command, operation_id=operation.id, now=planner.now
            )
            replay = None if resolved is None else resolved.replay_to(planner.command)
            if replay is None:
                raise InvariantViolation(f"a final operation has no stored answer: {operation.id}")
            return replay
        if operation.status is OperationStatus.STARTED:
            held = planner.now < operation.lease_until
            intent = None if held else await planner.resume(operation, request.card_token)
            if intent is None:
                raise KeyInFlight(
                    "the first request with this key has not ended: ask again with the same key"
                )
            return intent
        subject = await repository.read_subject(connection, operation)
        operations = [operation]
        if operation.payment_id is not None:
            operations = list(await repository.read_operations(connection, operation.payment_id))
        return Reply(operation_answer(subject, operation, operations))

    async def _carry_out(self, command: Command, intent: Intent, since: float) -> Reply:
        """Call the provider, then write the outcome in a second transaction."""
        subject, operation = intent.subject, intent.operation
        with self._measures.payment(operation.kind, command.traffic, since=since) as handle:
            outcome = await self._call(intent)
            # Unchanged since it was initiated, unless another process began it, or it changes a payment.
            fresh = operation.kind is OperationKind.AUTHORIZE and not intent.resumed
            resolved = await self.resolver.resolve_with_retries(
                operation,
                outcome,
                actor=operation.principal,
                begun=subject if fresh and isinstance(subject, Payment) else None,
                fee_recorded=True,
            )
            if resolved is None:
                # What the provider said could not be recorded: indeterminate, and our failure, not its.
                handle.finish("indeterminate", "none")
                return Reply(StoredAnswer(ACCEPTED, subject_body(subject, [operation])))
            status = resolved.operation.status
            fee = 0
            if resolved.takes_fee:
                fee = self._measures.fee_micro_units(
                    provider=subject.provider,
                    currency=subject.currency,
                    amount_minor=operation.amount_minor,
                )
            handle.finish(status if status.final else "indeterminate", subject.provider, fee)
            return Reply(resolved.answer)

    async def _call(self, intent: Intent) -> ReportedOutcome:
        try:
            answer = await self._providers[intent.subject.provider].perform(intent.call)
        except ProviderRefused:
            # The process that died may have sent it, so this refusal proves nothing about that call. The
            # token does the same for a process that has taken over from us meanwhile.
            fencing_token = intent.operation.query_attempts
            return NOT_KNOWN if intent.resumed else replace(NOT_DONE, fencing_token=fencing_token)
        except ProviderOutcomeUnknown:
            return NOT_KNOWN
        if answer.result is ProviderResult.UNKNOWN_KEY:
            raise InvariantViolation(f"a provider answered a call as a query: {intent.operation.id}")
        return interpret(answer)
