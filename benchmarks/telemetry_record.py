"""The cost of one record and of one series, compared with prometheus_client.

Run `python benchmarks/telemetry_record.py`. "x observe" is a multiple of one bound `Histogram.observe` of
prometheus_client with the same buckets, measured alternately with the rest. Trust the ratios, not the
times.
"""

import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterable
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from measuring import Row, Work, medians, parser, tell
from moneypath.telemetry import Catalogue, MetricKind, MetricSpec, Recorder, Unit, setup
from moneypath.telemetry.catalogue.declaring import LATENCY_BUCKETS

OBSERVE = "x observe"
ATTEMPT_SECONDS = "moneypath_provider_request_duration_seconds"
ATTEMPT = {"provider": "north", "operation": "authorize", "outcome": "succeeded"}
VOCABULARY = {
    "providers": ("north", "south"),
    "currencies": ("EUR", "USD", "JPY", "KWD"),
    "checks": ("ledger_balance",),
    "schemes": ("visa", "mastercard"),
}
SECONDS = 0.0425
FEE = 1250
CHILDREN = 2000
# Spread over a few buckets, as latencies are.
LATENCIES = (0.0031, 0.0077, 0.0424, 0.0931, 0.31)
THREADS = 4


def ours(recorder: Recorder) -> dict[str, Work]:
    """Return the calls of our recorder to measure."""
    histogram = recorder.histogram(ATTEMPT_SECONDS)
    observe = histogram.bind(**ATTEMPT).observe

    def record(rounds: int) -> None:
        for _ in range(rounds):
            recorder.begin("authorize").finish(SECONDS, "succeeded", "north", FEE)

    def payment(rounds: int) -> None:
        for _ in range(rounds):
            with recorder.payment("authorize") as record:
                record.finish("succeeded", "north", fee_micro_units=FEE)

    def bound_observe(rounds: int) -> None:
        for _ in range(rounds):
            observe(SECONDS)

    def observe_by_labels(rounds: int) -> None:
        for _ in range(rounds):
            histogram.observe(SECONDS, provider="north", operation="authorize", outcome="succeeded")

    return {
        "record": record,
        "payment": payment,
        "bound observe": bound_observe,
        "observe by labels": observe_by_labels,
    }


def theirs(buckets: tuple[float, ...]) -> dict[str, Work]:
    """Return the yardstick, and the same payment as five bound calls."""
    registry = CollectorRegistry()
    duration = Histogram("duration_seconds", "-", list(ATTEMPT), registry=registry, buckets=buckets)
    total = Counter("payments_total", "-", [*ATTEMPT, "traffic", "cohort"], registry=registry)
    in_flight = Gauge("in_flight", "-", ["operation"], registry=registry).labels("authorize")
    cost = Counter("cost_micro_units_total", "-", ["component", "provider"], registry=registry)
    observe = duration.labels(**ATTEMPT).observe
    count = total.labels(**ATTEMPT, traffic="live", cohort="control").inc
    pay = cost.labels("provider_fee", "north").inc

    def bound_observe(rounds: int) -> None:
        for _ in range(rounds):
            observe(SECONDS)

    def payment(rounds: int) -> None:
        for _ in range(rounds):
            in_flight.inc()
            started_at = perf_counter()
            observe(perf_counter() - started_at)
            count()
            pay(FEE)
            in_flight.dec()

    return {"yardstick": bound_observe, "their payment": payment}


def record_rows(*, repeats: int, rounds: int) -> Iterable[Row]:
    """Yield the cost of records."""
    catalogue = Catalogue.build(VOCABULARY)
    recorder = setup(catalogue, service="benchmark")
    buckets = catalogue[ATTEMPT_SECONDS].buckets
    taken = medians({**theirs(buckets), **ours(recorder)}, repeats=repeats, rounds=rounds)
    one = taken["yardstick"]
    detail = f"latency, outcome, in flight, fee; 1 observe is {one * 1e9:.0f} ns here"
    yield Row("full payment record", taken["record"] / one, OBSERVE, 0.5, detail)
    yield Row("public context manager", taken["payment"] / one, OBSERVE, 1.2, "both clock reads included")
    yield Row(
        "prometheus_client: the same payment", taken["their payment"] / one, OBSERVE, None, "5 bound calls"
    )
    yield Row("one bound observe of ours", taken["bound observe"] / one, OBSERVE)
    yield Row("one observe by labels of ours", taken["observe by labels"] / one, OBSERVE)


def memory_rows() -> Iterable[Row]:
    """Yield the memory of a histogram child and of all that belongs to it, also after scrapes."""
    numbers = tuple(f"number-{number}" for number in range(CHILDREN))
    spec = MetricSpec(
        "moneypath_many_seconds",
        MetricKind.HISTOGRAM,
        "Many.",
        Unit.SECONDS,
        {"number": numbers},
        LATENCY_BUCKETS,
        CHILDREN * 16,
    )
    recorder = setup(Catalogue.of([spec]), service="benchmark")
    histogram = recorder.histogram(spec.name)
    registry = CollectorRegistry()
    theirs = Histogram("many_seconds", "-", ["number"], registry=registry, buckets=LATENCY_BUCKETS)

    def grow_ours() -> None:
        for number in numbers:
            for seconds in LATENCIES:
                histogram.observe(seconds, number=number)

    def grow_theirs() -> None:
        for number in numbers:
            for seconds in LATENCIES:
                theirs.labels(number).observe(seconds)

    ours = [size / CHILDREN / 1000 for size in grown(grow_ours, recorder.render)]
    other = [size / CHILDREN / 1000 for size in grown(grow_theirs, lambda: generate_latest(registry))]
    few, full = data_point_size(LATENCIES), data_point_size((0.0, *LATENCY_BUCKETS, 20.0))
    detail = f"the data point, a thousand in each of {len(LATENCIES)} buckets; in all: {full / 1000:.2f} KB"
    yield Row("memory of a histogram child", few / 1000, "KB", 0.5, detail)
    told = "all that is kept: data point, handle, labels, text; {:.2f} before, {:.2f} after ten"
    yield Row("memory of a histogram child, scraped", ours[1], "KB", 1.0, told.format(ours[0], ours[2]))
    told = "{:.2f} before, {:.2f} after ten"
    yield Row("prometheus_client: the same", other[1], "KB", None, told.format(other[0], other[2]))


def data_point_size(latencies: Iterable[float]) -> int:
    """Return the bytes of a histogram data point with a thousand of each latency, numbers included."""
    histogram = setup(Catalogue.build(VOCABULARY), service="benchmark").histogram(ATTEMPT_SECONDS)
    for seconds in latencies:
        for _ in range(1000):
            histogram.observe(seconds, **ATTEMPT)
    (point,) = histogram.points.values()
    return sys.getsizeof(point) + sum(map(sys.getsizeof, {id(number): number for number in point}.values()))


def grown(grow: Callable[[], None], scrape: Callable[[], bytes]) -> tuple[int, int, int]:
    """Return by how many bytes memory is larger after a function, then after one scrape, and after ten.

    Before each further scrape the function runs again, so that every line changes.
    """
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        sizes = []
        for _ in range(10):
            grow()
            sizes.append(tracemalloc.get_traced_memory()[0] - before)
            scrape()
            sizes.append(tracemalloc.get_traced_memory()[0] - before)
        return sizes[0], sizes[1], sizes[-1]
    finally:
        tracemalloc.stop()


def loss_rows(records: int) -> Iterable[Row]:
    """Yield the records that threads lose at the shortest switch interval; the control must lose some."""
    recorder = setup(Catalogue.build(VOCABULARY), service="benchmark")
    point = [0]

    def plus_one(value: int) -> int:
        return value + 1

    def record() -> None:
        for _ in range(records):
            recorder.begin("authorize").finish(0.25, "succeeded", "north", 3)

    def control() -> None:
        for _ in range(records):
            point[0] = plus_one(point[0])

    in_threads(control)
    in_threads(record)
    expected = THREADS * records
    values = {samples.spec.name: samples.values for samples in recorder.snapshot()}
    (counted,) = [value for value in values["moneypath_payments_total"].values() if value]
    fees = values["moneypath_cost_micro_units_total"]["provider_fee", "north"]
    lost = (
        abs(expected - counted)
        + abs(3 * expected - fees)
        + values["moneypath_payments_in_flight"]["authorize",]
    )
    share = (expected - point[0]) / expected
    detail = f"{THREADS} threads x {records:g} at 1 us; read, call, write loses {share:.0%}"
    yield Row("lost records", lost, "records", 0, detail)


def in_threads(work: Callable[[], None]) -> None:
    """Run the same work in all threads at once, with as many thread switches as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)


def main() -> None:
    """Measure and print."""
    arguments = parser("What one record of the instrumentation costs.", repeats=1, rounds=100, records=1000)
    arguments.add_argument("--repeats", type=int, default=41, help="interleaved repetitions (default 41)")
    arguments.add_argument("--rounds", type=int, default=5000, help="records per repetition (default 5000)")
    arguments.add_argument("--records", type=int, default=1_000_000, help="records a thread (default 1e6)")
    given = arguments.parse_args()
    rows = [
        *record_rows(repeats=given.repeats, rounds=given.rounds),
        *memory_rows(),
        *loss_rows(given.records),
    ]
    tell(rows, given.json)


if __name__ == "__main__":
    main()
