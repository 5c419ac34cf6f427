"""Each part of the score falls as it says, and no part hides behind another."""

from collections.abc import Mapping

import pytest

from moneypath.drills.scoring import LogWithoutScenario, Scorecard, _within, score
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind

from .story import FIRED, Story

NEVER_ENDED = "no reason recorded"


def quiet_alerts(story: Story, count: int) -> Story:
    """Add alerts that page nobody."""
    for number in range(count):
        story.alert(FIRED, f"MoneyPathTicket{number}", {}, severity="warning")
    return story


def parts(card: Scorecard) -> Mapping[str, float]:
    """Return the score of each part."""
    return {part.name: part.score for part in card.parts}


def passing_at(story: Story, least: float) -> list[Event]:
    """Return the story of a drill that passes only from another score on."""
    return story.changed(
        lambda event: event.kind == Kind.DRILL_STARTED,
        lambda payload: (
            payload | {"scenario": payload["scenario"].replace("pass_at: 0.8", f"pass_at: {least}")}
        ),
    )


@pytest.mark.parametrize(
    ("seconds", "objective", "worth"),
    [
        (None, 10.0, 0.0),
        (10.0, 10.0, 1.0),
        (15.0, 10.0, 0.5),
        (20.0, 10.0, 0.0),
        (90.0, 10.0, 0.0),
        (0.75, 0.5, 0.5),
        (0.0, 0.0, 1.0),
        (1.0, 0.0, 0.0),
    ],
)
def test_a_time_is_worth_less_from_its_objective_to_twice_that(
    seconds: float | None, objective: float, worth: float
) -> None:
    """Nothing is worth less than nothing, and what must take no time is worth all or nothing."""
    assert _within(seconds, objective) == worth


@pytest.mark.parametrize(("more", "worth"), [(0, 1.0), (3, 1.0), (5, 0.5), (7, 0.0), (11, 0.0)])
def test_alerts_beyond_the_budget_cost_the_quiet(more: int, worth: float) -> None:
    """One alert is expected, four may fire, and twice as many are worth nothing."""
    card = score(quiet_alerts(Story(), more).events)
    assert parts(card) == dict.fromkeys(parts(card), 1.0) | {"quiet": worth}


def test_a_step_that_failed_costs_the_runbook_and_not_the_quiet() -> None:
    """Each part is measured by its own."""
    story = Story()
    steps = [event for event in story.events if event.kind == Kind.RUNBOOK_STEP]
    card = score(story.changed(lambda event: event is steps[0], lambda p: p | {"outcome": "failed"}))
    assert parts(card)["runbook"] == pytest.approx(1 - 1 / len(steps))
    assert parts(card)["quiet"] == 1.0


def test_a_score_below_the_least_fails_by_itself() -> None:
    """With no other reason, and the least itself passes."""
    full = score(passing_at(Story(), 1.0))
    assert (full.passed, full.score, full.failures) == (True, 1.0, ())
    card = score(passing_at(quiet_alerts(Story(), 5), 1.0))
    assert (card.passed, card.failures) == (False, ("score 0.96 is below 1.00",))


def test_harm_that_was_not_shown_to_end_has_no_time() -> None:
    """An end that came back, or that nobody saw last, is no mitigation however early it was."""
    card = score(Story().without(lambda event: event.kind == Kind.HARM_STAYED_ENDED))
    assert card.times.mitigate is None
    assert parts(card)["mitigate"] == 0.0


def test_a_ledger_that_is_not_whole_fails_without_a_reason_too() -> None:
    """Whoever audited it may have died before saying what was wrong."""
    for payload in ({"whole": False}, {"whole": False, "discrepancies": []}, {}, {"whole": 1}):
        story = Story()
        story.add(190.0, Kind.LEDGER_TRUTH, "ledger", payload)
        card = score(story.events)
        assert (card.score, card.failures[0]) == (0.0, f"the ledger is not whole: {NEVER_ENDED}")


def test_only_a_log_that_begins_with_its_scenario_is_scored() -> None:
    """An empty log, another first event, and a start without its file are refused with what to do."""
    first, *rest = Story().events
    other = Event(1, 0.0, 0.0, Kind.STEADY_STATE, first.actor, "before", first.payload)
    bare = Event(1, 0.0, 0.0, Kind.DRILL_STARTED, first.actor, "drill", {"scale": 60})
    for events in ([], [other, *rest], [bare, *rest], rest):
        with pytest.raises(LogWithoutScenario, match="does not begin with a scenario") as caught:
            score(events)
        assert caught.value.hint
