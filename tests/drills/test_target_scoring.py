"""The log of a drill on a target is judged by what its first event lists, and by nothing that came later."""

from dataclasses import replace
from typing import Any

import pytest

from moneypath.drills.metric_comparison import UNCOMPARED
from moneypath.drills.pass_criteria import METRICS_SINCE, NOT_KNOWN
from moneypath.drills.runbook_criteria import PROMISES_AS
from moneypath.drills.scoring import RULES, Scorecard, score
from moneypath.incidents.events import Event
from moneypath.incidents.timeline import Kind
from moneypath.workflows.scoring_again import RULES_WITHOUT_TARGETS

from .story import Story

DRAIN, RESTORE = "provider.drain", "provider.restore"
LISTED: dict[str, dict[str, Any]] = {
    DRAIN: {
        "title": "nothing of {} is left",
        "witness": "the ledger",
        "least": 3,
        "most": 9,
        "until": "",
        "evidence": "rows",
        "least_evidence": 2,
    },
    RESTORE: {
        "title": "{} is there again",
        "witness": "the provider's book",
        "least": 1,
        "most": None,
        "until": DRAIN,
        "evidence": "",
        "least_evidence": 0,
    },
}


def is_drain(event: Event) -> bool:
    """Tell whether an event is the count of the action that the list is about."""
    return event.kind == Kind.PROMISE_CHECKED and event.subject == DRAIN


def listing(events: list[Event], **listed: object) -> list[Event]:
    """Return a log whose first event lists more."""
    first = events[0]
    return [replace(first, payload={**first.payload, **listed}), *events[1:]]


def checked(found: float | None, evidence: float | None = 2.0, reason: str = "") -> list[Event]:
    """Return a log of a target whose action was counted so."""
    story = Story()
    counts = {"found": found, "evidence": evidence, "reason": reason}
    events = story.changed(is_drain, lambda one: one | counts)
    return listing(events, **{PROMISES_AS: LISTED})


def is_compared(event: Event) -> bool:
    """Tell whether an event is the comparison of the metrics."""
    return event.kind == Kind.METRICS_COMPARED


@pytest.mark.parametrize("found", [3.0, 9.0])
def test_a_listed_promise_that_was_kept_passes(found: float) -> None:
    """Its bounds are those of the list; the platform's own promise of this name allows none at all."""
    assert score(checked(found)).failures == ()
    by_earlier = score(checked(found), rules=RULES_WITHOUT_TARGETS).failures
    assert any(f"promise of {DRAIN} broken" in one for one in by_earlier)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((2.0,), f"promise of {DRAIN} broken: nothing of north is left: the ledger has 2, from 3 to 9"),
        ((10.0,), "the ledger has 10"),
        ((0.0, 20.0), "the ledger has 0"),
        ((None, None, "gone"), "nothing of north is left: not known: gone"),
        ((None,), "not known: nobody counted"),
        ((float("nan"),), f"promise of {DRAIN} broken"),
        ((5.0, None), "only none rows, at least 2"),
        ((5.0, 1.0), "only 1 rows, at least 2"),
    ],
)
def test_a_listed_promise_that_was_not_kept_fails(counts: tuple[Any, ...], said: str) -> None:
    """Broken, not known, or without evidence: each is a sentence, and no drill passes with it."""
    card = score(checked(*counts))
    assert not card.passed
    (failure,) = card.failures
    assert said in failure


def test_a_listed_promise_that_nobody_looked_at_fails() -> None:
    """The step that took the action is in the log, and no count of it."""
    events = listing(Story().without(is_drain), **{PROMISES_AS: LISTED})
    assert score(events).failures == (f"promise of {DRAIN} {{provider}} was not looked at",)


def test_an_action_that_the_list_does_not_have_fails() -> None:
    """A target that promises nothing of an action cannot lean on what another one promises."""
    events = listing(Story().events, **{PROMISES_AS: {RESTORE: LISTED[RESTORE]}})
    assert score(events).failures == (f"promise of {DRAIN} north is not declared",)


def test_no_later_event_makes_a_promise_easier() -> None:
    """Only the first event lists; the same words later on change nothing."""
    story = Story()
    easy = {DRAIN: {**LISTED[DRAIN], "least": 0, "most": 99}}
    spoilt = story.changed(is_drain, lambda one: one | {"found": 50.0})
    spoilt[3] = replace(spoilt[3], payload={**spoilt[3].payload, PROMISES_AS: easy, UNCOMPARED: "easier"})
    assert f"promise of {DRAIN} broken" in score(spoilt).failures[0]
    assert (
        score([event for event in spoilt if not is_compared(event)]).failures[-1].startswith("metrics were")
    )


def test_metrics_that_nobody_can_compare_are_said_to_be() -> None:
    """A target without a witness of its metrics says so from the first; earlier rules knew no such words."""
    events = listing(Story().without(is_compared), **{UNCOMPARED: "the target has no witness of its metrics"})
    assert score(events).failures == ()
    for rules in range(METRICS_SINCE, RULES):
        assert score(events, rules=rules).failures == ("metrics were never compared with clients and books",)


@pytest.mark.parametrize("listed", [{}, {UNCOMPARED: ""}, {UNCOMPARED: None}, {UNCOMPARED: False}])
def test_a_log_that_only_lacks_the_comparison_fails(listed: dict[str, object]) -> None:
    """That of the reference, whose metrics can be compared."""
    events = listing(Story().without(is_compared), **listed)
    assert score(events).failures == ("metrics were never compared with clients and books",)


def truth(said: str, whole: object, *, audited: bool = True) -> Scorecard:
    """Return the score of a drill that expects `said` of the money, when the audit says `whole`."""
    story = Story()
    reasons = ["a row is missing"] if whole is False else []
    events = story.changed(
        lambda event: event.kind == Kind.LEDGER_TRUTH, lambda _: {"whole": whole, "discrepancies": reasons}
    )
    text = str(events[0].payload["scenario"])
    events = listing(events, scenario=text.replace("ledger_truth: whole", f"ledger_truth: {said}"))
    return score([event for event in events if audited or event.kind != Kind.LEDGER_TRUTH])


def test_money_that_nobody_can_audit_passes_only_where_the_drill_says_so() -> None:
    """Beforehand, in its file."""
    assert truth(NOT_KNOWN, NOT_KNOWN).passed
    card = truth("whole", NOT_KNOWN)
    assert (card.passed, card.score) == (False, 0.0)
    assert "the ledger is not whole" in card.failures[0]


@pytest.mark.parametrize("whole", [False, None, 0, "no", "Unknown"])
def test_unknown_hides_no_ledger_that_was_audited_and_is_not_whole(whole: object) -> None:
    """What a drill said beforehand is no excuse for what the audit then found."""
    for said in (NOT_KNOWN, "whole"):
        card = truth(said, whole)
        assert (card.passed, card.score) == (False, 0.0)
        assert "the ledger is not whole" in card.failures[0]


def test_unknown_is_the_word_of_an_audit_and_not_its_absence() -> None:
    """A log without the event lacks something, whatever the drill said."""
    assert truth(NOT_KNOWN, True).passed
    for said in (NOT_KNOWN, "whole"):
        assert truth(said, True, audited=False).failures == ("the ledger was never audited",)
