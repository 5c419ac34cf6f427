"""Settles what was left open, one process at a time: asks the provider, or sends what is ours to send."""

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
from refpay.payments.beginning import WORKER, call_of
from refpay.payments.findings import Finding, judge
from refpay.payments.lifecycle import LIFE_CYCLE, Beginner
from refpay.payments.model import Operation
from refpay.payments.settler import Settler
from refpay.providers.errors import ProviderError
from refpay.providers.port import Call, CallKind, Provider

_LOG: Final = structlog.get_logger()
_BATCH: Final = 32
# Over the longest time-out of one attempt: for the database before and after it.
_LEASE_SLACK_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Resolver:
    """Goes through the unresolved operations whose turn has come, each under a lease.

    A merchant's operation is asked about, since its card token is not kept; its turn comes when nobody may
    be sending it any more, and only then does "unknown key" settle anything. What the worker began is sent
    again, under the same key, until the provider says something definitive.
    """

    database: Database
    providers: Mapping[str, Provider]
    _: KW_ONLY
    settler: Settler
    clock: Clock
    pause_seconds: float
    attempt_seconds: float = 2.0

    async def run_once(self) -> int:
        """Take everything that is due; return how many operations were settled.

        Raises DatabaseUnavailable.
        """
        await self.settler.look_up_unanswered()
        settled = 0
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
            settled += sum(results)
            if len(due) < _BATCH or not any(results):
                return settled

    async def _resolve_safely(self, operation: Operation) -> bool:
        try:
            finding = await self._find_out(operation)
            if finding is None:
                return False
            settlement = await self.settler.settle(operation, finding, actor=WORKER)
        except Exception:  # noqa: BLE001 - one operation that cannot be settled must not stop the others
            _LOG.exception("operation_not_resolved", operation_id=str(operation.id))
            return False
        return settlement.applied

    async def _find_out(self, operation: Operation) -> Finding | None:
        async with self.database.transaction() as connection:
            subject = await repository.read_subject(connection, operation)
        now = self.clock.now()
        if LIFE_CYCLE[operation.kind].begun_by is Beginner.WORKER:
            call = call_of(subject, operation, deadline=operation.lease_until)
        elif now < operation.settle_after:
            raise InvariantViolation(f"operation is judged before its deadline: {operation.id}")
        else:
            call = Call(kind=CallKind.QUERY, key=operation.provider_key, deadline=operation.lease_until)
        try:
            answer = await self.providers[subject.provider].perform(call)
        except ProviderError as problem:
            _LOG.warning("provider_does_not_say", operation_id=str(operation.id), problem=problem.detail)
            return None
        return judge(answer, turn=operation.query_attempts)
