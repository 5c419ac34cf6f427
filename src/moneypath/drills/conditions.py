"""Check a drill's conditions on Prometheus, and wait until they are steady."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from moneypath.drills.parts import Condition
from moneypath.polling import poll_until
from moneypath.runbooks.ports import Query

FILL_ID: Final = "longest-window-is-filled"
EVERY_SECONDS: Final = 0.5
STEADY_FOR_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class ConditionResults:
    """One evaluation of all conditions: what each saw, and why those fail that do."""

    seen: Mapping[str, str]
    unmet: Mapping[str, str]


async def evaluate(conditions: Sequence[Condition], query: Query) -> ConditionResults:
    """Evaluate every condition once."""
    seen: dict[str, str] = {}
    unmet: dict[str, str] = {}
    for condition in conditions:
        result = condition.expectation.evaluate(await query(condition.query))
        seen[condition.id] = result.seen
        if not result.satisfied:
            unmet[condition.id] = f"saw {result.seen}, expected {condition.expectation}"
    return ConditionResults(seen, unmet)


async def wait_until_steady(
    conditions: Sequence[Condition],
    query: Query,
    *,
    within_seconds: float,
    steady_for_seconds: float = STEADY_FOR_SECONDS,
    every_seconds: float = EVERY_SECONDS,
) -> ConditionResults:
    """Wait until all conditions hold for `steady_for_seconds` without a break; return the last results."""
    since: float | None = None

    async def check() -> tuple[ConditionResults, bool]:
        nonlocal since
        results = await evaluate(conditions, query)
        now = time.monotonic()
        since = None if results.unmet else (now if since is None else since)
        return results, since is not None and now - since >= steady_for_seconds

    results, steady = await poll_until(
        check, lambda checked: checked[1], every_seconds=every_seconds, within_seconds=within_seconds
    )
    if steady or results.unmet:
        return results
    return ConditionResults(results.seen, {"steady": f"all hold, but not yet for {steady_for_seconds:g} s"})
