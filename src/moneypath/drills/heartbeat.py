"""Check that the paging path works: the watchdog always fires, so its heartbeat has to reach the pager."""

import time
from collections.abc import Callable
from typing import Final, Protocol

from moneypath.alerting.timing import Scale
from moneypath.polling import poll_until

EVERY_SECONDS: Final = 0.2
AT_LEAST_SECONDS: Final = 20.0
# One may have come just before, and one may be late.
BEATS: Final = 2


def heartbeat_seconds(scale: int) -> float:
    """Return for how many real seconds a heartbeat is awaited: it beats by the scale of the stack."""
    timing = Scale(scale).timing
    return max(AT_LEAST_SECONDS, float(BEATS * (timing.heartbeat_seconds + timing.delay_seconds)))


class HeartbeatSource(Protocol):
    """Knows when the last heartbeat arrived; the pager does."""

    async def heartbeat_at(self) -> float | None:
        """Return when the last heartbeat arrived, in Unix seconds, or None."""


async def await_heartbeat(
    pager: HeartbeatSource,
    *,
    since: float,
    within_seconds: float,
    now: Callable[[], float] = time.time,
) -> str:
    """Wait for a heartbeat later than `since` (Unix seconds); return what is wrong, or "" when one came.

    Without a heartbeat, an alert that does not page proves nothing about the alert.
    """
    last = await poll_until(
        pager.heartbeat_at,
        lambda at: at is not None and at > since,
        every_seconds=EVERY_SECONDS,
        within_seconds=within_seconds,
    )
    if last is not None and last > since:
        return ""
    last_seen = "none at all" if last is None else f"the last one {now() - last:.1f} s ago"
    return f"no heartbeat of the watchdog reached the pager within {within_seconds:g} s, {last_seen}"
