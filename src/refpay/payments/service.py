"""What merchants ask for: claim and intend, call, settle; no transaction is open while calling."""

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
from refpay.ledger.journal import Journal
from refpay.measures import Measures
from refpay.payments import claims_repository, repository
from refpay.payments.answers import ACCEPTED, operation_answer, refusal_answer, subject_body
from refpay.payments.approvals import PAYOUT_ALONE_MINOR, require_approval
from refpay.payments.claims import Claim, Command, Reply, StoredAnswer
from refpay.payments.errors import (
    ApprovalUnasked,
    KeyExpired,
    KeyInFlight,
    KeyReused,
    Overloaded,
    PaymentUnknown,
)
from refpay.payments.findings import NOT_DONE, NOT_KNOWN, Finding, judge
from refpay.payments.intents import Approve, Deadlines, Intent, Planner
from refpay.payments.model import OperationKind, OperationStatus, Order, Payment, PayoutOrder
from refpay.payments.quick import Aside, QuickBeginning
from refpay.payments.settler import Settler
from refpay.providers.errors import CircuitOpened, ProviderRefused, ProviderSilent
from refpay.providers.port import Verdict
from refpay.providers.registry import CallableProvider
from refpay.risk.errors import RiskBlocked, RiskSilent
from refpay.risk.model import Assessment
from refpay.risk.screening import Screening
from refpay.settings import RiskSettings, Settings

IN_FLIGHT_MAXIMUM: Final = 512
_LOG: Final = structlog.get_logger()
_SCREENING: Final = Screening(RiskSettings())

Plan = Callable[[Planner], Awaitable[Intent]]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is asked for; a card token is known to its request alone and never kept."""

    kind: OperationKind
    plan: Plan
    card_token: str = ""
    # Of a new payment.
    order: Order | None = None


@dataclass(frozen=True, slots=True)
class _Refused:
    """A definitive refusal, stored under its key; `assessment` if it was risk that refused."""

    answer: StoredAnswer
    assessment: Assessment | None = None


def make_deadlines(settings: Settings) -> Mapping[str, Deadlines]:
    """Return each provider's promise; `read_settings` has checked the order of its deadlines."""
    return {
        provider.name: Deadlines(
            last_send=timedelta(seconds=provider.call_budget_seconds - provider.timeout_seconds),
            call=timedelta(seconds=provider.call_budget_seconds),
            settle=timedelta(seconds=provider.settle_seconds),
        )
        for provider in settings.providers
    }


class Payments:
    """The door to moving money."""

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, CallableProvider],
        *,
        deadlines: Mapping[str, Deadlines],
        measures: Measures,
        clock: Clock,
        journal: Journal | None = None,
        screening: Screening = _SCREENING,
        approve: Approve | None = None,
    ) -> None:
        self._database = database
        self._screening = screening
        self._silent = screening.silent()
        self._quick = QuickBeginning(
            database, providers, deadlines=deadlines, screening=screening, clock=clock
        )
        self._approve = approve or require_approval(database, PAYOUT_ALONE_MINOR)
        self._providers = providers
        self._deadlines = deadlines
        self._measures = measures
        self._clock = clock
        self.settler = Settler(database, measures=measures, clock=clock, journal=journal)
        self._in_flight = 0

    async def authorize(self, command: Command, order: Order) -> Reply:
        """Authorize a new payment."""
        wish = _Wish(
            OperationKind.AUTHORIZE, lambda planner: planner.authorize(order), order.card_token, order
        )
        return await self._run(command, wish)

    async def capture(self, command: Command, payment_id: UUID, amount_minor: int | None) -> Reply:
        """Capture a part of an authorization, all that is left of it if no amount is given."""
        wish = _Wish(OperationKind.CAPTURE, lambda planner: planner.capture(payment_id, amount_minor))
        return await self._run(command, wish)

    async def void(self, command: Command, payment_id: UUID) -> Reply:
        """Release all that is left of an authorization."""
        return await self._run(command, _Wish(OperationKind.VOID, lambda planner: planner.void(payment_id)))

    async def refund(self, command: Command, payment_id: UUID, amount_minor: int) -> Reply:
        """Refund a part of what was captured."""
        wish = _Wish(OperationKind.REFUND, lambda planner: planner.refund(payment_id, amount_minor))
        return await self._run(command, wish)

    async def payout(self, command: Command, order: PayoutOrder) -> Reply:
        """Pay a merchant a part of what it is owed; over the limit a second person has to approve it."""
        return await self._run(command, _Wish(OperationKind.PAYOUT, lambda planner: planner.payout(order)))

    async def read(self, principal: Principal, payment_id: UUID) -> bytes:
        """Return a payment's JSON; a merchant sees its own, an operator every one."""
        async with self._database.transaction() as connection:
            payment = await repository.read_payment(connection, payment_id)
            if payment is None or (
                payment.merchant != principal.name and Scope.OPERATIONS_READ not in principal.scopes
            ):
                raise PaymentUnknown(f"there is no such payment: {payment_id}")
            return subject_body(payment, await repository.read_operations(connection, payment.id))

    async def _run(self, command: Command, wish: _Wish) -> Reply:
        since = self._measures.now()
        if self._in_flight >= IN_FLIGHT_MAXIMUM:
            self._measures.count_payment(wish.kind, command.traffic, "shed", since=since)
            raise Overloaded(f"operations in flight: {self._in_flight}, allowed: {IN_FLIGHT_MAXIMUM}")
        self._in_flight += 1
        try:
            begun = await self._begin_counted(command, wish, since)
            if isinstance(begun, Reply):
                return begun
            return await self._carry_out(command, begun, since)
        finally:
            self._in_flight -= 1

    async def _begin_counted(self, command: Command, wish: _Wish, since: float) -> Intent | Reply:
        kind = wish.kind
        try:
            begun = await self._begin(command, wish)
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
        if isinstance(begun, _Refused):
            outcome = "rejected" if begun.assessment is None else "blocked"
            self._measures.count_payment(kind, command.traffic, outcome, since=since)
            return Reply(begun.answer)
        return begun

    async def _begin(self, command: Command, wish: _Wish) -> Intent | Reply | _Refused:
        screening = self._screening
        if wish.order is not None:
            begun = await self._quick.begin(command, wish.order)
            if not isinstance(begun, Aside):
                return begun
            screening = self._silent if begun.silent else screening
        try:
            return await self._begin_once(command, wish, screening)
        except RiskSilent as problem:
            # A statement that ran out of time takes its transaction with it, so all of it is done anew.
            _LOG.warning("authorization_not_assessed", problem=problem.detail)
            return await self._begin_once(command, wish, None)
        except ApprovalUnasked as unasked:
            raise await unasked.ask() from None

    async def _begin_once(
        self, command: Command, wish: _Wish, screening: Screening | None
    ) -> Intent | Reply | _Refused:
        """Claim the key and write the intent, in the first transaction."""
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
                screening=screening,
                approve=self._approve,
            )
            if claim is not None:
                return await self._go_on(planner, claim, wish)
            try:
                return await wish.plan(planner)
            except RefpayError as refusal:
                if refusal.retryable or refusal.status >= 500:
                    raise
                answer = refusal_answer(refusal, command.correlation_id)
                await claims_repository.store(
                    connection, principal=command.principal.name, key=command.key, answer=answer
                )
                return _Refused(answer, refusal.assessment if isinstance(refusal, RiskBlocked) else None)

    async def _go_on(self, planner: Planner, claim: Claim, wish: _Wish) -> Intent | Reply:
        """Answer again, or go on from where a process died: the lease decides who does."""
        connection = planner.connection
        if (replay := claim.replay_to(planner.command)) is not None:
            return replay
        operation = claim.operation_id and await repository.read_operation(connection, claim.operation_id)
        if not operation:
            raise InvariantViolation("an idempotency key stands for nothing")
        if operation.status.final:
            # Settled between reading its claim and reading the operation; if it was reaped too, this says so.
            settled = await claims_repository.claim(
                connection, planner.command, operation_id=operation.id, now=planner.now
            )
            replay = None if settled is None else settled.replay_to(planner.command)
            if replay is None:
                raise InvariantViolation(f"a final operation has no stored answer: {operation.id}")
            return replay
        if operation.status is OperationStatus.STARTED:
            held = planner.now < operation.lease_until
            intent = None if held else await planner.resume(operation, wish.card_token)
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
        """Call the provider, then settle in the second transaction."""
        subject, operation = intent.subject, intent.operation
        with self._measures.payment(operation.kind, command.traffic, since=since) as handle:
            finding = await self._call(intent)
            # As it was begun, unless it is somebody else's or changes more than itself.
            fresh = operation.kind is OperationKind.AUTHORIZE and not intent.resumed
            settlement = await self.settler.settle_patiently(
                operation,
                finding,
                actor=operation.principal,
                begun=subject if fresh and isinstance(subject, Payment) else None,
            )
            if settlement is None:
                # Whatever the provider said, it is not on record: that is what indeterminate means.
                handle.finish("indeterminate", subject.provider)
                return Reply(StoredAnswer(ACCEPTED, subject_body(subject, [operation])))
            status = settlement.operation.status
            handle.finish(status if status.final else "indeterminate", subject.provider)
            return Reply(settlement.answer)

    async def _call(self, intent: Intent) -> Finding:
        try:
            answer = await self._providers[intent.subject.provider].perform(intent.call)
        except ProviderRefused:
            # What a dead process sent may have been done, and this refusal proves nothing about that; nor of
            # what another one sends, should it have taken over from us meanwhile.
            turn = intent.operation.query_attempts
            return NOT_KNOWN if intent.resumed else replace(NOT_DONE, turn=turn)
        except ProviderSilent:
            return NOT_KNOWN
        if answer.verdict is Verdict.UNKNOWN_KEY:
            raise InvariantViolation(f"a provider answered a call as a query: {intent.operation.id}")
        return judge(answer)
