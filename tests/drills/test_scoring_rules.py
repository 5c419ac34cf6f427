"""A log that was scored is scored the same for ever, by the rules that it names."""

import json
from pathlib import Path

import pytest

from moneypath.drills.scoring import RULES
from moneypath.incidents.events import read_events
from moneypath.incidents.evidence_files import EVENTS, SCORECARD
from moneypath.incidents.timeline import Kind
from moneypath.workflows.scoring_again import FIRST_RULES, SCORERS, ScoredOtherwise, differences, score_again

LOGS = Path(__file__).parent


@pytest.mark.parametrize("rules", [2, 3, 4, RULES])
@pytest.mark.parametrize("name", ["passed", "harm-not-ended", "not-approved"])
def test_rules_score_a_log_as_they_did(name: str, rules: int) -> None:
    """If this fails, a bundle that is sound would be called broken.

    Raise `scoring.RULES`, and let `workflows.scoring_again` keep the earlier rules or say that they are gone.
    `python -m tests.drills.write_scored_logs` then writes logs for the new ones.
    """
    folder = LOGS / f"rules-{rules}" / name
    recorded = json.loads((folder / SCORECARD).read_text(encoding="utf-8"))
    again = score_again(read_events(folder / EVENTS), rules)
    assert differences(recorded, again) == []


def test_a_log_without_a_comparison_passes_by_its_own_rules_alone() -> None:
    """The log of a drill of rules 2 has no comparison of the metrics; by today's rules it fails for that."""
    events = read_events(LOGS / "rules-2" / "passed" / EVENTS)
    assert score_again(events, 2)["passed"]
    again = score_again(events, RULES)
    assert again["failures"] == ["metrics were never compared with clients and books"]


def test_rules_that_are_gone_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A score that cannot be computed is no break."""
    monkeypatch.setattr("moneypath.workflows.scoring_again.SCORERS", {RULES: SCORERS[RULES]})
    with pytest.raises(ScoredOtherwise, match=f"it is by rules {FIRST_RULES}, and this version has those of"):
        score_again(read_events(LOGS / f"rules-{RULES}" / "passed" / EVENTS), FIRST_RULES)


def test_a_log_without_a_repair_passes_by_rules_3_alone() -> None:
    """Those rules let harm go away by itself; today's ask who ended it."""
    events = [
        event
        for event in read_events(LOGS / "rules-3" / "passed" / EVENTS)
        if event.kind not in (Kind.RUNBOOK_STEP, Kind.PROMISE_CHECKED)
    ]
    assert score_again(events, 3)["passed"]
    assert score_again(events, RULES)["failures"] == [
        "customer harm ended without a repair: no mitigation of the runbook was done before it"
    ]
