"""Hold a drill's conditions against Prometheus until they are steady."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from moneypath.drills.parts import Condition
from moneypath.runbooks.ports import Query

FILL_ID: Final = "longest-window-is-filled"
EVERY_SECONDS: Final = 0.5
STEADY_FOR_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Held:
    """One look at all conditions: what was seen of each, and what of that is not as expected."""

    seen: Mapping[str, str]
    unmet: Mapping[str, str]


async def look(conditions: Sequence[Condition], query: Query) -> Held:
    """Ask every condition once."""
    seen: dict[str, str] = {}
    unmet: dict[str, str] = {}
    for condition in conditions:
        verdict = condition.expectation.judge(await query(condition.query))
        seen[condition.id] = verdict.seen
        if not verdict.satisfied:
            unmet[condition.id] = f"saw {verdict.seen}, expected {condition.expectation}"
    return Held(seen, unmet)


async def wait_until_steady(
    conditions: Sequence[Condition],
    query: Query,
    *,
    within_seconds: float,
    steady_for_seconds: float = STEADY_FOR_SECONDS,
    every_seconds: float = EVERY_SECONDS,
) -> Held:
    """Wait until all hold without a break for `steady_for_seconds`; return the last look, unmet or not."""
    deadline = time.monotonic() + within_seconds
    since: float | None = None
    while True:
        held = await look(conditions, query)
        now = time.monotonic()
        since = None if held.unmet else (now if since is None else since)
        if since is not None and now - since >= steady_for_seconds:
            return held
        if now >= deadline:
            brief = {"steady": f"all hold, but not yet for {steady_for_seconds:g} s"}
            return Held(held.seen, held.unmet or brief)
        await asyncio.sleep(every_seconds)
