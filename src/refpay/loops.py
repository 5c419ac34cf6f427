"""Runs something again and again, whatever happens to the database."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from refpay.clock import Clock
from refpay.db.errors import DatabaseUnavailable

_LOG: Final = structlog.get_logger()


class Loop:
    """Repeats an action; never gives up, and remembers when it last went well."""

    def __init__(
        self, name: str, action: Callable[[], Awaitable[object]], *, interval_seconds: float, clock: Clock
    ) -> None:
        self._name = name
        self._action = action
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._succeeded_at: float | None = None

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self.run_once()
            await asyncio.sleep(self._interval_seconds)

    async def run_once(self) -> None:
        """Run the action; a failure is logged and over."""
        try:
            await self._action()
        except DatabaseUnavailable as problem:
            _LOG.warning("loop_failed", loop=self._name, problem=problem.detail)
        except Exception:  # noqa: BLE001 - the worker outlives whatever goes wrong in one round
            _LOG.exception("loop_failed", loop=self._name)
        else:
            self._succeeded_at = self._clock.monotonic()

    def is_healthy(self, *, within_seconds: float) -> bool:
        """Return whether the action went well recently, for a loop that rests between two runs."""
        if self._succeeded_at is None:
            return False
        return self._clock.monotonic() - self._succeeded_at <= within_seconds + self._interval_seconds
