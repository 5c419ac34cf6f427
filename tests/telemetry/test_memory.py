"""A series uses little memory, however much it counts and however often it is scraped."""

import gc
import sys
import tracemalloc

import pytest

from moneypath.telemetry import Catalogue, MetricKind, MetricSpec, Unit, setup
from moneypath.telemetry.catalogue.declaring import LATENCY_BUCKETS
from moneypath.telemetry.recording import recorder as recording_recorder

CHILDREN = 2000
HALF_KILOBYTE = 512


def many_children() -> tuple[Catalogue, list[dict[str, str]]]:
    """Return a catalogue with one histogram of many label combinations, and the combinations."""
    numbers = tuple(f"n{number}" for number in range(CHILDREN // 4))
    kinds = ("a", "b", "c", "d")
    spec = MetricSpec(
        "moneypath_many_seconds",
        MetricKind.HISTOGRAM,
        "Many.",
        Unit.SECONDS,
        {"kind": kinds, "number": numbers},
        LATENCY_BUCKETS,
        CHILDREN * 16,
    )
    return Catalogue.of([spec]), [{"kind": kind, "number": number} for kind in kinds for number in numbers]


def test_data_point_of_a_histogram_child_takes_at_most_half_a_kilobyte() -> None:
    """Counted with every number in them, a thousand durations spread over a few buckets as latencies are."""
    catalogue, combinations = many_children()
    recorder = setup(catalogue, service="api")
    histogram = recorder.histogram("moneypath_many_seconds")
    observe = histogram.bind(**combinations[0]).observe
    for seconds in (0.004, 0.008, 0.02, 0.04, 0.09, 0.2):
        for _ in range(1000):
            observe(seconds)
    (point,) = histogram.points.values()
    numbers = {id(number): number for number in point}
    assert sys.getsizeof(point) + sum(map(sys.getsizeof, numbers.values())) <= HALF_KILOBYTE


def test_new_child_with_all_that_belongs_to_it_stays_small() -> None:
    """The data point, the handle and the cached labels of a call."""
    catalogue, combinations = many_children()
    recorder = setup(catalogue, service="api")
    histogram = recorder.histogram("moneypath_many_seconds")
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for labels in combinations:
            histogram.observe(0.1, **labels)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(histogram.points) == CHILDREN
    assert (after - before) / CHILDREN <= 2 * HALF_KILOBYTE


def test_scrapes_keep_little_for_each_child() -> None:
    """Labels are kept as text, lines and templates are not; four scrapes keep no more than one."""
    catalogue, combinations = many_children()
    recorder = setup(catalogue, service="api")
    histogram = recorder.histogram("moneypath_many_seconds")

    def change() -> None:
        for labels in combinations:
            histogram.observe(0.1, **labels)
            histogram.observe(0.9, **labels)

    change()
    kept = []
    tracemalloc.start()
    try:
        # Each number is another object now, as after each further scrape.
        change()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(4):
            assert recorder.render().count(b"\n") > CHILDREN * len(LATENCY_BUCKETS)
            kept.append((tracemalloc.get_traced_memory()[0] - before) / CHILDREN)
            change()
    finally:
        tracemalloc.stop()
    assert 0 < kept[0] <= HALF_KILOBYTE / 2
    assert kept[-1] <= kept[0] + HALF_KILOBYTE / 8


def test_scrape_under_way_holds_few_objects_for_the_garbage_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thousands of new lists at each scrape would make the collector search the whole heap in its midst."""
    catalogue, combinations = many_children()
    recorder = setup(catalogue, service="api")
    for labels in combinations:
        recorder.histogram("moneypath_many_seconds").observe(0.1, **labels)
    monkeypatch.setattr(recording_recorder, "STEP_SECONDS", 0.0)
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        steps = recorder.render_in_steps()
        # In the midst of the metric's lines.
        parts = [next(steps) for _ in range(CHILDREN // 2)]
        held = len(gc.get_objects()) - before
    finally:
        gc.enable()
    assert b"_bucket" in parts[-1]
    assert held < CHILDREN / 10
