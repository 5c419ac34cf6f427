"""Runs something again and again, whatever happens to the database."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from refpay.clock import Clock
from refpay.db.errors import DatabaseUnavailable

_LOG: Final = structlog.get_logger()


@dataclass(slots=True)
class Loop:
    """Repeats an action; never gives up, and remembers when it last went well."""

    name: str
    action: Callable[[], Awaitable[object]]
    interval_seconds: float
    clock: Clock
    succeeded_at: float | None = None

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self.run_once()
            await asyncio.sleep(self.interval_seconds)

    async def run_once(self) -> None:
        """Run the action; a failure is logged and over."""
        try:
            await self.action()
        except DatabaseUnavailable as problem:
            _LOG.warning("loop_failed", loop=self.name, problem=problem.detail)
        except Exception:  # noqa: BLE001 - the worker outlives whatever goes wrong in one round
            _LOG.exception("loop_failed", loop=self.name)
        else:
            self.succeeded_at = self.clock.monotonic()

    def is_healthy(self, *, within_seconds: float) -> bool:
        """Return whether the action went well recently, for a loop that rests between two runs."""
        if self.succeeded_at is None:
            return False
        return self.clock.monotonic() - self.succeeded_at <= within_seconds + self.interval_seconds
