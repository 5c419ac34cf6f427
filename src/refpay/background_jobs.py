"""Run actions at an interval and log their failures."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from refpay.clock import Clock
from refpay.db.errors import DatabaseUnavailable

_LOG: Final = structlog.get_logger()


@dataclass(slots=True)
class BackgroundJob:
    """An action that runs at an interval. It never stops by itself and remembers when it last succeeded.

    `trouble` returns what is wrong beside the job, although it succeeds.
    """

    name: str
    action: Callable[[], Awaitable[object]]
    interval_seconds: float
    clock: Clock
    succeeded_at: float | None = None
    trouble: Callable[[], str | None] = lambda: None

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self.run_once()
            await asyncio.sleep(self.interval_seconds)

    async def run_once(self) -> None:
        """Run the action once. A failure is logged and not raised."""
        try:
            await self.action()
        except DatabaseUnavailable as problem:
            _LOG.warning("loop_failed", loop=self.name, problem=problem.detail)
        except Exception:  # noqa: BLE001 - one failed run must not end the worker
            _LOG.exception("loop_failed", loop=self.name)
        else:
            self.succeeded_at = self.clock.monotonic()

    def is_healthy(self, *, within_seconds: float) -> bool:
        """Return whether the action succeeded within so many seconds and one interval."""
        if self.succeeded_at is None:
            return False
        return self.clock.monotonic() - self.succeeded_at <= within_seconds + self.interval_seconds
