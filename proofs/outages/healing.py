"""Watch whether a stack is whole again after an outage, and since when."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import asyncpg
from proofs.crash_test.client_answers import AcknowledgementTail
from proofs.crash_test.message_effects import connect
from proofs.outages.pages import Delivered

from moneypath.errors import MoneypathError
from moneypath.incidents.paging import Pager
from moneypath.prometheus import Prometheus
from moneypath.stack.endpoints import Endpoints

POLL_SECONDS: Final = 0.5
# Longer than the longest hold and the windows of most alerts at this scale: what is late to cry is heard.
STAYS_WHOLE_SECONDS: Final = 15.0
CAPTURES_AFTERWARDS: Final = 20
_ANSWER_SECONDS: Final = 5.0
_HEARTBEAT_SECONDS: Final = 5.0
_NOT_YET: Final = (OSError, TimeoutError, aiohttp.ClientError, asyncpg.PostgresError, MoneypathError)
# What was written before the outage ended and has not had its effects; later messages are on their way.
_BEHIND: Final = """
    SELECT (SELECT count(*) FROM outbox.event WHERE published_at IS NULL AND at < to_timestamp($1))
         + (SELECT count(*) FROM payments.operation
            WHERE settled_at < to_timestamp($1) AND NOT (
                EXISTS (SELECT FROM messages.notification WHERE operation_id = operation.id)
                AND EXISTS (SELECT FROM messages.compliance_entry
                            WHERE (body::jsonb ->> 'operation_id')::uuid = operation.id)))
"""

Holds = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Healing:
    """How a stack came back: seconds from the end of the outage, None for what did not come back."""

    seconds: float | None
    parts: Mapping[str, float | None]

    @property
    def last(self) -> str:
        """Return the part that took longest, or those that are missing."""
        missing = [name for name, seconds in self.parts.items() if seconds is None]
        if missing:
            return ", ".join(missing)
        return max(self.parts, key=lambda name: self.parts[name] or 0.0)


async def await_whole(parts: Mapping[str, Holds], ended: float, patience_seconds: float) -> Healing:
    """Wait until all parts hold and go on to hold for a while; `ended` is monotonic.

    A part that breaks again begins anew. What does not answer does not hold.
    """
    since: dict[str, float | None] = dict.fromkeys(parts)
    deadline = ended + patience_seconds + STAYS_WHOLE_SECONDS
    while time.monotonic() < deadline:
        for name, holds in parts.items():
            if not await _answers(holds):
                since[name] = None
            elif since[name] is None:
                since[name] = time.monotonic() - ended
        found = [seconds for seconds in since.values() if seconds is not None]
        if len(found) == len(parts) and time.monotonic() - ended - max(found) >= STAYS_WHOLE_SECONDS:
            return Healing(max(found), since)
        await asyncio.sleep(POLL_SECONDS)
    return Healing(None, since)


async def _answers(holds: Holds) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await holds()
    except _NOT_YET:
        return False


@dataclass(slots=True)
class StackParts:
    """What has to hold of a stack: payments, readiness, messages, alerts, pages, and the heartbeat."""

    endpoints: Endpoints
    pager: Pager
    tail: AcknowledgementTail
    delivered: Delivered
    ended: float = field(default=0.0)
    captures: int = field(default=0)

    def begin(self) -> None:
        """Note that the outage is over: from now on is judged."""
        self.ended, self.captures = time.time(), self.tail.read()

    def parts(self) -> Mapping[str, Holds]:
        """Return each part, and whether it holds."""
        return {
            "payments": self._pays,
            "readiness": self._is_ready,
            "messages": self._has_told,
            "alerts": self._is_quiet,
            "pages": self._pages_are_over,
            "heartbeat": self._beats,
        }

    async def _pays(self) -> bool:
        return self.tail.read() >= self.captures + CAPTURES_AFTERWARDS

    async def _is_ready(self) -> bool:
        addresses = (self.endpoints.service, self.endpoints.worker)
        async with aiohttp.ClientSession() as session:
            for address in addresses:
                async with session.get(f"{address}/readyz") as answer:
                    if answer.status != 200:
                        return False
        return True

    async def _has_told(self) -> bool:
        connection = await connect(self.endpoints)
        try:
            return bool(await connection.fetchval(_BEHIND, self.ended) == 0)
        finally:
            await connection.close()

    async def _is_quiet(self) -> bool:
        return not await firing(self.endpoints)

    async def _pages_are_over(self) -> bool:
        await self.delivered.read(self.pager)
        return self.delivered.all_resolved

    async def _beats(self) -> bool:
        last = await self.pager.heartbeat_at()
        return last is not None and last > max(self.ended, time.time() - _HEARTBEAT_SECONDS)


async def firing(endpoints: Endpoints) -> frozenset[str]:
    """Return the critical alerts that fire now."""
    samples = await Prometheus(endpoints.prometheus).query('ALERTS{severity="critical", alertstate="firing"}')
    return frozenset(sample.labels["alertname"] for sample in samples)
