"""The objectives of a drill: all but those that the fault itself breaks have to hold from end to end.

They are counted over the whole drill, from the steady state before the fault to the one after the undo, and
judged on these counts: the worst moment of a short window is no verdict, and an average of ratios is none.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from moneypath.alerting.objective_counts import ObjectiveCounts
from moneypath.drills.scenario import Scenario
from moneypath.incidents.events import Event, EventLog
from moneypath.incidents.timeline import Kind
from moneypath.runbooks.holding import counted
from moneypath.runbooks.ports import Query

OBJECTIVES_AS: Final = "objectives"
"""The key under which a log's first event lists the declared objectives."""


def listed_objectives(objectives: Sequence[ObjectiveCounts]) -> list[dict[str, str]]:
    """Return the objectives as the first event of a log lists them."""
    return [{"id": one.id, "title": one.title, "objective": one.objective} for one in objectives]


async def record_objectives(
    objectives: Sequence[ObjectiveCounts], query: Query, log: EventLog, *, since_mono: float, scale: int
) -> None:
    """Record how many events each objective had since `since_mono`, and how many of them were bad."""
    real_seconds = log.now() - since_mono
    window = f"{math.ceil(real_seconds * scale)}s"  # production time, which the query shortens again
    counts: dict[str, dict[str, float | None]] = {}
    for one in objectives:
        valid = counted(await query(one.valid_query(window)))
        bad = counted(await query(one.bad_query(window)))
        # Where there are events and none of them is known to be bad, none is.
        counts[one.id] = {"valid": valid, "bad": bad if bad is not None or valid is None else 0.0}
    payload = {"counts": counts, "real_seconds": round(real_seconds, 3)}
    log.append(Kind.OBJECTIVES_MEASURED, "objectives", payload, source="prometheus")


def failures(scenario: Scenario, events: Sequence[Event]) -> Iterator[str]:
    """Yield each objective outside of the fault's own that was missed, or of which nothing is known."""
    declared = events[0].payload.get(OBJECTIVES_AS, ())
    if not declared:
        yield "the log lists no objective"
    measured = [event.payload for event in events if event.kind == Kind.OBJECTIVES_MEASURED]
    counts = measured[-1].get("counts", {}) if measured else {}
    for one in declared:
        if one["id"] not in scenario.expect.harmed_objectives:
            yield from _failure(one, counts.get(one["id"]) or {})


def _failure(declared: Mapping[str, str], counts: Mapping[str, Any]) -> Iterator[str]:
    name, objective = declared["id"], Decimal(declared["objective"])
    valid, bad = counts.get("valid"), counts.get("bad")
    if valid is None or bad is None or valid <= 0:
        yield f"objective {name} is not known to have held: no event was counted"
        return
    if bad > float(1 - objective) * valid:
        good = f"{100 * (1 - bad / valid):.4g} % of {valid:.0f} were good"
        yield f"objective {name} was missed: {good}, at least {objective * 100} %"
