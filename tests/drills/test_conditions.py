"""Steady means without a break, and what did not hold is said."""

from collections.abc import Sequence
from itertools import count
from types import SimpleNamespace

import pytest

from moneypath.drills import conditions
from moneypath.drills.conditions import evaluate, wait_until_steady
from moneypath.drills.parts import Condition
from moneypath.prometheus import Sample

ZERO = Condition(id="nothing-lost", query="lost", expect={"value": "== 0"})


class Answers:
    """Answers queries from a list, the last one for ever."""

    def __init__(self, *values: float | None) -> None:
        self._values = list(values)
        self.asked = 0

    async def __call__(self, promql: str, /) -> Sequence[Sample]:
        assert promql == ZERO.query
        self.asked += 1
        value = self._values.pop(0) if len(self._values) > 1 else self._values[0]
        return [] if value is None else [Sample({}, value)]


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which each look takes one second."""
    clock = count(100.0)
    monkeypatch.setattr(conditions, "time", SimpleNamespace(monotonic=lambda: next(clock)))


async def test_a_condition_that_holds_is_not_reported() -> None:
    """Zero is zero."""
    held = await evaluate((ZERO,), Answers(0.0))
    assert (held.seen, held.unmet) == ({"nothing-lost": "0"}, {})


async def test_what_was_seen_and_expected_is_said() -> None:
    """A number and an absence are told apart."""
    assert (await evaluate((ZERO,), Answers(2.0))).unmet == {"nothing-lost": "saw 2, expected == 0"}
    assert "absent is not zero" in (await evaluate((ZERO,), Answers(None))).unmet["nothing-lost"]


@pytest.mark.usefixtures("seconds")
@pytest.mark.parametrize(
    ("values", "asked"), [((0.0,), 4), ((0.0, 0.0, 1.0, 0.0), 7), ((1.0, 0.0), 5), ((0.0, None, 0.0), 6)]
)
async def test_a_break_starts_the_steadiness_anew(values: Sequence[float | None], asked: int) -> None:
    """Three seconds of holding, four looks, and only after the last break; then nothing is asked again."""
    answers = Answers(*values)
    left = await wait_until_steady((ZERO,), answers, within_seconds=5, steady_for_seconds=3, every_seconds=0)
    assert (left.unmet, left.seen) == ({}, {"nothing-lost": "0"})
    assert answers.asked == asked


async def test_holding_too_briefly_is_not_steady() -> None:
    """When time runs out, what was seen is kept beside the reason."""
    left = await wait_until_steady(
        (ZERO,), Answers(0.0), within_seconds=0, steady_for_seconds=60, every_seconds=0
    )
    assert left.seen == {"nothing-lost": "0"}
    assert left.unmet == {"steady": "all hold, but not yet for 60 s"}


async def test_time_runs_out_with_the_reason() -> None:
    """What never holds is named at the end of the time."""
    left = await wait_until_steady((ZERO,), Answers(1.0), within_seconds=0.05, every_seconds=0.02)
    assert left.unmet == {"nothing-lost": "saw 1, expected == 0"}
