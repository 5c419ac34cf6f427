"""The column "in production" shows only what is true there."""

import io

import pytest
from rich.console import Console
from tests.drills.story import OUTAGE, Story

from moneypath.cli.events_view import EventsView
from moneypath.cli.production_time import AFTER_REPORT, in_production
from moneypath.cli.scorecard_view import real_times, show_scorecard
from moneypath.drills.scoring import score

DOUBLE, MISMATCH = "drill-006-double-charge", "drill-012-settlement-mismatch"


def lines(story: Story) -> list[str]:
    """Return what is printed of a story's events."""
    console = Console(file=io.StringIO(), width=200)
    view = EventsView(console)
    for event in story.events:
        if event.subject in ("drill", "canary") or event.kind.startswith(("alert", "page", "undo")):
            view.show(event)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def card(story: Story) -> str:
    """Return the printed scorecard."""
    console = Console(file=io.StringIO(), width=200)
    show_scorecard(console, score(story.events))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("drill", [DOUBLE, MISMATCH])
def test_what_waits_for_a_report_has_no_time_of_production(drill: str) -> None:
    """Reports come every two seconds here and once a day there: nothing multiplies them."""
    shown = lines(Story(drill))
    late = [line for line in shown if " s  " in line and "fault effective" not in line]
    assert late
    assert all(AFTER_REPORT in line and " min" not in line.split(AFTER_REPORT)[0] for line in late), late
    scored = card(Story(drill))
    for part in ("detect", "page", "mitigate", "restore"):
        (row,) = (line for line in scored.splitlines() if f"{part} " in line and "s here" in line)
        assert AFTER_REPORT in row
    assert "settlement reports come every few seconds here and once a day in production" in scored


def test_what_waits_for_no_report_is_dilated_and_says_so() -> None:
    """At scale 60 three seconds are at most three minutes: a scrape is a second and not five minutes."""
    shown = "\n".join(lines(Story(OUTAGE)))
    assert "in production, at most" in shown
    assert AFTER_REPORT not in shown
    assert "3 min" in shown
    scored = card(Story(OUTAGE))
    assert AFTER_REPORT not in scored
    assert "Times of parts are in production, at most." in scored


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        (1, "in production"),
        (2, "in production, about"),
        (4, "in production, about"),
        (5, "in production, at most"),
        (60, "in production, at most"),
    ],
)
def test_a_scale_says_how_true_its_times_are(scale: int, said: str) -> None:
    """Below scale 5 a live scrape is more often than one of production."""
    assert in_production(scale) == said


def test_the_business_metrics_are_real_time() -> None:
    """They stand in the same card and are not dilated."""
    assert real_times(score(Story(OUTAGE).events)).startswith("Business metrics are real time.")
