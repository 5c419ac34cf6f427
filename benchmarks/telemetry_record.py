"""What one record, one scrape and one series of the instrumentation cost, beside prometheus_client.

Run `python benchmarks/telemetry_record.py`. "x observe" is a multiple of one bound `Histogram.observe` of
prometheus_client with the same buckets, measured in turn with the rest: trust the ratios, not the times.
"""

import asyncio
import statistics
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter

from measuring import Row, Work, medians, parser, tell
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from moneypath.telemetry import Catalogue, MetricKind, MetricSpec, Recorder, Unit, setup
from moneypath.telemetry.catalogue.declaring import LATENCY_BUCKETS
from moneypath.telemetry.integrations.asgi import metrics_endpoint

OBSERVE = "x observe"
ATTEMPT = {"provider": "north", "operation": "authorize", "outcome": "succeeded"}
VOCABULARY = {
    "providers": ("north", "south"),
    "currencies": ("EUR", "USD", "JPY", "KWD"),
    "checks": ("ledger_balance",),
    "schemes": ("visa", "mastercard"),
}
SECONDS = 0.0425
FEE = 1250
LINES = 10_000
CHILDREN, COUNTERS = 500, 2000


def ours(recorder: Recorder) -> dict[str, Work]:
    """Return what is measured of the recorder."""
    histogram = recorder.histogram("moneypath_provider_request_duration_seconds")
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
    """Return the yardstick, and the same payment recorded by five bound calls."""
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
            begun = perf_counter()
            observe(perf_counter() - begun)
            count()
            pay(FEE)
            in_flight.dec()

    return {"yardstick": bound_observe, "their payment": payment}


def record_rows(*, repeats: int, rounds: int) -> Iterable[Row]:
    """Yield what records cost."""
    catalogue = Catalogue.build(VOCABULARY)
    recorder = setup(catalogue, service="benchmark")
    buckets = catalogue["moneypath_provider_request_duration_seconds"].buckets
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


def many_series() -> Catalogue:
    """Return a catalogue whose text has ten thousand lines of samples: three fifths of them buckets."""
    numbers = tuple(f"number-{number}" for number in range(CHILDREN))
    counters = tuple(f"number-{number}" for number in range(COUNTERS))
    budget = 2 * LINES
    return Catalogue.of(
        [
            MetricSpec(
                *("moneypath_many_seconds", MetricKind.HISTOGRAM, "Many.", Unit.SECONDS),
                *({"number": numbers}, LATENCY_BUCKETS, budget, True),
            ),
            MetricSpec(
                *("moneypath_many_total", MetricKind.COUNTER, "Many.", Unit.NONE),
                *({"number": counters}, (), budget, True),
            ),
        ]
    )


@dataclass(frozen=True, slots=True)
class Scrape:
    """A recorder with many series, all of which change before each scrape, or none."""

    recorder: Recorder
    change: Callable[[], None]
    lines: int


def scraped() -> Scrape:
    """Return what is scraped."""
    recorder = setup(many_series(), service="benchmark")
    histogram, counter = (
        recorder.histogram("moneypath_many_seconds"),
        recorder.counter("moneypath_many_total"),
    )
    observes = [histogram.bind(number=f"number-{number}").observe for number in range(CHILDREN)]
    counts = [counter.bind(number=f"number-{number}").inc for number in range(COUNTERS)]
    latencies = (0.0031, 0.0077, 0.0424, 0.0931, 0.31)

    def change() -> None:
        for observe in observes:
            for seconds in latencies:
                observe(seconds)
        for count in counts:
            count(1.25)

    lines = sum(not line.startswith(b"#") for line in recorder.render().splitlines())
    return Scrape(recorder, change, lines)
