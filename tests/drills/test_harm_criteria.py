"""Harm ends by the repair, before the fault does, in time, and is shown on enough events to stay over."""

import pytest

from moneypath.drills.harm_criteria import harm_failures, mitigated_after
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind

from .story import EFFECT, HARM_ENDED, Story

NOT_SEEN = "customer harm was not seen to end"
BY_ITSELF = "customer harm ended only when the fault was over by itself"
HOLD = 5.0


def judged(story: Story, events: list[Event] | None = None) -> list[str]:
    """Return what is wrong with the end of harm."""
    return list(harm_failures(story.scenario, story.events if events is None else events))


def untold() -> Story:
    """Return a story that tells nothing of harm."""
    story = Story()
    story.events = story.without(
        lambda event: event.kind in (Kind.HARM_STARTED, Kind.HARM_ENDED, Kind.HARM_STAYED_ENDED)
    )
    return story


def told(*changes: tuple[float, Kind, float]) -> Story:
    """Return a story with these changes of harm: instant, kind, events counted so far."""
    story = untold()
    for change in changes:
        story.harm(*change)
    return story


def test_harm_that_was_never_seen_is_not_known_to_have_ended() -> None:
    """An end without a beginning proves nothing."""
    story = Story()
    assert judged(story, story.without(lambda event: event.kind == Kind.HARM_STARTED)) == [NOT_SEEN]


def test_the_last_end_is_judged_and_not_an_earlier_one() -> None:
    """The first dip lasted too, by what is said of the second."""
    story = told(
        (101, Kind.HARM_STARTED, 1000), (104, Kind.HARM_ENDED, 1100), (106, Kind.HARM_STARTED, 1150),
        (123, Kind.HARM_ENDED, 1200), (128, Kind.HARM_STAYED_ENDED, 1300),
    )  # fmt: skip
    assert judged(story) == ["customer harm ended after 23 min, allowed 22 min"]
    assert mitigated_after(story.scenario, story.events) == 23


def test_harm_may_end_as_late_as_allowed() -> None:
    """The limit itself is within it."""
    story = told(
        (101, Kind.HARM_STARTED, 1000), (122, Kind.HARM_ENDED, 1200), (127, Kind.HARM_STAYED_ENDED, 1250)
    )
    assert judged(story) == []


@pytest.mark.parametrize(
    ("seconds", "events", "kept"),
    [(HOLD, 50, True), (HOLD, 49, False), (HOLD - 0.01, 50, False), (HOLD + 9, 50, True)],
)
def test_an_end_is_shown_for_a_time_and_on_events(seconds: float, events: float, kept: bool) -> None:
    """Exactly as long and as many as declared is enough."""
    story = told(
        (101, Kind.HARM_STARTED, 1000), (HARM_ENDED, Kind.HARM_ENDED, 1200),
        (HARM_ENDED + seconds, Kind.HARM_STAYED_ENDED, 1200 + events),
    )  # fmt: skip
    assert (judged(story) == []) is kept
    assert (mitigated_after(story.scenario, story.events) is not None) is kept


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_the_first_proof_that_an_end_lasts_is_the_one(seconds: float) -> None:
    """In whichever order the log has them, a later one cannot lend it its time."""
    story = told(
        (101, Kind.HARM_STARTED, 1000), (112, Kind.HARM_ENDED, 1200),
        (125, Kind.HARM_STAYED_ENDED, 1900), (112 + seconds, Kind.HARM_STAYED_ENDED, 1400),
    )  # fmt: skip
    (failure,) = judged(story)
    words = f"customer harm was not shown to stay over: {seconds:.1f} s of 5.0 s (real), on 200 of 50 events"
    assert failure == words


@pytest.mark.parametrize(
    ("logged", "ended", "failures"),
    [
        (None, 112.0, []),
        (None, 130.0, [BY_ITSELF, "customer harm ended after 30 min, allowed 22 min"]),
        (112.0 + HOLD, 112.0, []),
        (112.0 + HOLD - 0.1, 112.0, [BY_ITSELF]),
    ],
    ids=["as planned", "as planned, too late", "logged, just in time", "logged, too late"],
)
def test_an_end_that_could_be_the_faults_own_is_no_repair(
    logged: float | None, ended: float, failures: list[str]
) -> None:
    """The fault is over when planned or when logged, whichever is earlier."""
    story = told(
        (101, Kind.HARM_STARTED, 1000), (ended, Kind.HARM_ENDED, 1200),
        (ended + HOLD, Kind.HARM_STAYED_ENDED, 1300),
    )  # fmt: skip
    story.events = story.without(lambda event: event.kind == Kind.FAULT_ENDED)
    if logged is not None:
        story.add(logged, Kind.FAULT_ENDED, "fault", {"target": "north"})
    assert judged(story) == failures


def test_harm_counts_from_the_command_and_its_end_never_before_the_effect() -> None:
    """Customers may be harmed, and helped, before a canary is."""
    story = told(
        (95, Kind.HARM_STARTED, 1000), (97, Kind.HARM_ENDED, 1200), (102, Kind.HARM_STAYED_ENDED, 1300)
    )
    assert judged(story) == [NOT_SEEN]
    story.add(95, Kind.FAULT_COMMANDED, "fault")
    assert judged(story) == []
    assert mitigated_after(story.scenario, story.events) == 0.0


def test_harm_at_the_very_instant_of_the_effect_counts() -> None:
    """Two clocks' readings may be equal."""
    story = told(
        (EFFECT, Kind.HARM_STARTED, 1000), (112, Kind.HARM_ENDED, 1200), (117, Kind.HARM_STAYED_ENDED, 1300)
    )
    assert judged(story) == []
