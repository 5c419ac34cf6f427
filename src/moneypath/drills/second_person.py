"""Whether the second person approved what the runbook may not do without, read from the event log alone."""

from collections.abc import Iterator, Sequence
from typing import Final

from moneypath.drills.scenario import Scenario
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind
from moneypath.runbooks import Approval
from moneypath.runbooks.record import Outcome

ORDER_SECONDS: Final = 5.0
"""An approval may be logged this much after what it approved: both logs wait for an answer of the service."""


def failures(scenario: Scenario, events: Sequence[Event]) -> Iterator[str]:
    """Yield a sentence for each approval that a drill with a second person has to show and does not.

    A service that acts without asking is as unapproved as one that nobody answered.
    """
    approvals = [event for event in events if event.kind == Kind.APPROVED]
    for role, responder in scenario.responders.items():
        if responder.approves and not any(event.actor.role == role for event in approvals):
            yield f"role {role} approved nothing, and the drill needs a second person"
    for step in events:
        if step.kind == Kind.RUNBOOK_STEP:
            yield from _step_failures(step, approvals)


def _step_failures(step: Event, approvals: Sequence[Event]) -> Iterator[str]:
    payload, operator = step.payload, step.actor.principal
    needed = payload.get("approval", Approval.NONE)
    if needed == Approval.NONE or payload.get("outcome") != Outcome.SATISFIED:
        return
    if needed == Approval.IN_SERVICE:
        action = next(iter(payload.get("action", ())), "")
        approvers = {
            event.actor.principal
            for event in approvals
            if event.payload.get("action") == action and event.ts_mono <= step.ts_mono + ORDER_SECONDS
        }
    else:
        approvers = {str(payload["approved_by"])} if payload.get("approved_by") else set()
    if not approvers:
        yield f"step {step.subject} was done without a second person's approval"
    elif approvers == {operator}:
        yield f"step {step.subject} was approved by {operator}, who also did it"
