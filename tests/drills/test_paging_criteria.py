"""Alerts and pages are judged at their limits, by labels and people, and each in its own words."""

from collections.abc import Callable, Mapping

import pytest

from moneypath.drills.paging_criteria import paging_failures
from moneypath.drills.scoring import score
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind
from moneypath.workflows.scoring_again import RULES_WITHOUT_TARGETS

from .story import EFFECT, FIRED, Story

ALERT = "MoneyPathAuthorizationBudgetBurn"
NORTH = {"provider": "north"}
OTHER = "MoneyPathWebhookLag"
PAGED = FIRED + 0.1


def judged(story: Story, events: list[Event] | None = None) -> list[str]:
    """Return what is wrong with the alerts and pages."""
    return list(paging_failures(story.scenario, story.events if events is None else events, EFFECT))


def is_firing(event: Event) -> bool:
    """Tell whether an alert fires."""
    return event.kind == Kind.ALERT_FIRING


def is_paged(event: Event) -> bool:
    """Tell whether operations is paged."""
    return event.kind == Kind.PAGE_DELIVERED and event.payload["role"] == "ops"


def is_acknowledged(event: Event) -> bool:
    """Tell whether operations acknowledges."""
    return event.kind == Kind.PAGE_ACKNOWLEDGED and event.payload["role"] == "ops"


@pytest.mark.parametrize(
    ("picked", "at", "failures"),
    [
        (is_firing, EFFECT, []),
        (is_firing, EFFECT + 9, []),
        (is_firing, EFFECT + 10, [f"alert {ALERT} fired after 10 min, allowed 9 min"]),
        (is_firing, EFFECT - 0.1, [f"alert {ALERT} did not fire"]),
        (is_paged, PAGED + 1, []),
        (is_paged, PAGED + 1.1, [f"role ops did not acknowledge {ALERT}"]),
        (is_acknowledged, PAGED + 5, []),
        (is_acknowledged, PAGED + 7, [f"role ops acknowledged {ALERT} after 7 min, allowed 5 min"]),
        (is_acknowledged, PAGED, []),
        (is_acknowledged, PAGED - 0.01, [f"role ops did not acknowledge {ALERT}"]),
    ],
)
def test_each_time_is_allowed_up_to_its_limit(
    picked: Callable[[Event], bool], at: float, failures: list[str]
) -> None:
    """Seconds of the log are compared as production time, and the limit itself is within."""
    story = Story()
    assert judged(story, story.moved(picked, at)) == failures


def test_a_late_page_is_named_by_role_and_alert() -> None:
    """Each role has its own sentence."""
    story = Story()
    late = story.moved(lambda e: is_paged(e) or is_acknowledged(e), EFFECT + 11)
    assert judged(story, late) == [f"role ops was paged by {ALERT} after 11 min, allowed 10 min"]


def test_the_first_of_several_firings_counts() -> None:
    """In whichever order they are logged."""
    story = Story()
    story.alert(FIRED + 1, ALERT, NORTH)
    story.alert(EFFECT + 20, ALERT, NORTH)
    assert judged(story, story.events[::-1]) == []
    only_late = [event for event in story.events if not is_firing(event) or event.ts_mono > EFFECT + 15]
    assert judged(story, only_late) == [f"alert {ALERT} fired after 20 min, allowed 9 min"]


def test_an_alert_of_lower_severity_is_not_the_expected_one() -> None:
    """Nobody is woken by a warning."""
    story = Story()
    events = story.changed(is_firing, lambda payload: payload | {"severity": "warning"})
    assert judged(story, events) == [f"alert {ALERT} fired as warning, expected critical"]


@pytest.mark.parametrize(
    ("at", "labels", "resolved"),
    [
        (FIRED, NORTH, True),
        (FIRED - 0.1, NORTH, False),
        (FIRED + 9, {"provider": "south"}, False),
    ],
    ids=["at once", "before it fired", "of another provider"],
)
def test_only_its_own_resolution_resolves_an_alert(
    at: float, labels: Mapping[str, str], resolved: bool
) -> None:
    """After it fired, with its labels."""
    story = Story()
    story.events = story.without(lambda event: event.kind == Kind.ALERT_RESOLVED)
    story.alert(at, ALERT, labels, kind=Kind.ALERT_RESOLVED)
    assert judged(story) == ([] if resolved else [f"alert {ALERT} did not resolve after the repair"])


def test_a_warning_neither_fails_a_drill_nor_hides_a_critical_alert() -> None:
    """What stands behind it in the log is judged too, with what it is about."""
    story = Story()
    story.alert(FIRED, OTHER, {}, severity="warning")
    assert judged(story) == []
    story.alert(FIRED, OTHER, {"provider": "north", "class": "timeout", "job": "worker", "le": "1"})
    story.alert(FIRED, "MoneyPathQueueStuck", {})
    assert judged(story) == [
        f"critical alert {OTHER} (provider north, class timeout, job worker) fired and is not expected",
        "critical alert MoneyPathQueueStuck fired and is not expected",
    ]


def test_an_alert_with_no_more_labels_than_expected_is_the_expected_one() -> None:
    """Labels beyond those of the file may be there and need not."""
    story = Story()
    events = story.changed(is_firing, lambda payload: payload | {"labels": NORTH})
    assert judged(story, events) == []


def test_a_page_about_something_else_is_not_the_one_that_is_awaited() -> None:
    """The same alert of another provider: whoever reads it repairs the wrong one. Rules 4 let it pass."""
    story = Story()

    def elsewhere(payload: dict[str, object]) -> dict[str, object]:
        return payload | {"labels": {"alertname": ALERT, "provider": "south"}}

    events = story.changed(is_paged, elsewhere)
    assert judged(story, events) == [f"role ops was not paged by {ALERT}"]
    assert f"role ops was not paged by {ALERT}" in score(events).failures
    assert score(events, rules=RULES_WITHOUT_TARGETS).failures == ()
    more = story.changed(
        is_paged, lambda one: one | {"labels": {**NORTH, "alertname": ALERT, "tier": "fast"}}
    )
    assert judged(story, more) == []
    assert judged(story, story.changed(is_paged, lambda one: one | {"labels": {}})) != []
