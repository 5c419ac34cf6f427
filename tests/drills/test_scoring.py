"""The score is a pure, bounded, monotone function of the event log, and every gate can fail a drill."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.alerting.business_metrics import business_metrics
from moneypath.drills.business import LISTED_AS, listed
from moneypath.drills.scoring import LogWithoutScenario, score
from moneypath.incidents.events import SYSTEM, Actor, Event
from moneypath.incidents.timeline import Kind
from moneypath.path.loader import FILE_NAME, load

PROJECT = Path(__file__).parents[2]
DRILL = PROJECT / "drills" / "drill-002-partial-provider-outage.yaml"
METRICS = business_metrics(load(PROJECT / FILE_NAME))
ALERT = "MoneyPathAuthorizationBudgetBurn"
NORTH = {"provider": "north", "severity": "critical"}
EFFECT = 100.0


class Story:
    """The events of a drill that went well; tests take away, delay or spoil one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.add(
            0.0,
            Kind.DRILL_STARTED,
            "drill",
            {"scenario": DRILL.read_text(encoding="utf-8"), "scale": 60, LISTED_AS: listed(METRICS)},
        )
        self.add(90.0, Kind.STEADY_STATE, "before", {"phase": "before"})
        self.measured(91.0, "before")
        self.add(EFFECT, Kind.FAULT_EFFECTIVE, "canary")
        self.add(101.0, Kind.HARM_STARTED, "customers")
        self.add(105.0, Kind.ALERT_FIRING, ALERT, {"alert": ALERT, "severity": "critical", "labels": NORTH})
        for role, delay in (("eng", 2.0), ("ops", 1.0)):
            self.add(105.1, Kind.PAGE_DELIVERED, ALERT, {"alert": ALERT, "role": role})
            actor = Actor(role, role)
            self.add(105.1 + delay, Kind.PAGE_ACKNOWLEDGED, ALERT, {"role": role}, actor)
        self.add(106.2, Kind.RUNBOOK_STARTED, "partial-provider-outage", {"steps": 2})
        for step in ("confirm", "drain"):
            self.add(107.0, Kind.RUNBOOK_STEP, step, {"outcome": "satisfied"})
        self.add(115.0, Kind.HARM_ENDED, "customers")
        self.add(140.0, Kind.ALERT_RESOLVED, ALERT, {"alert": ALERT, "labels": NORTH})
        self.add(141.0, Kind.RUNBOOK_ENDED, "runbook", {"status": "completed", "reason": ""})
        self.add(142.0, Kind.UNDO, "faults", {"ok": True})
        self.measured(143.0, "during")
        self.add(145.0, Kind.STEADY_STATE, "after", {"phase": "after"})
        self.measured(146.0, "after")
        self.add(150.0, Kind.LEDGER_TRUTH, "ledger", {"whole": True})

    def measured(self, at: float, phase: str, **changed: float | None) -> None:
        """Append a reading of the business metrics."""
        values = {metric.id: 1.0 for metric in METRICS} | changed
        self.add(at, Kind.MEASURED, "business metrics", {"phase": phase, "values": values})

    def add(
        self,
        at: float,
        kind: Kind,
        subject: str,
        payload: dict[str, object] | None = None,
        actor: Actor = SYSTEM,
    ) -> None:
        """Append one event at an instant of the monotonic clock."""
        self.events.append(Event(len(self.events) + 1, at, at, kind, actor, subject, payload or {}))

    def without(self, spoiled: Callable[[Event], bool]) -> list[Event]:
        """Return the story without the events that `spoiled` picks."""
        return [event for event in self.events if not spoiled(event)]


def test_a_drill_that_went_well_passes_with_full_marks() -> None:
    """The good story scores 1 and names no failure."""
    card = score(Story().events)
    assert (card.passed, card.score, card.failures) == (True, 1.0, ())
    assert card.times.fault_to_page == pytest.approx(5.1)


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
    ("no page to ops", lambda e: e.payload.get("role") == "ops", "role ops was not paged"),
    (
        "no ack by eng",
        lambda e: e.kind == Kind.PAGE_ACKNOWLEDGED and e.actor.role == "eng",
        "role eng did not acknowledge",
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
        151.0, Kind.LEDGER_TRUTH, "ledger", {"whole": False, "discrepancies": ["capture without posting: r1"]}
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
    story.add(146.0, kind, str(payload.get("alert", "subject")), payload)
    card = score(story.events)
    assert not card.passed
    assert any(words in failure for failure in card.failures), card.failures


def test_a_business_metric_that_is_not_known_is_no_zero() -> None:
    """Unknown after the fault fails the drill; unknown during it is shown as unknown."""
    story = Story()
    story.measured(147.0, "during", cost_per_transaction=None)
    assert score(story.events).passed
    cost = next(row for row in score(story.events).business if row.id == "cost_per_transaction")
    assert (cost.before, cost.during, cost.after) == (1.0, None, 1.0)
    story.measured(148.0, "after", cost_per_transaction=None)
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


@given(st.floats(min_value=0, max_value=60), st.floats(min_value=0, max_value=60))
def test_the_score_is_bounded_and_never_rises_with_a_later_page(first: float, second: float) -> None:
    """Delaying alert and pages never helps, and no delay leaves 0 to 1."""
    early, late = sorted((first, second))
    scores = [score(_delayed(by)).score for by in (early, late)]
    assert 0.0 <= scores[1] <= scores[0] <= 1.0


def _delayed(by: float) -> list[Event]:
    moved = {Kind.ALERT_FIRING, Kind.PAGE_DELIVERED, Kind.PAGE_ACKNOWLEDGED}
    return [
        Event(
            e.seq,
            e.ts_wall,
            e.ts_mono + (by if e.kind in moved else 0.0),
            e.kind,
            e.actor,
            e.subject,
            e.payload,
        )
        for e in Story().events
    ]
