"""Objectives are counted over the whole drill, and what is not counted is not known to have held."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from moneypath.alerting.objective_counts import ObjectiveCounts
from moneypath.drills.objectives import record_objectives
from moneypath.incidents.events import EventLog
from moneypath.incidents.timeline import Kind
from moneypath.prometheus import Sample

WRITES = ObjectiveCounts("writes", "Writes are committed", "0.999", "valid[{window}]", "bad[{window}]")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    """A log whose clocks stand still."""
    log = EventLog(tmp_path / "events.jsonl", wall=lambda: 1000.0, mono=lambda: 150.0)
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
    assert asked == ["valid[5400s]", "bad[5400s]"]
    (event,) = log.events
    assert (event.kind, event.payload) == (
        Kind.OBJECTIVES_MEASURED,
        {"counts": {"writes": counts}, "real_seconds": 90.0},
    )
