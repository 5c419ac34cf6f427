"""Initiate authorizations in batches, and write their outcomes: one transaction for all that wait.

A batch of one is a batch. Each request that cannot share a transaction with others (its card range is
blocked, or one of the batch made the database refuse all of it) is initiated again in a batch of its own.
"""

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
import structlog

from refpay.clock import Clock
from refpay.db.errors import DatabaseUnavailable, TransactionConflicted
from refpay.db.pool import Connection, Database
from refpay.errors import InvariantViolation, RefpayError
from refpay.ids import mint_id
from refpay.ledger.repository import post
from refpay.payments import batch_repository, claims_repository
from refpay.payments.answers import refusal_answer
from refpay.payments.batching import Batcher
from refpay.payments.claims import Claim, Command, Reply
from refpay.payments.claims_repository import read_claims
from refpay.payments.errors import KeyReused, ReferenceInUse
from refpay.payments.intents import Deadlines, Intent, PlannedOperation, Refusal
from refpay.payments.model import Order
from refpay.payments.resolution import OutcomeChange
from refpay.providers.registry import GuardedProvider
from refpay.providers.routing import read_routes
from refpay.risk.card_ranges import record_blocked, record_suspicious
from refpay.risk.errors import RiskBlocked, RiskTimedOut
from refpay.risk.model import Assessment
from refpay.risk.screening import TIMEOUTS, Screening

# A larger batch saves little, and each one holds its rows until its end.
BATCH_MAXIMUM: Final = 32
CONCURRENT_BATCHES: Final = 3
# One row makes the database roll back the transaction of all.
_ROLLED_BACK: Final = (TransactionConflicted, asyncpg.PostgresError, InvariantViolation)
_LOG: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Fallback:
    """To be initiated again in a batch of its own; `risk_timed_out` says that risk did not answer in time."""

    risk_timed_out: bool = False


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """An authorization that a merchant asks for."""

    command: Command
    order: Order

    @property
    def key(self) -> tuple[str, str]:
        """Return the idempotency key, which is the principal's own."""
        return self.command.principal.name, self.command.key


# None means that the key was claimed before and has no answer yet.
Initiated = Intent | Reply | Refusal | None
_Result = Initiated | Fallback | BaseException


class AuthorizationBatches:
    """Initiates authorizations: reads what decides them and writes claims and intents, in one transaction."""

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, GuardedProvider],
        *,
        deadlines: Mapping[str, Deadlines],
        screening: Screening,
        clock: Clock,
    ) -> None:
        self._database = database
        self._providers = providers
        self._deadlines = deadlines
        self._screening = screening
        self._clock = clock
        self._batcher = Batcher[AuthorizationRequest, Initiated | Fallback](
            self._initiate_batch, most=BATCH_MAXIMUM, concurrency=CONCURRENT_BATCHES
        )

    async def initiate(self, command: Command, order: Order) -> Initiated:
        """Return a committed intent, a stored answer or a refusal that is stored now.

        None if the key was claimed before and has no answer yet. Raises what refuses the authorization
        without being stored, and DatabaseUnavailable.
        """
        request = AuthorizationRequest(command, order)
        result: _Result = await self._batcher.submit(request)
        while isinstance(result, Fallback):
            [result] = await self._initiate([request], assess=not result.risk_timed_out, alone=True)
        if isinstance(result, BaseException):
            raise result
        return result

    async def _initiate_batch(self, requests: Sequence[AuthorizationRequest]) -> Sequence[_Result]:
        return await self._initiate(requests, assess=True, alone=False)

    async def _initiate(
        self, requests: Sequence[AuthorizationRequest], *, assess: bool, alone: bool
    ) -> Sequence[_Result]:
        """Run one transaction. If the database rolls it back, raise with `alone`, else return fallbacks."""
        results: list[_Result] = [Fallback()] * len(requests)
        pending: Collection[int] = range(len(requests))
        decided: dict[int, _Result] = {}
        try:
            async with self._database.transaction() as connection:
                claims = await read_claims(connection, [one.command for one in requests])
                for place, claim in claims.items():
                    results[place] = _replay(claim, requests[place].command)
                planned = self._plan_operations(requests, claims)
                pending = planned
                if planned:
                    batch = _Batch(connection, requests, planned)
                    decided = await self._decide(batch, assess=assess)
        except _ROLLED_BACK:
            if alone:
                raise
            return results
        except RiskTimedOut:
            decided = dict.fromkeys(pending, Fallback(risk_timed_out=True))
        except DatabaseUnavailable as problem:
            decided = dict.fromkeys(pending, problem)
        claimed = {
            requests[place].key
            for place, one in decided.items()
            if one is None or isinstance(one, Intent | Refusal)
        }
        # A second request of the batch with the same key: it is claimed by now.
        second = [place for place, one in enumerate(requests) if place not in decided and one.key in claimed]
        return _merge(results, decided | dict.fromkeys(second))

    def _plan_operations(
        self, requests: Sequence[AuthorizationRequest], claims: Container[int]
    ) -> Mapping[int, PlannedOperation]:
        """Return a planned operation for each first request with a key that is not claimed yet."""
        now = self._clock.now()
        planned: dict[tuple[str, str], tuple[int, PlannedOperation]] = {}
        for place, request in enumerate(requests):
            if place not in claims and request.key not in planned:
                operation = PlannedOperation(
                    command=request.command,
                    operation_id=mint_id(now),
                    now=now,
                    deadlines=self._deadlines,
                    providers=self._providers,
                )
                planned[request.key] = (place, operation)
        return dict(planned.values())

    async def _decide(self, batch: "_Batch", *, assess: bool) -> dict[int, _Result]:
        """Return what becomes of each planned operation when this transaction commits."""
        assessments = await self._assess(batch) if assess else {}
        routes = await read_routes(batch.connection)
        decided: dict[int, _Result] = {}
        intents: dict[int, Intent] = {}
        for place, planned in batch.planned.items():
            order = batch.requests[place].order
            try:
                assessment = assessments[place] if assess else self._go_without_assessment(planned, order)
                if assessment.blocked:
                    decided[place] = await batch.refuse_blocked(place, assessment)
                else:
                    intents[place] = planned.authorization(order, routes, assessment)
            except RefpayError as refusal:
                decided[place] = refusal
        if intents:
            decided |= await batch.write(intents)
        return decided

    async def _assess(self, batch: "_Batch") -> Mapping[int, Assessment]:
        attempts = [planned.attempt(batch.requests[place].order) for place, planned in batch.planned.items()]
        try:
            assessments = await self._screening.screen(batch.connection, attempts)
        except TIMEOUTS as problem:
            raise RiskTimedOut("risk did not answer within its time") from problem
        return dict(zip(batch.planned, assessments, strict=True))

    def _go_without_assessment(self, planned: PlannedOperation, order: Order) -> Assessment:
        assessment = self._screening.fail_open(planned.attempt(order))
        _LOG.warning("authorization_not_assessed", problem="risk did not answer within its time")
        return assessment


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one transaction initiates: requests, and the operations planned for some of them, by index."""

    connection: Connection
    requests: Sequence[AuthorizationRequest]
    planned: Mapping[int, PlannedOperation]

    async def refuse_blocked(self, place: int, assessment: Assessment) -> _Result:
        """Write a refusal by risk, in a batch of its own only: it takes several statements."""
        if len(self.requests) > 1:
            return Fallback()
        request, planned = self.requests[place], self.planned[place]
        claim = await claims_repository.claim(
            self.connection, request.command, operation_id=planned.operation_id, now=planned.now
        )
        if claim is not None:
            return _replay(claim, request.command)
        attempt = planned.attempt(request.order)
        correlation_id = request.command.correlation_id
        await record_blocked(self.connection, attempt, assessment, correlation_id=correlation_id)
        return await self._store_refusal(request.command, RiskBlocked(assessment), assessment)

    async def write(self, intents: Mapping[int, Intent]) -> Mapping[int, _Result]:
        """Claim the keys and write the payments. For a reference in use, write a refusal."""
        claimed = [(intent, self.requests[place].command.fingerprint) for place, intent in intents.items()]
        written = await batch_repository.write_intents(self.connection, claimed)
        results: dict[int, _Result] = {}
        for place, intent in intents.items():
            request = self.requests[place]
            began = written.get(intent.operation.id)
            if began is None:
                # Another transaction has claimed the key since this one looked for it.
                results[place] = None
            elif began:
                results[place] = intent
                if intent.assessment is not None:
                    attempt = self.planned[place].attempt(request.order)
                    await record_suspicious(self.connection, attempt, intent.assessment)
            else:
                reference = request.order.merchant_reference
                refusal = ReferenceInUse(f"merchant_reference has a live charge: {reference}")
                results[place] = await self._store_refusal(request.command, refusal, None)
        return results

    async def _store_refusal(
        self, command: Command, refusal: RefpayError, assessment: Assessment | None
    ) -> Refusal:
        answer = refusal_answer(refusal, command.correlation_id)
        name = command.principal.name
        await claims_repository.store(self.connection, principal=name, key=command.key, answer=answer)
        return Refusal(answer, assessment)


def _merge(results: Sequence[_Result], changed: Mapping[int, _Result]) -> Sequence[_Result]:
    return [changed.get(place, result) for place, result in enumerate(results)]


def _replay(claim: Claim, command: Command) -> Reply | KeyReused | None:
    try:
        return claim.replay_to(command)
    except KeyReused as refusal:
        return refusal


class OutcomeBatches:
    """Resolves authorizations that no other process has touched since they were initiated."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batcher = Batcher[OutcomeChange, bool](
            self._resolve, most=BATCH_MAXIMUM, concurrency=CONCURRENT_BATCHES
        )

    async def resolve(self, change: OutcomeChange) -> bool:
        """Write a final change; False, with nothing written, if it is to be resolved under its lock.

        Raises DatabaseUnavailable as a transaction does.
        """
        return await self._batcher.submit(change)

    async def _resolve(self, changes: Sequence[OutcomeChange]) -> Sequence[bool]:
        try:
            async with self._database.transaction() as connection:
                resolved = await batch_repository.write_changes(connection, changes)
                ours = [change.resolved for change in changes if change.before.id in resolved]
                await post(connection, *(one.entry for one in ours if one.entry is not None))
        except _ROLLED_BACK:
            return [False] * len(changes)
        return [change.before.id in resolved for change in changes]
