"""A frozen copy of data points reads as the mapping that was copied."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry.exposition.samples import LabelValues
from moneypath.telemetry.recording.frozen_points import NO_POINTS, FrozenPoints

keys = st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 9).map(str))
points = st.integers(1, 4).flatmap(
    lambda size: st.dictionaries(keys, st.lists(st.integers(0, 2**53), min_size=size, max_size=size))
)


@given(points)
def test_copy_reads_as_what_was_copied(live: dict[LabelValues, list[float]]) -> None:
    """Keys keep their order, data points their numbers, and later changes do not show."""
    expected = {key: [*point] for key, point in live.items()}
    frozen = FrozenPoints(live)
    for point in live.values():
        point[0] += 1
    live["late",] = [1.0]
    assert (dict(frozen.items()), list(frozen), len(frozen)) == (expected, [*expected], len(expected))
    assert [*frozen.values()] == [*expected.values()]
    assert frozen == expected
    assert frozen.column(0) == {key: point[0] for key, point in expected.items()}
    for first in (0, 1, 4):
        assert frozen.total(first) == sum(sum(point[first:]) for point in expected.values())


def test_what_was_read_can_be_changed_without_changing_the_copy() -> None:
    """Each reader has lists of its own."""
    frozen = FrozenPoints({("a",): [1.0, 2.0]})
    for (_, point), other in zip(frozen.items(), frozen.values(), strict=True):
        point[0] = other[0] = 9.0
    frozen["a",][0] = 9.0
    assert frozen["a",] == [1.0, 2.0]


def test_unknown_key_is_absent() -> None:
    """As in any mapping."""
    assert NO_POINTS.get(("a",)) is None
    assert ("a",) not in FrozenPoints({("b",): [1.0]})
    with pytest.raises(KeyError):
        NO_POINTS["a",]
    assert (dict(NO_POINTS.items()), NO_POINTS.column(0), NO_POINTS.total(1)) == ({}, {}, 0)
