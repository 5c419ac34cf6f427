"""Is the paging path alive? The watchdog always fires; its heartbeat has to reach the pager."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

EVERY_SECONDS: Final = 0.2


class HearsHeartbeats(Protocol):
    """What knows of heartbeats; the pager does."""

    async def heartbeat_at(self) -> float | None:
        """Return when the last one arrived, in seconds since the epoch, or None."""


async def silence(
    pager: HearsHeartbeats,
    *,
    since: float,
    within_seconds: float,
    now: Callable[[], float] = time.time,
) -> str:
    """Wait for a heartbeat later than `since` (epoch seconds); return what is wrong, "" when one came.

    Without one, an alert that does not page proves nothing about the alert.
    """
    deadline = now() + within_seconds
    while True:
        last = await pager.heartbeat_at()
        if last is not None and last > since:
            return ""
        if now() >= deadline:
            heard = "none at all" if last is None else f"the last one {now() - last:.1f} s ago"
            return f"no heartbeat of the watchdog reached the pager within {within_seconds:g} s, {heard}"
        await asyncio.sleep(EVERY_SECONDS)
