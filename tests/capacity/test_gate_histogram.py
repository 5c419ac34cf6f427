"""Quantiles over a window: exact at edges, between them as Prometheus estimates."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.capacity.counters import Window
from moneypath.capacity.histogram import Histogram, histogram
from moneypath.prometheus import Series

EDGES = (0.01, 0.1, 1.0, math.inf)


def _of(values: list[float]) -> Histogram:
    return Histogram({edge: float(sum(value <= edge for value in values)) for edge in EDGES})


@given(st.lists(st.floats(0.0001, 5.0), min_size=1, max_size=200), st.sampled_from((0.5, 0.95, 0.99)))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], quantile: float) -> None:
    """The estimate never leaves the bucket that the real quantile is in."""
    true = sorted(values)[math.ceil(quantile * len(values)) - 1]
    found = _of(values).quantile(quantile)
    assert found is not None
    upper = min(edge for edge in EDGES if true <= edge)
    lower = max((edge for edge in EDGES if edge < true), default=0.0)
    assert lower <= found <= upper


def test_half_way_through_a_bucket_is_half_way_between_its_edges() -> None:
    """Linear, as histogram_quantile is."""
    assert Histogram({0.1: 0.0, 1.0: 100.0, math.inf: 100.0}).quantile(0.5) == pytest.approx(0.55)


def test_beyond_the_last_edge_nothing_is_known_but_that() -> None:
    """Not the last edge, which would look like a measurement."""
    assert Histogram({1.0: 0.0, math.inf: 10.0}).quantile(0.99) == math.inf


def test_without_answers_there_is_no_quantile() -> None:
    """Nothing answered is not fast."""
    assert Histogram({1.0: 0.0, math.inf: 0.0}).quantile(0.99) is None


def test_the_buckets_of_all_outcomes_are_added_over_the_window() -> None:
    """What was counted before the window stays out."""
    series = [
        Series({"outcome": outcome, "le": le}, [(0.0, before), (9.0, after)])
        for outcome in ("succeeded", "failed")
        for le, before, after in (("1.0", 5.0, 7.0), ("+Inf", 5.0, 9.0))
    ]
    found = histogram(series, Window(0.0, 9.0, 9.0))
    assert found is not None
    assert found.count == 8.0
    assert found.over(1.0) == 4.0
    assert histogram([], Window(0.0, 9.0, 9.0)) is None
