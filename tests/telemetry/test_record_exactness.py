"""No increment is lost between threads, without a lock, on a build with the GIL."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.recording.handles import BoundCounter, BoundGauge, BoundHistogram
from moneypath.telemetry.recording.locked import (
    LockedCounter,
    LockedDropCounter,
    LockedGauge,
    LockedHistogram,
    LockedPayment,
    LockedPaymentHandle,
    is_gil_enabled,
)
from moneypath.telemetry.recording.payment_records import PaymentRecord
from moneypath.telemetry.recording.recorder import Recorder as BareRecorder
from moneypath.telemetry.recording.store import LivePoint, PointStore

Read = Callable[..., float | None]

THREADS = 4
RECORDS = 50_000
ATTEMPT = {"provider": "north", "operation": "capture", "outcome": "failed"}


@pytest.fixture
def _restless() -> Iterator[None]:
    """Make the interpreter switch threads as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(work: Callable[[], None]) -> None:
    """Run the same work in all threads at once."""
    barrier = threading.Barrier(THREADS)

    def run() -> None:
        barrier.wait()
        work()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture(params=["in this process", "shared"])
def recorder(request: pytest.FixtureRequest, catalogue: Catalogue, tmp_path: Path) -> Recorder:
    """Return a recorder whose data points are lists, or shared memory."""
    return setup(catalogue, service="api", shared=tmp_path if request.param == "shared" else False)


def record_everything(recorder: Recorder, records: int) -> Callable[[], None]:
    """Return a function that records everything this often: counter, histogram, drop, payments both ways."""
    counter = recorder.counter("moneypath_provider_attempts_total").bind(**ATTEMPT)
    histogram = recorder.histogram("moneypath_provider_request_duration_seconds").bind(**ATTEMPT)

    def work() -> None:
        for _ in range(records):
            counter.inc()
            histogram.observe(0.25)
            counter.inc(-1)
            with recorder.payment("authorize") as payment:
                payment.finish("succeeded", "north", fee_micro_units=3)
            # A fee that is a float takes the other way through the code.
            recorder.begin("authorize").finish(0.25, "declined", "north", 0.5)
            recorder.begin("authorize").finish(-1, "declined", "north")

    return work


def assert_nothing_lost(read: Read, total: int) -> None:
    """Assert that every record of every thread is there."""
    labels = {"operation": "authorize", "outcome": "succeeded"}
    declined = {"operation": "authorize", "outcome": "declined"}
    live = {"provider": "north", "traffic": "live", "cohort": "control"}
    assert read("moneypath_provider_attempts_total", **ATTEMPT) == total
    assert read("moneypath_provider_request_duration_seconds_count", **ATTEMPT) == total
    assert read("moneypath_provider_request_duration_seconds_sum", **ATTEMPT) == total * 0.25
    assert read("moneypath_payment_duration_seconds_count", **labels) == total
    assert read("moneypath_payment_duration_seconds_count", **declined) == total
    assert read("moneypath_payment_duration_seconds_sum", **declined) == total * 0.25
    assert read("moneypath_payments_total", **labels, **live) == total
    assert read("moneypath_payments_total", **declined, **live) == total
    assert read("moneypath_payments_in_flight", operation="authorize") == 0
    assert read("moneypath_cost_micro_units_total", component="provider_fee", provider="north") == 3.5 * total
    assert read("moneypath_telemetry_drops_total", reason="negative") == 2 * total
    assert read("moneypath_telemetry_records_total") == 4 * total


@pytest.mark.usefixtures("_restless")
@pytest.mark.heavy
def test_records_of_four_threads_are_all_there(recorder: Recorder, read: Read) -> None:
    """Counters, histograms, payments, fees and drops lose nothing at the shortest switch interval."""
    in_threads(record_everything(recorder, RECORDS))
    assert_nothing_lost(read, THREADS * RECORDS)


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_restless")
def test_a_million_records_of_each_thread_are_all_there(recorder: Recorder, read: Read) -> None:
    """The same with the number that we promise; the control loses increments."""
    million = 1_000_000
    point = [0]

    def plus_one(value: int) -> int:
        return value + 1

    def control() -> None:
        for _ in range(million):
            point[0] = plus_one(point[0])

    in_threads(control)
    assert point[0] < THREADS * million
    in_threads(record_everything(recorder, million))
    assert_nothing_lost(read, THREADS * million)


@pytest.mark.usefixtures("_restless")
@pytest.mark.parametrize("point", [[0], memoryview(bytearray(8)).cast("d")], ids=["a list", "shared"])
def test_losing_control_shows_that_the_test_can_fail(point: LivePoint) -> None:
    """Reading, calling and writing loses increments under the same load, so the test above can fail."""

    def plus_one(value: float) -> float:
        return value + 1

    def work() -> None:
        for _ in range(RECORDS):
            point[0] = plus_one(point[0])

    rounds = 0
    # One round loses in practice; a machine that is busy elsewhere gets a few more.
    while point[0] == rounds * THREADS * RECORDS and rounds < 20:
        rounds += 1
        in_threads(work)
    assert point[0] < rounds * THREADS * RECORDS


@pytest.mark.usefixtures("_restless")
def test_threads_that_meet_at_a_new_series_share_its_data_point(catalogue: Catalogue) -> None:
    """The first record of a series is not lost either, when several threads make it at once."""
    for _ in range(50):
        recorder = setup(catalogue, service="api")
        histogram = recorder.histogram("moneypath_provider_request_duration_seconds")

        def work(recorder: Recorder = recorder, histogram: object = histogram) -> None:
            recorder.histogram("moneypath_provider_request_duration_seconds").observe(0.1, **ATTEMPT)
            with recorder.payment("authorize") as payment:
                payment.finish("succeeded", "north")

        in_threads(work)
        text = recorder.render().decode()
        assert (
            'request_duration_seconds_count{provider="north",operation="capture",outcome="failed"} 4.0'
            in text
        )
        assert 'payment_duration_seconds_count{operation="authorize",outcome="succeeded"} 4.0' in text


@pytest.mark.usefixtures("_restless")
def test_scrape_beside_records_is_consistent(recorder: Recorder) -> None:
    """While payments run, in flight is never negative, and the counter equals the histogram's count."""
    done = threading.Event()

    def pay() -> None:
        while not done.is_set():
            with recorder.payment("authorize") as payment:
                payment.finish("succeeded", "north")

    threads = [threading.Thread(target=pay) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        last = 0.0
        for _ in range(30):
            values = dict(
                line.rsplit(" ", 1)
                for line in recorder.render().decode().splitlines()
                if not line.startswith("#")
            )
            assert int(values['moneypath_payments_in_flight{operation="authorize"}']) >= 0
            counted = float(
                values[
                    'moneypath_payments_total{operation="authorize",outcome="succeeded",provider="north",'
                    'traffic="live",cohort="control"}'
                ]
            )
            assert counted == float(
                values['moneypath_payment_duration_seconds_count{operation="authorize",outcome="succeeded"}']
            )
            assert counted >= last
            last = counted
    finally:
        done.set()
        for thread in threads:
            thread.join()


def bare(catalogue: Catalogue, *, locked: bool) -> BareRecorder:
    """Return a recorder as `setup` makes it on a build with or without the GIL."""
    ticks = iter(range(10**9))
    return BareRecorder(
        catalogue,
        service="api",
        metrics=catalogue.metrics,
        clock=lambda: float(next(ticks)),
        locked=locked,
        store=PointStore(),
    )


def test_build_decides_about_locks(catalogue: Catalogue) -> None:
    """With the GIL no handle holds a lock; without it every one does."""
    for locked, kinds in (
        (False, (BoundCounter, BoundGauge, BoundHistogram, PaymentRecord)),
        (True, (LockedCounter, LockedGauge, LockedHistogram, LockedPayment)),
    ):
        recorder = bare(catalogue, locked=locked)
        made = (
            recorder.counter("moneypath_provider_attempts_total").bind(**ATTEMPT),
            recorder.gauge("moneypath_duplicate_charges").bind(),
            recorder.histogram("moneypath_provider_request_duration_seconds").bind(**ATTEMPT),
            recorder.payment("authorize"),
        )
        assert tuple(map(type, made)) == kinds
    usual = setup(catalogue, service="api").payment("authorize")
    assert type(usual) is (PaymentRecord if is_gil_enabled() else LockedPayment)


def test_locked_handles_record_the_same(catalogue: Catalogue) -> None:
    """The exposition does not depend on the build."""
    texts = []
    for locked in (False, True):
        recorder = bare(catalogue, locked=locked)
        recorder.counter("moneypath_provider_attempts_total").inc(3, **ATTEMPT)
        recorder.counter("moneypath_provider_attempts_total").inc(-3, **ATTEMPT)
        recorder.gauge("moneypath_duplicate_charges").set(2)
        recorder.histogram("moneypath_provider_request_duration_seconds").observe(0.2, **ATTEMPT)
        with recorder.payment("authorize") as payment:
            payment.finish("succeeded", "north")
        with pytest.raises(ZeroDivisionError), recorder.payment("authorize"):
            raise ZeroDivisionError
        with recorder.payment("authorize"):
            pass
        with recorder.payment("refund") as payment:
            payment.finish("succeeded", "north", fee_micro_units=5)
            payment.finish("failed")
        recorder.begin("void").finish(0.5, "succeeded", "south", 2.5)
        recorder.begin("void").finish(0.5, "lost")
        recorder.begin("teleport").finish(0.5, "succeeded")
        texts.append([line for line in recorder.render().splitlines() if b"render_seconds" not in line])
    assert texts[0] == texts[1]


def test_locked_handles_take_their_lock(catalogue: Catalogue) -> None:
    """While the lock is held, a record waits."""
    recorder = bare(catalogue, locked=True)
    counter = recorder.counter("moneypath_provider_attempts_total").bind(**ATTEMPT)
    assert isinstance(counter, LockedCounter)
    thread = threading.Thread(target=counter.inc)
    with counter._lock:
        thread.start()
        thread.join(timeout=0.05)
        assert thread.is_alive()
    thread.join()
    drops = LockedDropCounter(PointStore())
    thread = threading.Thread(target=drops.count, args=(DropReason.NEGATIVE,))
    with drops._lock:
        thread.start()
        thread.join(timeout=0.05)
        assert thread.is_alive()
    thread.join()


@pytest.mark.parametrize("step", ["begin", "finish", "enter", "leave"])
def test_every_step_of_a_locked_payment_takes_the_lock_of_its_operation(
    catalogue: Catalogue, step: str
) -> None:
    """Payment handles of one operation share the in-flight count and therefore a lock."""
    recorder = bare(catalogue, locked=True)
    handle = recorder.begin("authorize", traffic="canary")
    inside, outside = recorder.payment("authorize"), recorder.payment("authorize")
    inside.__enter__()
    other = recorder.begin("authorize")
    assert isinstance(other, LockedPaymentHandle)
    steps: dict[str, Callable[[], object]] = {
        "begin": lambda: recorder.begin("authorize"),
        "finish": lambda: handle.finish(0.1, "succeeded", "north"),
        "enter": outside.__enter__,
        "leave": lambda: inside.__exit__(None, None, None),
    }
    thread = threading.Thread(target=steps[step])
    with other._lock:
        thread.start()
        thread.join(timeout=0.05)
        assert thread.is_alive()
    thread.join()
