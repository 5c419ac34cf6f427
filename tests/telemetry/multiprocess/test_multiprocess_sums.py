"""Exact sums do not depend on the order of adding."""

from fractions import Fraction
from functools import reduce

from hypothesis import example, given
from hypothesis import strategies as st

from moneypath.telemetry.recording.multiprocess.sums import ExactSlots, add, add_rows, rounded

DURATIONS = st.floats(min_value=0, max_value=2**63, allow_nan=False)


def exact(values: list[float]) -> Fraction:
    """Return the exact sum as a fraction."""
    return sum(map(Fraction, values), Fraction())


@given(st.lists(DURATIONS, min_size=1, max_size=20), st.data())
@example([0.1, 0.2, 0.3], None)
def test_kept_sum_is_the_true_sum(values: list[float], data: st.DataObject | None) -> None:
    """The totals of exited workers lose nothing, in any order."""
    order = values if data is None else data.draw(st.permutations(values))
    partials = reduce(add, order, [0.0])
    assert exact(partials) == exact(values)


@given(st.lists(DURATIONS, min_size=2, max_size=10), st.data())
def test_exposed_sum_does_not_move_when_a_worker_dies(values: list[float], data: st.DataObject) -> None:
    """Whichever workers have exited, the rounded sum is the same to the last bit."""
    expected = rounded(None, [[value] for value in values])
    order = data.draw(st.permutations(values))
    split = data.draw(st.integers(min_value=1, max_value=len(values)))
    totals: ExactSlots = {}
    for value in order[:split]:
        add_rows(totals, {"slot": {("key",): [value]}})
    assert rounded(totals["slot"][("key",)], [[value] for value in order[split:]]) == expected


def test_plain_sums_move() -> None:
    """Added as plain doubles, the same three durations give two sums, one of them lower."""
    assert (0.1 + 0.2) + 0.3 > 0.1 + (0.2 + 0.3)
    assert rounded(None, [[0.1], [0.2], [0.3]]) == rounded([[0.2 + 0.3]], [[0.1]]) == [0.6]
