"""Workers that share a folder return the same sums, whichever is scraped and whichever has exited."""

from collections.abc import Callable
from pathlib import Path

import pytest

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.recording.multiprocess.group import Group
from moneypath.telemetry.recording.multiprocess.layout import layout_of, slots_of
from moneypath.telemetry.recording.multiprocess.store import ParentStore, SharedStore
from moneypath.telemetry.recording.store import PointStore

Start = Callable[[], Recorder]
Kill = Callable[[Recorder], None]
Files = Callable[[], list[str]]
Scrape = Callable[[Recorder], dict[str, float]]

LEFT = 'moneypath_steps_total{side="left"}'
IN_FLIGHT = 'moneypath_payments_in_flight{operation="capture"}'
UNFINISHED = 'moneypath_telemetry_drops_total{reason="unfinished"}'
LEFT_OPEN = (
    'moneypath_payments_total{operation="capture",outcome="indeterminate",'
    'provider="none",traffic="live",cohort="control"}'
)
NEVER_ANSWERED = (
    'moneypath_payment_duration_seconds_bucket{operation="capture",outcome="indeterminate",le="%s"}'
)
CAPTURED = (
    'moneypath_payments_total{operation="capture",outcome="succeeded",provider="north",'
    'traffic="live",cohort="control"}'
)


def test_every_worker_answers_for_all(start: Start, scrape: Scrape) -> None:
    """Counters, histograms, payments and the metrics about telemetry are summed in every worker."""
    workers = [start() for _ in range(3)]
    for number, worker in enumerate(workers, start=1):
        worker.counter("moneypath_steps_total").inc(number, side="left")
        worker.histogram("moneypath_stride_seconds").observe(number / 4, side="right")
        worker.counter("moneypath_steps_total").inc(-1, side="left")
        with worker.payment("capture") as payment:
            payment.finish("succeeded", "north")
    for worker in workers:
        samples = scrape(worker)
        assert samples[LEFT] == 6
        assert samples['moneypath_stride_seconds_bucket{side="right",le="0.5"}'] == 2
        assert samples['moneypath_stride_seconds_count{side="right"}'] == 3
        assert samples['moneypath_stride_seconds_sum{side="right"}'] == 1.5
        assert samples[CAPTURED] == 3
        assert samples[IN_FLIGHT] == 0
        assert samples['moneypath_telemetry_drops_total{reason="negative"}'] == 3
        assert samples["moneypath_telemetry_records_total"] == 9


def test_workers_apart_do_not_answer_for_each_other(small: Catalogue, tmp_path: Path, scrape: Scrape) -> None:
    """Another service, another catalogue and a worker that does not share are left out."""
    worker = setup(small, service="api", shared=tmp_path)
    fewer = Catalogue.of(spec for spec in small if spec.name != "moneypath_latest_level")
    others = (
        setup(small, service="worker", shared=tmp_path),
        setup(fewer, service="api", shared=tmp_path),
        setup(small, service="api", shared=False),
    )
    for other in others:
        other.counter("moneypath_steps_total").inc(side="left")
        assert LEFT not in scrape(worker)
        assert scrape(other)[LEFT] == 1


def test_text_is_the_same_as_of_a_process_on_its_own(
    small: Catalogue, tmp_path: Path, catalogue: Catalogue
) -> None:
    """One worker that shares renders the same bytes as a process on its own."""
    for chosen in (small, catalogue):
        texts = []
        for shared in (tmp_path, False):
            recorder = setup(chosen, service="api", shared=shared, clock=lambda: 0.25)
            with recorder.payment("capture") as payment:
                payment.finish("succeeded", "north")
            recorder.payment("capture").__enter__()
            if chosen is small:
                recorder.gauge("moneypath_latest_level").set(2**60 + 1, side="left")
                recorder.gauge("moneypath_max_level").set(0.25, side="left")
                recorder.gauge("moneypath_sum_level").set(3, side="right")
                recorder.histogram("moneypath_stride_seconds").observe(0.7, side="right")
                recorder.counter("moneypath_steps_total").inc(2, side="right")
            texts.append([line for line in recorder.render().splitlines() if b"render_seconds" not in line])
        assert sorted(texts[0]) == sorted(texts[1])


def test_dead_worker_stays_counted_and_costs_nothing(
    start: Start, kill: Kill, scrape: Scrape, files: Files
) -> None:
    """Its counts stay in every later scrape; its file is removed by the first one."""
    survivor, victim = start(), start()
    survivor.counter("moneypath_steps_total").inc(1, side="left")
    victim.counter("moneypath_steps_total").inc(2, side="left")
    assert scrape(survivor)[LEFT] == 3
    kill(victim)
    assert len(files()) == 2
    for _ in range(3):
        assert scrape(survivor)[LEFT] == 3
        assert len(files()) == 1
    newcomer = start()
    newcomer.counter("moneypath_steps_total").inc(4, side="left")
    assert scrape(newcomer)[LEFT] == scrape(survivor)[LEFT] == 7


def test_a_payment_that_a_dead_worker_left_open_counts_for_the_objective(
    start: Start, kill: Kill, scrape: Scrape
) -> None:
    """It is in flight while the worker lives; then nobody was answered, and it is our failure."""
    survivor, victim = start(), start()
    victim.payment("capture").__enter__()
    survivor.payment("capture").__enter__()
    assert scrape(survivor)[IN_FLIGHT] == 2
    kill(victim)
    for _ in range(2):
        samples = scrape(survivor)
        assert samples[IN_FLIGHT] == 1
        assert samples[LEFT_OPEN] == 1
        assert samples[NEVER_ANSWERED % "+Inf"] == 1
        assert samples[NEVER_ANSWERED % "10.0"] == 0
        assert samples[UNFINISHED] == 0
    newcomer = start()
    kill(survivor)
    for _ in range(2):
        samples = scrape(newcomer)
        assert (samples[IN_FLIGHT], samples[LEFT_OPEN]) == (0, 2)


def test_sums_over_rows_are_steady_too(start: Start, kill: Kill, scrape: Scrape) -> None:
    """A duration by outcome sums over providers, in whatever order workers recorded them."""
    total = 'moneypath_payment_duration_seconds_sum{operation="capture",outcome="failed"}'
    idle, busy, survivor = start(), start(), start()
    for provider in ("north", "south", "none"):
        idle.begin("capture").finish(0, "failed", provider)
    for provider, seconds in (("none", 0.3), ("south", 0.2), ("north", 0.1)):
        busy.begin("capture").finish(seconds, "failed", provider)
    sums = [scrape(worker)[total] for worker in (idle, busy, survivor)]
    for victim in (busy, idle):
        kill(victim)
        sums += [scrape(survivor)[total], scrape(survivor)[total]]
    assert len(set(sums)) == 1


def test_last_worker_may_die_too(start: Start, kill: Kill, scrape: Scrape) -> None:
    """In a named folder the next worker continues from the totals."""
    for expected in (1, 2, 3):
        worker = start()
        worker.counter("moneypath_steps_total").inc(side="left")
        assert scrape(worker)[LEFT] == expected
        kill(worker)


def test_gauges_of_exited_workers_are_absent(start: Start, kill: Kill, scrape: Scrape) -> None:
    """The gauge of an exited worker does not count; the number of its records does."""
    survivor, victim = start(), start()
    for value, worker in ((1, survivor), (5, victim)):
        for name in ("latest", "max", "sum"):
            worker.gauge(f"moneypath_{name}_level").set(value, side="left")
    samples = scrape(survivor)
    assert [samples[f'moneypath_{name}_level{{side="left"}}'] for name in ("latest", "max", "sum")] == [
        5,
        5,
        6,
    ]
    kill(victim)
    samples = scrape(survivor)
    assert [samples[f'moneypath_{name}_level{{side="left"}}'] for name in ("latest", "max", "sum")] == [
        1,
        1,
        1,
    ]
    assert samples["moneypath_telemetry_records_total"] == 6


def test_gauge_is_absent_while_no_living_worker_knows_it(start: Start, kill: Kill, scrape: Scrape) -> None:
    """`latest` is absent if the last worker to set it cleared it; `max` keeps the others' values."""
    silent, first, second = start(), start(), start()
    for name in ("latest", "max", "sum"):
        # Bound at wiring and never set: it says nothing.
        silent.gauge(f"moneypath_{name}_level").bind(side="left")
    for name in ("latest", "max"):
        first.gauge(f"moneypath_{name}_level").set(7, side="left")
        second.gauge(f"moneypath_{name}_level").set(9, side="left")
        second.gauge(f"moneypath_{name}_level").clear(side="left")
    samples = scrape(first)
    assert 'moneypath_latest_level{side="left"}' not in samples
    assert samples['moneypath_max_level{side="left"}'] == 7
    assert 'moneypath_sum_level{side="left"}' not in samples
    kill(second)
    assert scrape(first)['moneypath_latest_level{side="left"}'] == 7


@pytest.mark.parametrize("value", [2**53 + 1, -(2**62) - 3, 2**63 - 1, 0, -1])
def test_whole_numbers_are_shared_digit_by_digit(start: Start, value: int) -> None:
    """Money above 2**53 minor units stays exact between workers and in sums."""
    first, second = start(), start()
    first.gauge("moneypath_latest_level").set(value, side="left")
    first.gauge("moneypath_sum_level").set(value, side="left")
    second.gauge("moneypath_sum_level").set(1, side="left")
    text = second.render().decode()
    assert f'moneypath_latest_level{{side="left"}} {value}\n' in text
    assert f'moneypath_sum_level{{side="left"}} {value + 1}\n' in text


def test_series_beyond_the_room_is_dropped_and_counted(start: Start, scrape: Scrape) -> None:
    """A full file refuses a new row, which is counted as a drop."""
    worker = start()
    worker._store._file._used = 10**9  # type: ignore[attr-defined] # a file as full as can be
    worker.counter("moneypath_steps_total").inc(side="left")
    samples = scrape(worker)
    assert LEFT not in samples
    assert samples['moneypath_telemetry_drops_total{reason="series_budget"}'] == 1


def test_parent_adds_its_children_to_itself(
    small: Catalogue, tmp_path: Path, kill: Kill, scrape: Scrape
) -> None:
    """A parent that does not share reads what its children share, from the first child on."""
    layout, group = layout_of(small), Group(tmp_path)

    def recorder(store: PointStore) -> Recorder:
        metrics, clock = small.metrics, lambda: 0.0
        return Recorder(small, service="api", metrics=metrics, clock=clock, locked=False, store=store)

    parent = recorder(ParentStore(lambda: None, layout))
    parent.counter("moneypath_steps_total").inc(side="left")
    assert scrape(parent)[LEFT] == 1

    parent = recorder(ParentStore(lambda: group, layout))
    children = [recorder(SharedStore(group, layout, slots_of(layout, small.metrics))) for _ in range(2)]
    for number, each in enumerate([*children, parent], start=1):
        each.counter("moneypath_steps_total").inc(number, side="left")
        each.counter("moneypath_steps_total").inc(number, side="right")
        for name in ("latest", "max", "sum"):
            each.gauge(f"moneypath_{name}_level").set(-number, side="left")
    children[0].gauge("moneypath_latest_level").set(8, side="left")
    parent.histogram("moneypath_stride_seconds").observe(0.5, side="left")
    for alive in (2, 1, 0):
        samples = scrape(parent)
        assert samples[LEFT] == samples['moneypath_steps_total{side="right"}'] == 6
        assert samples['moneypath_stride_seconds_sum{side="left"}'] == 0.5
        levels = [samples[f'moneypath_{name}_level{{side="left"}}'] for name in ("latest", "max", "sum")]
        assert levels == [[-3, -3, -3], [8, -1, -4], [8, -1, -6]][alive]
        if alive:
            kill(children[alive - 1])
