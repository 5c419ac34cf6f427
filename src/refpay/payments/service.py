"""Authorize, capture and refund: claim and intend, call, settle; no transaction is open while calling."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.errors import InvariantViolation, RefpayError
from refpay.identity.principals import Principal, Scope
from refpay.ids import mint_id
from refpay.ledger.journal import Journal
from refpay.measures import Measures
from refpay.payments import claims_repository, repository
from refpay.payments.answers import ACCEPTED, operation_answer, payment_body, refusal_answer
from refpay.payments.claims import Claim, Command, Reply, StoredAnswer
from refpay.payments.errors import KeyInFlight, KeyReused, Overloaded, PaymentUnknown
from refpay.payments.findings import NOT_DONE, NOT_KNOWN, Finding, judge
from refpay.payments.intents import Deadlines, Draft, Intent, Planner
from refpay.payments.model import OperationKind, OperationStatus, Order
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
class _Refused:
    """A definitive refusal, stored under its key; `assessment` if it was risk that refused."""

    answer: StoredAnswer
    assessment: Assessment | None = None


def make_deadlines(settings: Settings) -> Deadlines:
    """Return the deadlines that the settings give; `read_settings` has checked their order."""
    budget = settings.call_budget_seconds
    return Deadlines(
        last_send=timedelta(seconds=budget - settings.provider_timeout_seconds),
        call=timedelta(seconds=budget),
        settle=timedelta(seconds=settings.settle_deadline_seconds),
    )


class Payments:
    """The door to moving money."""

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, CallableProvider],
        *,
        deadlines: Deadlines,
        measures: Measures,
        clock: Clock,
        journal: Journal | None = None,
        screening: Screening = _SCREENING,
    ) -> None:
        self._database = database
        self._screening = screening
        self._silent = screening.silent()
        self._quick = QuickBeginning(
            database, providers, deadlines=deadlines, screening=screening, clock=clock
        )
        self._providers = providers
        self._deadlines = deadlines
        self._measures = measures
        self._clock = clock
        self._settler = Settler(database, measures=measures, clock=clock, journal=journal)
        self._in_flight = 0

    async def authorize(self, command: Command, order: Order) -> Reply:
        """Authorize a new payment."""
        return await self._run(
            command, OperationKind.AUTHORIZE, lambda planner: planner.authorize(order), order
        )

    async def capture(self, command: Command, payment_id: UUID, amount_minor: int | None) -> Reply:
        """Capture an authorization, all of it if no amount is given."""
        return await self._run(
            command, OperationKind.CAPTURE, lambda planner: planner.capture(payment_id, amount_minor)
        )

    async def refund(self, command: Command, payment_id: UUID, amount_minor: int) -> Reply:
        """Refund a part of what was captured."""
        return await self._run(
            command, OperationKind.REFUND, lambda planner: planner.refund(payment_id, amount_minor)
        )

    async def read(self, principal: Principal, payment_id: UUID) -> bytes:
        """Return a payment's JSON; a merchant sees its own, an operator every one."""
        async with self._database.transaction() as connection:
            payment = await repository.read_payment(connection, payment_id)
            if payment is None or (
                payment.merchant != principal.name and Scope.OPERATIONS_READ not in principal.scopes
            ):
                raise PaymentUnknown(f"there is no such payment: {payment_id}")
            return payment_body(payment, await repository.read_operations(connection, payment.id))

    async def _run(
        self, command: Command, kind: OperationKind, plan: Plan, order: Order | None = None
    ) -> Reply:
        since = self._measures.now()
        if self._in_flight >= IN_FLIGHT_MAXIMUM:
            self._measures.count_payment(kind, command.traffic, "shed", since=since)
            raise Overloaded(f"operations in flight: {self._in_flight}, allowed: {IN_FLIGHT_MAXIMUM}")
        self._in_flight += 1
        try:
            begun = await self._begin_counted(command, kind, plan, order, since)
            if isinstance(begun, Reply):
                return begun
            return await self._carry_out(command, begun, since)
        finally:
            self._in_flight -= 1

    async def _begin_counted(
        self, command: Command, kind: OperationKind, plan: Plan, order: Order | None, since: float
    ) -> Intent | Reply:
        try:
            begun = await self._begin(command, plan, order)
        except (KeyReused, KeyInFlight) as refusal:
            self._measures.count_key(kind, "conflict" if isinstance(refusal, KeyReused) else "in_flight")
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
        self._measures.count_key(kind, "new")
        if begun.assessment is not None:
            self._measures.count_risk(blocked=begun.assessment.blocked, rule=begun.assessment.rule)
        if isinstance(begun, _Refused):
            outcome = "rejected" if begun.assessment is None else "blocked"
            self._measures.count_payment(kind, command.traffic, outcome, since=since)
            return Reply(begun.answer)
        return begun

    async def _begin(self, command: Command, plan: Plan, order: Order | None) -> Intent | Reply | _Refused:
        screening = self._screening
        if order is not None:
            begun = await self._quick.begin(command, order)
            if not isinstance(begun, Aside):
                return begun
            screening = self._silent if begun.silent else screening
        try:
            return await self._begin_once(command, plan, screening)
        except RiskSilent as problem:
            # A statement that ran out of time takes its transaction with it, so all of it is done anew.
            _LOG.warning("authorization_not_assessed", problem=problem.detail)
            return await self._begin_once(command, plan, None)

    async def _begin_once(
        self, command: Command, plan: Plan, screening: Screening | None
    ) -> Intent | Reply | _Refused:
        """Claim the key and write the intent, in the first transaction."""
        now = self._clock.now()
        operation_id = mint_id(now)
        async with self._database.transaction() as connection:
            claim = await claims_repository.claim(connection, command, operation_id=operation_id, now=now)
            if claim is not None:
                return await self._answer_again(connection, command, claim, now)
            draft = Draft(command, operation_id, now, self._deadlines)
            planner = Planner(connection, draft, self._providers, screening)
            try:
                return await plan(planner)
            except RefpayError as refusal:
                if refusal.retryable or refusal.status >= 500:
                    raise
                answer = refusal_answer(refusal, command.correlation_id)
                await claims_repository.store(
                    connection, principal=command.principal.name, key=command.key, answer=answer
                )
                return _Refused(answer, refusal.assessment if isinstance(refusal, RiskBlocked) else None)

    async def _answer_again(
        self, connection: Connection, command: Command, claim: Claim, now: datetime
    ) -> Reply:
        if (replay := claim.replay_to(command)) is not None:
            return replay
        operation = claim.operation_id and await repository.read_operation(connection, claim.operation_id)
        payment = operation and await repository.read_payment(connection, operation.payment_id)
        if not operation or not payment:
            raise InvariantViolation("an idempotency key stands for nothing")
        if operation.status.final:
            # Settled between reading its claim and reading the operation.
            answer = await claims_repository.read_answer(connection, operation.id)
            if answer is None:
                raise InvariantViolation(f"a final operation has no stored answer: {operation.id}")
            return Reply(answer, replayed=True)
        if operation.status is OperationStatus.STARTED and now < operation.call_deadline:
            raise KeyInFlight("the first request with this key has not ended: ask again with the same key")
        operations = await repository.read_operations(connection, payment.id)
        return Reply(operation_answer(payment, operation, operations))

    async def _carry_out(self, command: Command, intent: Intent, since: float) -> Reply:
        """Call the provider, then settle in the second transaction."""
        payment, operation = intent.payment, intent.operation
        with self._measures.payment(operation.kind, command.traffic, since=since) as handle:
            finding = await self._call(intent)
            settlement = await self._settler.settle_patiently(
                operation, finding, actor=operation.principal, begun=payment
            )
            if settlement is None:
                # Whatever the provider said, it is not on record: that is what indeterminate means.
                handle.finish("indeterminate", payment.provider)
                return Reply(StoredAnswer(ACCEPTED, payment_body(payment, [operation])))
            handle.finish(settlement.operation.status, payment.provider)
            return Reply(settlement.answer)

    async def _call(self, intent: Intent) -> Finding:
        try:
            answer = await self._providers[intent.payment.provider].perform(intent.call)
        except ProviderRefused:
            return NOT_DONE
        except ProviderSilent:
            return NOT_KNOWN
        if answer.verdict is Verdict.UNKNOWN_KEY:
            raise InvariantViolation(f"a provider answered a call as a query: {intent.operation.id}")
        return judge(answer)
