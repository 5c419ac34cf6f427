"""Steady means without a break, and what did not hold is said."""

from collections.abc import Sequence

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
        self.asked += 1
        value = self._values.pop(0) if len(self._values) > 1 else self._values[0]
        return [] if value is None else [Sample({}, value)]


async def test_a_condition_that_holds_is_not_reported() -> None:
    """Zero is zero."""
    held = await evaluate((ZERO,), Answers(0.0))
    assert (held.seen, held.unmet) == ({"nothing-lost": "0"}, {})


async def test_what_was_seen_and_expected_is_said() -> None:
    """A number and an absence are told apart."""
    assert (await evaluate((ZERO,), Answers(2.0))).unmet == {"nothing-lost": "saw 2, expected == 0"}
    assert "absent is not zero" in (await evaluate((ZERO,), Answers(None))).unmet["nothing-lost"]


async def test_a_break_starts_the_steadiness_anew() -> None:
    """Holding, breaking and holding again is steady only after the last break."""
    answers = Answers(0.0, 1.0, 0.0)
    left = await wait_until_steady(
        (ZERO,), answers, within_seconds=5, steady_for_seconds=0.05, every_seconds=0.02
    )
    assert left.unmet == {}
    assert answers.asked >= 4


async def test_time_runs_out_with_the_reason() -> None:
    """What never holds is named at the end of the time."""
    left = await wait_until_steady((ZERO,), Answers(1.0), within_seconds=0.05, every_seconds=0.02)
    assert left.unmet == {"nothing-lost": "saw 1, expected == 0"}
