"""Steps, their checks and the promises of actions are judged by what the log says, and missing is not met."""

from typing import Any

import pytest

from moneypath.drills.runbook_criteria import promise_failures, runbook_failures, steps_satisfied
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind

from .story import Story

HOLDING = "harm-stopped"


def judged(story: Story, events: list[Event]) -> list[str]:
    """Return what is wrong with how the runbook was followed."""
    return list(runbook_failures(story.scenario, events))


def is_step(event: Event) -> bool:
    """Tell whether a step of the runbook ended."""
    return event.kind == Kind.RUNBOOK_STEP


def is_holding(event: Event) -> bool:
    """Tell whether it is the step whose check has to hold."""
    return is_step(event) and event.payload["held"] is not None


@pytest.mark.parametrize("status", ["stopped", None])
def test_the_last_end_of_the_runbook_counts(status: str | None) -> None:
    """Alone, and after ends that were good."""
    story = Story()
    spoiled = {"status": status, "reason": "step 4"}
    alone = story.changed(lambda e: e.kind == Kind.RUNBOOK_ENDED, lambda _: spoiled)
    assert judged(story, alone) == [f"the runbook {status}: step 4"]
    for _ in range(2):
        story.add(180.0, Kind.RUNBOOK_ENDED, "runbook", {"status": "completed", "reason": ""})
    story.add(181.0, Kind.RUNBOOK_ENDED, "runbook", spoiled)
    assert judged(story, story.events) == [f"the runbook {status}: step 4"]


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({"seconds": 5.0, "events": 50}, None),
        ({"seconds": 5.0, "events": 49}, "satisfied after 5.0 s of 5.0 s (real), on 49 of 50 events"),
        ({"seconds": 4.9, "events": 50}, "satisfied after 4.9 s of 5.0 s (real), on 50 of 50 events"),
        ({"seconds": 5.0}, "satisfied after 5.0 s of 5.0 s (real), on 0 of 50 events"),
        ({"events": 50}, "satisfied after 0.0 s of 5.0 s (real), on 50 of 50 events"),
        (None, "satisfied after 0.0 s of 5.0 s (real), on 0 of 50 events"),
    ],
)
def test_a_check_has_to_hold_for_its_time_on_its_events(
    held: dict[str, float] | None, words: str | None
) -> None:
    """Exactly as declared is enough, and what is not said is nothing."""
    story = Story()
    failures = judged(story, story.changed(is_holding, lambda payload: payload | {"held": held}))
    steps = [event.subject for event in story.events if is_holding(event)]
    assert steps
    assert failures == ([] if words is None else [f"step {step} was {words}" for step in steps])


def test_only_the_end_of_a_step_is_judged() -> None:
    """Its start and its undo rest on no check, and another event is no step whatever its payload says."""
    story = Story()
    step = next(event for event in story.events if is_holding(event))
    weak = {**step.payload, "held": None}
    story.add(106.0, Kind.RUNBOOK_STEP, step.subject, weak | {"kind": "started"})
    story.add(190.0, Kind.UNDO, step.subject, weak | {"ok": True})
    assert judged(story, story.events) == []


def promised(**changed: Any) -> list[str]:
    """Return what is wrong when the drain's promise was counted so."""
    story = Story()
    events = story.changed(
        lambda e: e.kind == Kind.PROMISE_CHECKED and e.subject == "provider.drain",
        lambda payload: payload | changed,
    )
    return [failure.partition(": no new payment reaches north: ")[2] for failure in promise_failures(events)]


def test_a_broken_promise_says_what_was_counted() -> None:
    """Too many, not known, and known on too little."""
    assert promised() == []
    assert promised(found=2.0) == ["the provider's book has 2, exactly 0"]
    assert promised(found=None, reason="no book") == ["not known: no book"]
    assert promised(found=None) == ["not known: nobody counted"]
    (few,) = promised(evidence=3.0)
    assert few.startswith("only 3 ")
    (none,) = promised(evidence=None)
    assert none.startswith("only none ")


def test_a_step_without_an_action_promises_nothing() -> None:
    """A question to Prometheus or a manual step may leave the action out."""
    story = Story()
    checks = {
        event.subject for event in story.events if is_step(event) and not event.payload["idempotency_key"]
    }
    events = story.changed(
        lambda e: is_step(e) and e.subject in checks,
        lambda payload: {key: value for key, value in payload.items() if key != "action"},
    )
    assert list(promise_failures(events)) == []


def test_a_runbook_without_steps_satisfied_none() -> None:
    """Nothing done is nothing done well."""
    story = Story()
    assert steps_satisfied(story.events) == 1.0
    assert steps_satisfied(story.without(is_step)) == 0.0
