"""The five times count from the effect, whatever the order of arrival; a missing event is missing."""

from moneypath.incidents.events import SYSTEM, Event
from moneypath.incidents.timeline import Kind, measure

ALERT = {"alert": "Burn"}


def _event(at: float, kind: Kind, **payload: object) -> Event:
    return Event(1, at, at, kind, SYSTEM, "subject", payload)


STORY = (
    _event(9.8, Kind.FAULT_COMMANDED),
    _event(9.9, Kind.HARM_STARTED),
    _event(10.0, Kind.FAULT_EFFECTIVE),
    _event(14.5, Kind.ALERT_FIRING, **ALERT),
    _event(15.0, Kind.PAGE_DELIVERED, **ALERT),
    _event(16.0, Kind.PAGE_ACKNOWLEDGED),
    _event(20.0, Kind.HARM_ENDED),
    _event(45.0, Kind.STEADY_STATE, phase="after"),
    _event(50.0, Kind.LEDGER_TRUTH, whole=True),
)


def test_all_times_of_a_whole_incident() -> None:
    """Each time begins where the one before it ends."""
    times = measure(STORY, relevant_alerts=["Burn"])
    assert (times.detect, times.page, times.acknowledge) == (4.5, 0.5, 1.0)
    assert (times.mitigate, times.restore, times.fault_to_page) == (10.0, 40.0, 5.0)


def test_the_order_of_the_log_does_not_matter() -> None:
    """Watchers write when they see, not when it happened."""
    assert measure(tuple(reversed(STORY)), relevant_alerts=["Burn"]) == measure(
        STORY, relevant_alerts=["Burn"]
    )


def test_an_alert_about_something_else_is_no_detection() -> None:
    """Only relevant alerts count."""
    assert measure(STORY, relevant_alerts=["Other"]).detect is None


def test_without_an_effect_nothing_is_measured() -> None:
    """No t0, no durations."""
    story = [event for event in STORY if event.kind != Kind.FAULT_EFFECTIVE]
    assert measure(story, relevant_alerts=["Burn"]).mitigate is None


def test_harm_that_comes_back_is_not_over() -> None:
    """The last word counts."""
    assert measure((*STORY, _event(21.0, Kind.HARM_STARTED)), relevant_alerts=["Burn"]).mitigate is None


def test_a_ledger_that_is_not_whole_is_not_restored() -> None:
    """Steady state alone is no restoration."""
    story = (*STORY, _event(51.0, Kind.LEDGER_TRUTH, whole=False))
    assert measure(story, relevant_alerts=["Burn"]).restore is None
