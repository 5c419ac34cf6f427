"""A score of 1.00 needs the second person where the runbook does."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.incidents.sabotage.bundles import MONO, OPS, Bundle

from moneypath.drills.scoring import Scorecard, score
from moneypath.drills.second_person import ORDER_SECONDS
from moneypath.incidents.events import Event, read_events
from moneypath.incidents.evidence_files import EVENTS
from moneypath.incidents.timeline import Kind
from moneypath.path.loader import FILE_NAME, load
from moneypath.runbooks import Approval
from moneypath.workflows.drill import DrillMismatch, load_drill

PROJECT = Path(__file__).parents[2]
DRILL = PROJECT / "drills" / "drill-006-double-charge.yaml"
UNAPPROVED = "step refund was done without a second person's approval"
ABSENT = "role eng approved nothing, and the drill needs a second person"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> tuple[Event, ...]:
    """Return the log of a drill in which a second person approved the refund."""
    return read_events(Bundle(tmp_path_factory.mktemp("told"), "run-1").folder / EVENTS)


def scored(events: tuple[Event, ...], change: Callable[[Event], Event | None]) -> Scorecard:
    """Score the log with events changed or dropped."""
    return score([changed for event in events if (changed := change(event)) is not None])


def approval(event: Event, **changes: object) -> Event | None:
    """Change the approval and leave all else."""
    return replace(event, **changes) if event.kind == Kind.APPROVED else event  # type: ignore[arg-type]


def step(event: Event, **payload: object) -> Event:
    """Change the payload of the step and leave all else."""
    mine = event.kind == Kind.RUNBOOK_STEP
    return replace(event, payload={**event.payload, **payload}) if mine else event


def test_with_a_second_person_the_drill_scores_full_marks(events: tuple[Event, ...]) -> None:
    """The twin of all that follows."""
    card = scored(events, lambda event: event)
    assert (card.passed, card.score, card.failures) == (True, 1.0, ())


def test_service_that_refunds_without_asking_fails_the_drill(events: tuple[Event, ...]) -> None:
    """Nobody approved, and all else went as well as it can."""
    card = scored(events, lambda event: None if event.kind == Kind.APPROVED else event)
    assert (card.passed, card.failures) == (False, (ABSENT, UNAPPROVED))
    assert card.score < 0.8


def test_approval_by_who_did_it_is_none(events: tuple[Event, ...]) -> None:
    """One person with two hats is one person."""
    card = scored(events, lambda event: approval(event, actor=OPS))
    assert card.failures == (ABSENT, "step refund was approved by role_ops, who also did it")


def test_approval_of_something_else_is_none(events: tuple[Event, ...]) -> None:
    """An approval names what it approves."""
    card = scored(events, lambda event: approval(event, payload={"action": "provider.drain"}))
    assert card.failures == (UNAPPROVED,)


def test_approval_that_came_afterwards_is_none(events: tuple[Event, ...]) -> None:
    """Nobody can agree to what is done."""
    card = scored(events, lambda event: approval(event, ts_mono=MONO + 39))
    assert card.failures == (UNAPPROVED,)


def test_approval_may_be_logged_just_after_what_it_approved(events: tuple[Event, ...]) -> None:
    """Both logs wait for an answer of the service; the last instant that is allowed counts."""
    (done,) = (event.ts_mono for event in events if event.kind == Kind.RUNBOOK_STEP)
    assert scored(events, lambda event: approval(event, ts_mono=done + ORDER_SECONDS)).passed
    late = scored(events, lambda event: approval(event, ts_mono=done + ORDER_SECONDS + 0.1))
    assert late.failures == (UNAPPROVED,)


def test_approval_of_nothing_approves_nothing(events: tuple[Event, ...]) -> None:
    """A step that does not name its action has none that could have been approved."""
    bare = [
        replace(event, payload={k: v for k, v in event.payload.items() if k != "action"})
        if event.kind in (Kind.RUNBOOK_STEP, Kind.APPROVED)
        else event
        for event in events
    ]
    assert UNAPPROVED in score(bare).failures


def test_step_that_says_nothing_of_approval_needs_none(events: tuple[Event, ...]) -> None:
    """Only a runbook asks for a second person."""
    bare = [
        replace(event, payload={k: v for k, v in event.payload.items() if k != "approval"})
        for event in events
    ]
    assert score(bare).passed


def test_approval_that_whoever_follows_the_runbook_asked_for(events: tuple[Event, ...]) -> None:
    """Then the step itself names who agreed."""
    asked = Approval.SECOND_PERSON.value
    assert scored(events, lambda event: step(event, approval=asked, approved_by="kim")).passed
    nobody = scored(events, lambda event: step(event, approval=asked, approved_by=""))
    assert nobody.failures == (UNAPPROVED,)
    same = scored(events, lambda event: step(event, approval=asked, approved_by="role_ops"))
    assert same.failures == ("step refund was approved by role_ops, who also did it",)


def test_step_that_was_refused_needs_no_approval(events: tuple[Event, ...]) -> None:
    """What was not done is the runbook's failure."""
    card = scored(events, lambda event: step(event, outcome="refused"))
    assert UNAPPROVED not in card.failures


def test_drill_of_a_runbook_with_approvals_needs_an_approver(tmp_path: Path) -> None:
    """Without one the drill could only fail, or pass for the wrong reason."""
    path = load(PROJECT / FILE_NAME)
    assert load_drill(PROJECT, DRILL, path).runbook.id == "double-charge"
    file = tmp_path / DRILL.name
    file.write_text(DRILL.read_text().replace(", approves: true", ""))
    with pytest.raises(DrillMismatch, match="nobody approves step refund of double-charge"):
        load_drill(PROJECT, file, path)
