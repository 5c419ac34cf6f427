"""The pass criteria of a drill, read from the event log alone: each sentence is a reason to fail it."""

from collections.abc import Sequence

from moneypath.drills import business, objectives, second_person
from moneypath.drills.harm_criteria import harm_failures, repair_failures
from moneypath.drills.metric_comparison import is_uncompared, metric_failures
from moneypath.drills.paging_criteria import paging_failures
from moneypath.drills.runbook_criteria import promise_failures, runbook_failures
from moneypath.drills.scenario import Scenario
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind

MAX_SHOWN = 5
METRICS_SINCE = 3
"""The first version of the rules that compares the metrics with clients and books."""
REPAIR_SINCE = 4
"""The first version of the rules that asks for a repair before the end of harm."""
TARGETS_SINCE = 5
"""The first version of the rules by which the first event of a log tells a target's promises, and a page is
of an alert with the expected labels."""
NOT_KNOWN = "unknown"


def ledger_failures(scenario: Scenario, events: Sequence[Event]) -> tuple[str, ...]:
    """Return why the ledger is not known to be whole; these reasons make the score 0.

    A drill may say beforehand that the money is not known, where nobody can audit it; what was audited and
    is not whole fails all the same.
    """
    truths = [event for event in events if event.kind == Kind.LEDGER_TRUTH]
    if not truths:
        return ("the ledger was never audited",)
    last = truths[-1].payload
    if last.get("whole") is True:
        return ()
    if scenario.expect.ledger_truth == NOT_KNOWN and last.get("whole") == NOT_KNOWN:
        return ()
    found = [str(text) for text in last.get("discrepancies", ())] or ["no reason recorded"]
    return (f"the ledger is not whole: {'; '.join(found[:MAX_SHOWN])}",)


def unmet_criteria(scenario: Scenario, events: Sequence[Event], rules: int) -> tuple[str, ...]:
    """Return every other reason to fail: deviations, alerts, pages, runbook, promises, harm, objectives;
    metrics that lie, from METRICS_SINCE on, and harm that nobody repaired, from REPAIR_SINCE on.
    """
    found = _deviations(events)
    if not _steady_state_held(events, "before"):
        found.append("steady state was not established before the fault")
    effective = next((event for event in events if event.kind == Kind.FAULT_EFFECTIVE), None)
    if effective is None:
        return (*found, "the fault never took effect")
    found += paging_failures(scenario, events, effective.ts_mono, labelled=rules >= TARGETS_SINCE)
    found += runbook_failures(scenario, events)
    found += promise_failures(events, listed=rules >= TARGETS_SINCE)
    found += second_person.failures(scenario, events)
    found += harm_failures(scenario, events)
    if rules >= REPAIR_SINCE:
        found += repair_failures(events)
    if not _steady_state_held(events, "after"):
        found.append("steady state did not return after the undo")
    undone = [event for event in events if event.kind == Kind.UNDO]
    if not undone or not all(event.payload.get("ok") is True for event in undone):
        found.append("the undo did not run to its end")
    found += business.failures(events)
    found += objectives.failures(scenario, events)
    if rules >= METRICS_SINCE and not (rules >= TARGETS_SINCE and is_uncompared(events)):
        found += metric_failures(events)
    return tuple(found)


def _deviations(events: Sequence[Event]) -> list[str]:
    titles = {
        Kind.STEADY_STATE_BROKEN: "steady state broken",
        Kind.FAULT_INEFFECTIVE: "fault without effect",
        Kind.GUARDRAIL_HIT: "guardrail hit",
    }
    return [
        f"{titles[Kind(event.kind)]}: {event.payload.get('reason') or event.subject}"
        for event in events
        if event.kind in titles
    ]


def _steady_state_held(events: Sequence[Event], phase: str) -> bool:
    return any(event.kind == Kind.STEADY_STATE and event.payload.get("phase") == phase for event in events)
