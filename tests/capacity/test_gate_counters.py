"""A window's increase is what was really counted in it: restarts, births and edges included."""

from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from moneypath.capacity.counters import Window, increase, total
from moneypath.prometheus import Series

# A life of a counter: what it counted between two scrapes, by process; a new process starts at 0.
LIVES = st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=8), min_size=1, max_size=4)


def _samples(lives: list[list[int]]) -> tuple[list[tuple[float, float]], list[int]]:
    """Return a sample each second, and what was counted in the second before each."""
    values = [value for life in lives for value in accumulate(life)]
    return [(float(at), float(value)) for at, value in enumerate(values)], [n for life in lives for n in life]


def _visible(lives: list[list[int]]) -> bool:
    """Return whether each restart can be seen: a counter below where it was."""
    return all(later[0] < sum(earlier) for earlier, later in pairwise(lives))


@given(LIVES.filter(_visible), st.data())
def test_an_increase_is_what_was_counted_whatever_restarts(
    lives: list[list[int]], data: st.DataObject
) -> None:
    """From any sample to any later one, the increase is the sum of what was counted between."""
    samples, counted = _samples(lives)
    start = data.draw(st.integers(0, len(samples) - 1))
    end = data.draw(st.integers(start, len(samples) - 1))
    assert increase(samples, float(start), float(end)) == sum(counted[start + 1 : end + 1])


@given(LIVES.filter(_visible), st.data())
def test_two_windows_side_by_side_count_what_both_together_count(
    lives: list[list[int]], data: st.DataObject
) -> None:
    """Nothing is lost or counted twice at the edge between two windows, wherever it lies."""
    samples, _ = _samples(lives)
    first, middle, last = sorted(data.draw(st.tuples(*[st.floats(-1, len(samples))] * 3)))
    parts = increase(samples, first, middle) + increase(samples, middle, last)
    assert parts == increase(samples, first, last)


def test_the_base_is_the_last_sample_at_or_before_the_start() -> None:
    """A sample exactly at the start belongs to what was before."""
    samples = [(1.0, 10.0), (2.0, 12.0), (3.0, 17.0), (4.0, 30.0)]
    assert increase(samples, 2.0, 3.0) == 5.0
    assert increase(samples, 2.9, 3.9) == 5.0


def test_a_restart_counts_from_zero() -> None:
    """100, then 7 after a restart: 7 were counted, not minus 93 and not nothing."""
    assert increase([(0.0, 100.0), (1.0, 7.0), (2.0, 9.0)], 0.0, 2.0) == 9.0


def test_a_series_born_in_the_window_counts_from_zero() -> None:
    """The first failure is one failure, although there is nothing to subtract it from."""
    assert increase([(5.0, 1.0)], 4.0, 6.0) == 1.0


def test_series_are_added_and_none_is_unknown() -> None:
    """No series is not a count of 0."""
    window = Window(0.0, 2.0, 2.0)
    one = Series({}, [(0.0, 1.0), (2.0, 4.0)])
    assert total([one, one], window) == 6.0
    assert total([], window) is None
