"""Judge from the event log whether the runbook was followed, its checks held, and actions kept promises.

The first event of a log lists the checks that have to hold: no later event can make one easier.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from moneypath.drills.scenario import Scenario
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind
from moneypath.runbooks import ACTION_PROMISES, EventKind, Outcome, Runbook, Status
from moneypath.runbooks.holding import Hold
from moneypath.runbooks.model import StepType
from moneypath.runbooks.promises import Promise

HOLDS_AS: Final = "holds"
"""The key under which a log's first event lists the steps whose answer has to hold."""
PROMISES_AS: Final = "promises"
"""The key under which a log's first event lists what the operator actions of its target promise."""
# The log rounds to milliseconds.
_TOLERANCE_SECONDS: Final = 0.001


def listed_holds(runbook: Runbook) -> dict[str, dict[str, float]]:
    """Return the steps that have to hold as the first event of a log lists them; seconds are production."""
    return {
        step.id: {"for_seconds": step.hold.for_seconds, "min_events": step.hold.min_events}
        for step in runbook.steps
        if step.hold
    }


def runbook_failures(scenario: Scenario, events: Sequence[Event]) -> Iterator[str]:
    """Yield why the runbook was not followed to its end, or which of its checks was satisfied too easily."""
    ended = [event for event in events if event.kind == Kind.RUNBOOK_ENDED]
    if not ended:
        yield "the runbook was not followed to any end"
    elif ended[-1].payload.get("status") != Status.COMPLETED:
        yield f"the runbook {ended[-1].payload.get('status')}: {ended[-1].payload.get('reason')}"
    holds = events[0].payload.get(HOLDS_AS)
    if not isinstance(holds, Mapping):
        yield "the log does not list which checks have to hold"
        return
    for step in _steps(events):
        if step.subject in holds and step.payload.get("outcome") == Outcome.SATISFIED:
            yield from _too_easy(step, holds[step.subject], scenario.clock.scale)


def _too_easy(step: Event, declared: Mapping[str, Any], scale: int) -> Iterator[str]:
    hold = Hold(float(declared["for_seconds"]), int(declared["min_events"]), "")
    held = step.payload.get("held") or {}
    seconds, counted = float(held.get("seconds", 0)), float(held.get("events", 0))
    needed = hold.real_seconds(scale)
    if seconds < needed - _TOLERANCE_SECONDS or counted < hold.min_events:
        yield (
            f"step {step.subject} was satisfied after {seconds:.1f} s of {needed:.1f} s (real), "
            f"on {counted:.0f} of {hold.min_events} events"
        )


def promise_failures(events: Sequence[Event], *, listed: bool = True) -> Iterator[str]:
    """Yield each promise of an operator action that was broken, and each that nobody looked at.

    `listed`: those that the first event lists count; without a list, those that we know.
    """
    promises = _promises(events) if listed else ACTION_PROMISES
    checked = [event for event in events if event.kind == Kind.PROMISE_CHECKED]
    for event in checked:
        yield from _broken(event.payload, promises)
    looked_at = {(event.payload.get("action"), event.payload.get("key")) for event in checked}
    for step in mitigations_done(events):
        action = [str(word) for word in step.payload["action"]]
        if (action[0], step.payload.get("idempotency_key")) not in looked_at:
            yield f"promise of {' '.join(action)} was not looked at"


def mitigations_done(events: Sequence[Event]) -> Iterator[Event]:
    """Yield the end of each step whose operator action was taken and answered."""
    for step in _steps(events):
        acted = step.payload.get("type") == StepType.MITIGATE and bool(step.payload.get("action"))
        if acted and step.payload.get("outcome") == Outcome.SATISFIED:
            yield step


def _promises(events: Sequence[Event]) -> Mapping[str, Promise]:
    given = events[0].payload.get(PROMISES_AS) if events else None
    if not isinstance(given, Mapping):
        return ACTION_PROMISES
    return {str(name): Promise.read(one) for name, one in given.items()}


def _broken(payload: Mapping[str, Any], promises: Mapping[str, Promise]) -> Iterator[str]:
    name, argument = str(payload.get("action")), str(payload.get("argument"))
    promise = promises.get(name)
    if promise is None:
        yield f"promise of {name} {argument} is not declared"
        return
    found, evidence = payload.get("found"), payload.get("evidence")
    if promise.kept(found, evidence):
        return
    title = f"promise of {name} broken: {promise.describe(argument)}"
    if found is None:
        yield f"{title}: not known: {payload.get('reason') or 'nobody counted'}"
    elif not promise.kept(found, promise.least_evidence):
        yield f"{title}: {promise.witness} has {found:g}, {promise.bounds}"
    else:
        few = "none" if evidence is None else f"{evidence:g}"
        yield f"{title}: only {few} {promise.evidence}, at least {promise.least_evidence}"


def steps_satisfied(events: Sequence[Event]) -> float:
    """Return the share of the executed steps whose last outcome was satisfied; 0 when none ran."""
    last = {
        event.subject: event.payload.get("outcome") for event in events if event.kind == Kind.RUNBOOK_STEP
    }
    satisfied = sum(outcome == Outcome.SATISFIED for outcome in last.values())
    return satisfied / len(last) if last else 0.0


def _steps(events: Sequence[Event]) -> Iterator[Event]:
    """Yield the end of each step that was followed; an undo is not one."""
    return (
        event
        for event in events
        if event.kind == Kind.RUNBOOK_STEP and event.payload.get("kind") == EventKind.FINISHED
    )
