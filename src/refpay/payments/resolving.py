"""Settles what was left open: asks the provider what became of an operation, under the same key."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final

import structlog

from refpay.clock import Clock
from refpay.db.errors import DatabaseUnavailable
from refpay.db.pool import Database
from refpay.errors import InvariantViolation
from refpay.payments import repository
from refpay.payments.findings import judge
from refpay.payments.model import Operation
from refpay.payments.settler import Settler
from refpay.providers.errors import ProviderError
from refpay.providers.port import Answer, Call, CallKind, Provider

_LOG: Final = structlog.get_logger()
_BATCH: Final = 64
_QUERIES_AT_ONCE: Final = 8
_PAUSE_MOST_SECONDS: Final = 5.0


class Resolver:
    """Goes through the unresolved operations whose deadline has passed.

    Only then does "unknown key" settle anything: before, an API process might still be sending.
    """

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, Provider],
        *,
        settler: Settler,
        clock: Clock,
        pause_seconds: float,
    ) -> None:
        self._database = database
        self._providers = providers
        self._settler = settler
        self._clock = clock
        self._pause_seconds = pause_seconds

    async def run_once(self) -> int:
        """Ask about everything that is due; return how many operations were settled.

        Raises DatabaseUnavailable.
        """
        await self._settler.look_up_unanswered()
        settled = 0
        while True:
            async with self._database.transaction() as connection:
                due = await repository.read_due(connection, self._clock.now(), limit=_BATCH)
            seats = asyncio.Semaphore(_QUERIES_AT_ONCE)
            results = await asyncio.gather(*(self._resolve_seated(seats, operation) for operation in due))
            settled += sum(results)
            if len(due) < _BATCH or not any(results):
                return settled

    async def _resolve_seated(self, seats: asyncio.Semaphore, operation: Operation) -> bool:
        async with seats:
            try:
                return await self._resolve(operation)
            except Exception:  # noqa: BLE001 - one operation that cannot be settled must not stop the others
                _LOG.exception("operation_not_resolved", operation_id=str(operation.id))
            with suppress(DatabaseUnavailable):
                await self._postpone(operation)
            return False

    async def _resolve(self, operation: Operation) -> bool:
        answer = await self._ask(operation)
        if answer is None:
            await self._postpone(operation)
            return False
        settlement = await self._settler.settle(operation, judge(answer), actor="worker")
        return settlement.applied

    async def _ask(self, operation: Operation) -> Answer | None:
        async with self._database.transaction() as connection:
            payment = await repository.read_payment(connection, operation.payment_id)
        if payment is None:
            raise InvariantViolation(f"operation has no payment: {operation.id}")
        now = self._clock.now()
        if now < operation.settle_after:
            raise InvariantViolation(f"operation is judged before its deadline: {operation.id}")
        call = Call(kind=CallKind.QUERY, key=operation.provider_key, deadline=now + timedelta(seconds=60))
        try:
            return await self._providers[payment.provider].perform(call)
        except ProviderError as problem:
            _LOG.warning("provider_does_not_say", operation_id=str(operation.id), problem=problem.detail)
            return None

    async def _postpone(self, operation: Operation) -> None:
        pause = min(_PAUSE_MOST_SECONDS, self._pause_seconds * 2 ** min(operation.query_attempts, 16))
        async with self._database.transaction() as connection:
            await repository.postpone(connection, operation.id, self._clock.now() + timedelta(seconds=pause))
