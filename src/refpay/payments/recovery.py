"""Resolve operations that were left open: query the provider, or send those that are ours to send."""

import asyncio
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import Final

import structlog

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.errors import InvariantViolation
from refpay.payments import repository
from refpay.payments.initiation import WORKER, provider_call
from refpay.payments.lifecycle import LIFE_CYCLE, Initiator
from refpay.payments.model import Operation
from refpay.payments.outcome_resolver import OutcomeResolver
from refpay.payments.outcomes import ReportedOutcome, interpret
from refpay.providers.errors import ProviderError
from refpay.providers.port import Call, CallKind, Provider

_LOG: Final = structlog.get_logger()
_BATCH: Final = 32
# In addition to the time-out of one attempt: time for the database before and after it.
_LEASE_SLACK_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class OperationRecovery:
    """Takes the unresolved operations that are due, each under a lease, so that one process works on it.

    A merchant's operation is queried and not sent again, because its card token is not stored. It is due
    when no process can still be sending it; only then does "unknown key" resolve it. What the worker
    initiated is sent again under the same key until the provider gives a definitive answer.
    """

    database: Database
    providers: Mapping[str, Provider]
    _: KW_ONLY
    resolver: OutcomeResolver
    clock: Clock
    pause_seconds: float
    attempt_seconds: float = 2.0

    async def run_once(self) -> int:
        """Take everything that is due and return how many operations were resolved.

        Raises DatabaseUnavailable.
        """
        await self.resolver.look_up_unanswered()
        resolved = 0
        while True:
            now = self.clock.now()
            async with self.database.transaction() as connection:
                due = await repository.take_due(
                    connection,
                    now,
                    lease_until=now + timedelta(seconds=self.attempt_seconds + _LEASE_SLACK_SECONDS),
                    pause_seconds=self.pause_seconds,
                    limit=_BATCH,
                )
            results = await asyncio.gather(*(self._resolve_safely(operation) for operation in due))
            resolved += sum(results)
            if len(due) < _BATCH or not any(results):
                return resolved

    async def _resolve_safely(self, operation: Operation) -> bool:
        try:
            outcome = await self._find_out(operation)
            if outcome is None:
                return False
            resolved = await self.resolver.resolve(operation, outcome, actor=WORKER)
        except Exception:  # noqa: BLE001 - one operation that cannot be resolved must not stop the others
            _LOG.exception("operation_not_resolved", operation_id=str(operation.id))
            return False
        return resolved.applied

    async def _find_out(self, operation: Operation) -> ReportedOutcome | None:
        async with self.database.transaction() as connection:
            subject = await repository.read_subject(connection, operation)
        now = self.clock.now()
        if LIFE_CYCLE[operation.kind].initiated_by is Initiator.WORKER:
            call = provider_call(subject, operation, deadline=operation.lease_until)
        elif now < operation.settle_after:
            raise InvariantViolation(f"operation is queried before its outcome deadline: {operation.id}")
        else:
            call = Call(kind=CallKind.QUERY, key=operation.provider_key, deadline=operation.lease_until)
        try:
            answer = await self.providers[subject.provider].perform(call)
        except ProviderError as problem:
            _LOG.warning("provider_does_not_say", operation_id=str(operation.id), problem=problem.detail)
            return None
        return interpret(answer, fencing_token=operation.query_attempts)
