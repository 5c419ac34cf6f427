"""The score is a pure, bounded, monotone function of the event log, and every gate can fail a drill."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.drills.scoring import LogWithoutScenario, Scorecard, score
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind

from .story import DRILLS, EFFECT, FIRED, HARM_ENDED, Story

ALERT = "MoneyPathAuthorizationBudgetBurn"
NORTH = {"provider": "north", "severity": "critical"}


def test_a_drill_that_went_well_passes_with_full_marks() -> None:
    """The good story scores 1 and names no failure."""
    card = score(Story().events)
    assert (card.passed, card.score, card.failures) == (True, 1.0, ())
    assert card.times.fault_to_page == pytest.approx(3.1)


GATES: list[tuple[str, Callable[[Event], bool], str]] = [
    (
        "no steady state before",
        lambda e: e.kind == Kind.STEADY_STATE and e.payload.get("phase") == "before",
        "was not established",
    ),
    ("never measured", lambda e: e.kind == Kind.MEASURED, "p99 authorization latency was not known before"),
    ("no effect", lambda e: e.kind == Kind.FAULT_EFFECTIVE, "never took effect"),
    ("alert deleted", lambda e: e.kind == Kind.ALERT_FIRING, f"{ALERT} did not fire"),
    ("alert stuck", lambda e: e.kind == Kind.ALERT_RESOLVED, f"{ALERT} did not resolve"),
    ("no page to ops", lambda e: e.payload.get("role") == "ops", f"role ops was not paged by {ALERT}"),
    (
        "no ack by eng",
        lambda e: e.kind == Kind.PAGE_ACKNOWLEDGED and e.actor.role == "eng",
        f"role eng did not acknowledge {ALERT}",
    ),
    ("runbook never ended", lambda e: e.kind == Kind.RUNBOOK_ENDED, "not followed"),
    ("harm never ended", lambda e: e.kind == Kind.HARM_ENDED, "harm was not seen to end"),
    ("no undo", lambda e: e.kind == Kind.UNDO, "undo did not run"),
    (
        "no steady state after",
        lambda e: e.kind == Kind.STEADY_STATE and e.payload.get("phase") == "after",
        "did not return",
    ),
    ("no audit", lambda e: e.kind == Kind.LEDGER_TRUTH, "never audited"),
]


@pytest.mark.parametrize(("name", "spoiled", "words"), GATES, ids=[gate[0] for gate in GATES])
def test_each_missing_event_fails_the_drill_and_says_why(
    name: str, spoiled: Callable[[Event], bool], words: str
) -> None:
    """A missing event is never a gap: it caps the score below passing."""
    card = score(Story().without(spoiled))
    assert not card.passed, name
    assert card.score < 0.8
    assert any(words in failure for failure in card.failures), card.failures


def test_a_ledger_that_is_not_whole_makes_the_score_zero() -> None:
    """One discrepancy outweighs everything else, and is named."""
    story = Story()
    story.add(
        180.0, Kind.LEDGER_TRUTH, "ledger", {"whole": False, "discrepancies": ["capture without posting: r1"]}
    )
    card = score(story.events)
    assert card.score == 0.0
    assert "capture without posting: r1" in card.failures[0]


@pytest.mark.parametrize(
    ("kind", "payload", "words"),
    [
        (Kind.ALERT_FIRING, {"alert": "MoneyPathLedgerImbalance", "labels": {}}, "fired and must not"),
        (Kind.GUARDRAIL_HIT, {"reason": "too long"}, "guardrail hit: too long"),
        (Kind.STEADY_STATE_BROKEN, {"phase": "after", "reason": "x saw 1"}, "steady state broken: x saw 1"),
        (Kind.UNDO, {"ok": False}, "undo did not run"),
        (Kind.RUNBOOK_ENDED, {"status": "stopped", "reason": "step 4"}, "the runbook stopped: step 4"),
    ],
)
def test_each_unwanted_event_fails_the_drill(kind: Kind, payload: dict[str, object], words: str) -> None:
    """What must not happen fails the drill by its own sentence."""
    story = Story()
    story.add(190.0, kind, str(payload.get("alert", "subject")), payload)
    card = score(story.events)
    assert not card.passed
    assert any(words in failure for failure in card.failures), card.failures


def test_a_business_metric_that_is_not_known_is_no_zero() -> None:
    """Unknown after the fault fails the drill; unknown during it is shown as unknown."""
    story = Story()
    story.measured(191.0, "during", cost_per_transaction=None)
    assert score(story.events).passed
    cost = next(row for row in score(story.events).business if row.id == "cost_per_transaction")
    assert (cost.before, cost.during, cost.after) == (1.0, None, 1.0)
    story.measured(192.0, "after", cost_per_transaction=None)
    card = score(story.events)
    assert not card.passed
    assert card.failures == ("Cost per transaction was not known after the fault",)


def test_an_alert_of_another_provider_is_no_detection() -> None:
    """The labels of the scenario must match, or the alert has not fired."""
    story = Story()
    story.events = [
        event
        if event.kind != Kind.ALERT_FIRING
        else Event(
            event.seq,
            event.ts_wall,
            event.ts_mono,
            event.kind,
            event.actor,
            event.subject,
            {**event.payload, "labels": {**NORTH, "provider": "south"}},
        )
        for event in story.events
    ]
    assert any("did not fire" in failure for failure in score(story.events).failures)


def test_a_log_without_a_scenario_is_refused() -> None:
    """Nothing can be scored against nothing."""
    with pytest.raises(LogWithoutScenario):
        score(Story().events[1:])


MOVABLE = {
    "page": {Kind.ALERT_FIRING, Kind.PAGE_DELIVERED, Kind.PAGE_ACKNOWLEDGED},
    "acknowledgement": {Kind.PAGE_ACKNOWLEDGED},
    "end of harm": {Kind.HARM_ENDED, Kind.HARM_STAYED_ENDED},
    "proof that it lasts": {Kind.HARM_STAYED_ENDED},
}


@pytest.mark.parametrize("what", MOVABLE)
@given(first=st.floats(min_value=0, max_value=60), second=st.floats(min_value=0, max_value=60))
def test_the_score_is_bounded_and_never_rises_with_a_delay(what: str, first: float, second: float) -> None:
    """Delaying never helps, and no delay leaves 0 to 1."""
    early, late = sorted((first, second))
    cards = [score(_delayed(MOVABLE[what], by)) for by in (early, late)]
    assert 0.0 <= cards[1].score <= cards[0].score <= 1.0
    assert cards[0].passed or not cards[1].passed or what == "proof that it lasts"


@given(
    found=st.none() | st.floats(min_value=0, max_value=1e6),
    evidence=st.none() | st.floats(min_value=0, max_value=1e6),
)
def test_a_promise_is_kept_by_its_numbers_alone(found: float | None, evidence: float | None) -> None:
    """Nothing at the drained provider and enough at the others, or the drill fails."""
    story = Story()
    events = story.changed(
        lambda e: e.kind == Kind.PROMISE_CHECKED and e.subject == "provider.drain",
        lambda payload: payload | {"found": found, "evidence": evidence},
    )
    assert score(events).passed == (found == 0 and evidence is not None and evidence >= 20)


@given(valid=st.floats(min_value=1, max_value=1e6), share=st.floats(min_value=0, max_value=1))
def test_an_objective_holds_by_its_counts_alone(valid: float, share: float) -> None:
    """More bad events never turn a missed objective into a kept one."""
    passed = [_with_bad(valid, share * part).passed for part in (0.5, 1.0)]
    assert passed[0] or not passed[1]
    assert passed[1] == (share * valid <= 0.001 * valid or share == 0)


def _with_bad(valid: float, share: float) -> Scorecard:
    events = Story().changed(
        lambda e: e.kind == Kind.OBJECTIVES_MEASURED,
        lambda p: (
            p | {"counts": p["counts"] | {"ledger-write-success": {"valid": valid, "bad": share * valid}}}
        ),
    )
    return score(events)


@given(st.data())
def test_no_single_loss_raises_the_score(data: st.DataObject) -> None:
    """An event that is lost can only cost: nothing in a log is better unsaid, but what must not happen."""
    story = Story(data.draw(st.sampled_from(DRILLS)))
    lost = data.draw(st.sampled_from(story.events[1:]))
    card = score([event for event in story.events if event is not lost])
    assert 0.0 <= card.score <= 1.0 == score(story.events).score


@pytest.mark.parametrize("drill", DRILLS)
def test_the_order_of_the_log_does_not_matter(drill: str) -> None:
    """Watchers write when they see, not when it happened; only the first event has its place."""
    first, *rest = Story(drill).events
    assert score([first, *reversed(rest)]) == score([first, *rest])


def test_the_same_log_gives_the_same_card() -> None:
    """Anyone can compute it again."""
    assert score(Story().events) == score(Story().events)


def test_the_end_of_harm_is_measured_from_the_effect() -> None:
    """In real seconds of the log, and in production time beside its objective."""
    card = score(Story().events)
    assert card.times.mitigate == pytest.approx(HARM_ENDED - EFFECT)
    (part,) = (part for part in card.parts if part.name == "mitigate")
    assert part.measured_seconds == pytest.approx(720.0)
    assert part.objective_seconds == 22 * 60.0


def _delayed(kinds: set[Kind], by: float) -> list[Event]:
    return [
        replace(event, ts_mono=event.ts_mono + (by if event.kind in kinds else 0.0))
        for event in Story().events
    ]


def test_times_are_scored_at_the_scale_that_the_drill_ran_at() -> None:
    """The file says 60; run in production time, the same seconds are a sixtieth of what they were."""
    story = Story()
    ran = story.changed(
        lambda event: event.kind == Kind.DRILL_STARTED, lambda payload: payload | {"scale": 1}
    )
    card = score(ran)
    assert card.scale == 1
    detect = next(part for part in card.parts if part.name == "detect")
    assert detect.measured_seconds == FIRED - EFFECT
    assert any("5.0 s of 300.0 s (real)" in failure for failure in card.failures)


def test_a_log_that_says_no_scale_ran_at_that_of_its_file() -> None:
    """As every log did before the scale was an argument."""
    story = Story()
    older = story.changed(
        lambda event: event.kind == Kind.DRILL_STARTED,
        lambda payload: {key: value for key, value in payload.items() if key != "scale"},
    )
    assert score(older) == score(story.events)
