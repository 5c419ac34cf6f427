"""Objectives are counted over the whole drill, and what is not counted is not known to have held."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from moneypath.alerting.objective_counts import ObjectiveCounts
from moneypath.drills.objectives import OBJECTIVES_AS, failures, listed_objectives, record_objectives
from moneypath.incidents.events import EventLog
from moneypath.incidents.timeline import Kind
from moneypath.prometheus import Sample

from .story import Story

WRITES = ObjectiveCounts("writes", "Writes are committed", "0.999", "valid[{window}]", "bad[{window}]")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    """A log whose clocks stand still."""
    log = EventLog(tmp_path / "events.jsonl", wall=lambda: 1000.0, mono=lambda: 150.12345)
    yield log
    log.close()


@pytest.mark.parametrize(
    ("valid", "bad", "counts"),
    [
        (500.0, 3.0, {"valid": 500.0, "bad": 3.0}),
        (500.0, None, {"valid": 500.0, "bad": 0.0}),
        (None, None, {"valid": None, "bad": None}),
        (None, 3.0, {"valid": None, "bad": 3.0}),
    ],
)
async def test_no_bad_event_is_zero_only_beside_valid_ones(
    log: EventLog, valid: float | None, bad: float | None, counts: dict[str, float | None]
) -> None:
    """Absent is not zero, and the window is the drill in production time."""
    asked: list[str] = []

    async def query(promql: str, /) -> Sequence[Sample]:
        asked.append(promql)
        value = valid if promql.startswith("valid") else bad
        return [] if value is None else [Sample({}, value)]

    await record_objectives((WRITES,), query, log, since_mono=60.0, scale=60)
    assert asked == ["valid[5408s]", "bad[5408s]"]
    (event,) = log.events
    assert (event.kind, event.subject, event.source) == (
        Kind.OBJECTIVES_MEASURED,
        "objectives",
        "prometheus",
    )
    assert event.payload == {"counts": {"writes": counts}, "real_seconds": 90.123}


def test_a_log_lists_objectives_with_what_they_are_called() -> None:
    """Whoever reads it needs no declaration."""
    assert listed_objectives((WRITES,)) == [
        {"id": "writes", "title": "Writes are committed", "objective": "0.999"}
    ]


NOT_KNOWN = "objective ledger-write-success is not known to have held: no event was counted"
MISSED = "objective ledger-write-success was missed: 99.88 % of 5000 were good, at least 99.900 %"


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"valid": 5000.0, "bad": 5.0}, []),
        ({"valid": 5000.0, "bad": 6.0}, [MISSED]),
        ({"valid": 5000.0, "bad": None}, [NOT_KNOWN]),
        ({"valid": None, "bad": 0.0}, [NOT_KNOWN]),
        ({"valid": 0.0, "bad": 0.0}, [NOT_KNOWN]),
        ({"valid": 0.5, "bad": 0.0}, []),
        ({}, [NOT_KNOWN]),
        (None, [NOT_KNOWN]),
    ],
)
def test_an_objective_holds_up_to_its_budget_of_known_events(
    counts: dict[str, float | None] | None, found: list[str]
) -> None:
    """The budget itself is within it; without a valid event, or without one of the counts, nothing held."""
    story = Story()
    events = story.changed(
        lambda event: event.kind == Kind.OBJECTIVES_MEASURED,
        lambda payload: {"counts": payload["counts"] | {"ledger-write-success": counts}},
    )
    assert list(failures(story.scenario, events)) == found


def test_objectives_that_were_not_measured_are_all_not_known() -> None:
    """Neither with a reading that holds no counts nor without one, and the last reading is the one."""
    story = Story()
    ours = {one["id"] for one in story.events[0].payload[OBJECTIVES_AS]}
    ours -= set(story.scenario.expect.harmed_objectives)
    bare = story.without(lambda event: event.kind == Kind.OBJECTIVES_MEASURED)
    story.add(199.0, Kind.OBJECTIVES_MEASURED, "objectives", {})
    for events in (bare, story.events):
        found = list(failures(story.scenario, events))
        assert len(found) == len(ours) > 0
        assert all(words.endswith("no event was counted") for words in found)


def test_a_log_that_lists_no_objective_fails() -> None:
    """Else whoever writes the log could leave them out."""
    story = Story()
    events = story.changed(
        lambda event: event.kind == Kind.DRILL_STARTED,
        lambda payload: {key: value for key, value in payload.items() if key != OBJECTIVES_AS},
    )
    assert list(failures(story.scenario, events)) == ["the log lists no objective"]
