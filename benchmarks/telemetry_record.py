"""What one record costs, as a multiple of one bound `Histogram.observe` of prometheus_client.

Run `python benchmarks/telemetry_record.py`. The candidates run interleaved, round by round, and
medians are compared, so that a busy machine slows all of them alike: trust the ratios, not the times.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from moneypath.telemetry import Catalogue, Recorder, setup

Work = Callable[[int], None]

ATTEMPT = {"provider": "north", "operation": "authorize", "outcome": "succeeded"}
VOCABULARY = {
    "providers": ("north", "south"),
    "currencies": ("EUR", "USD", "JPY", "KWD"),
    "checks": ("ledger_balance",),
    "schemes": ("visa", "mastercard"),
}


def ours(recorder: Recorder) -> dict[str, Work]:
    """Return what is measured of the recorder."""
    histogram = recorder.histogram("moneypath_provider_request_duration_seconds")
    observe = histogram.bind(**ATTEMPT).observe
    count = recorder.counter("moneypath_provider_attempts_total").bind(**ATTEMPT).inc

    def payment(rounds: int) -> None:
        for _ in range(rounds):
            with recorder.payment("authorize") as record:
                record.finish("succeeded", "north")

    def bound_observe(rounds: int) -> None:
        for _ in range(rounds):
            observe(0.0425)

    def bound_count(rounds: int) -> None:
        for _ in range(rounds):
            count()

    def observe_by_labels(rounds: int) -> None:
        for _ in range(rounds):
            histogram.observe(0.0425, provider="north", operation="authorize", outcome="succeeded")

    return {
        "moneypath: one payment, count + duration + in flight, both clock reads": payment,
        "moneypath: one bound observe": bound_observe,
        "moneypath: one observe by labels": observe_by_labels,
        "moneypath: one bound count": bound_count,
    }


def theirs(buckets: tuple[float, ...]) -> tuple[Work, Work]:
    """Return the yardstick, one bound observe, and the same payment recorded by bound calls."""
    registry = CollectorRegistry()
    duration = Histogram("duration_seconds", "-", list(ATTEMPT), registry=registry, buckets=buckets)
    total = Counter("payments_total", "-", [*ATTEMPT, "traffic", "cohort"], registry=registry)
    in_flight = Gauge("in_flight", "-", ["operation"], registry=registry).labels("authorize")
    observe = duration.labels(**ATTEMPT).observe
    count = total.labels(**ATTEMPT, traffic="live", cohort="control").inc

    def bound_observe(rounds: int) -> None:
        for _ in range(rounds):
            observe(0.0425)

    def payment(rounds: int) -> None:
        for _ in range(rounds):
            in_flight.inc()
            begun = perf_counter()
            observe(perf_counter() - begun)
            count()
            in_flight.dec()

    return bound_observe, payment


def scrapes(recorder: Recorder) -> tuple[Work, Work, int]:
    """Return rendering by us and by prometheus_client of about as many lines, and our number of lines."""
    lines = recorder.render().count(b"\n")
    registry = CollectorRegistry()
    filler = Counter("filler_total", "-", ["operation", "number"], registry=registry)
    for number in range(lines // 2):
        # Two lines each: the value and when it was created.
        filler.labels("authorize", str(number)).inc()

    def render(rounds: int) -> None:
        for _ in range(rounds):
            recorder.render()

    def latest(rounds: int) -> None:
        for _ in range(rounds):
            generate_latest(registry)

    return render, latest, lines


def measure(candidates: dict[str, Work], *, repeats: int, rounds: int) -> dict[str, float]:
    """Return the median seconds of one round of each candidate, run in turn."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, work in candidates.items():
            begun = perf_counter()
            work(rounds)
            times[name].append((perf_counter() - begun) / rounds)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What one telemetry record costs.")
    parser.add_argument("--repeats", type=int, default=25, help="interleaved repetitions (default 25)")
    parser.add_argument("--rounds", type=int, default=20_000, help="records per repetition (default 20000)")
    arguments = parser.parse_args()
    catalogue = Catalogue.build(VOCABULARY)
    recorder = setup(catalogue, service="benchmark")
    yardstick = "prometheus_client: one bound observe (the yardstick)"
    observe, payment = theirs(catalogue["moneypath_provider_request_duration_seconds"].buckets)
    candidates = {
        yardstick: observe,
        **ours(recorder),
        "prometheus_client: the same payment, four bound calls": payment,
    }
    medians = measure(candidates, repeats=arguments.repeats, rounds=arguments.rounds)
    lines = [f"{'':72}  ns each  x yardstick"]
    for name, seconds in medians.items():
        lines.append(f"{name:72} {seconds * 1e9:8.0f} {seconds / medians[yardstick]:12.2f}")
    render, latest, count = scrapes(recorder)
    scraped = measure({"ours": render, "theirs": latest}, repeats=15, rounds=3)
    ratio = scraped["ours"] / scraped["theirs"]
    lines.append(
        f"one scrape of {count} lines: {scraped['ours'] * 1e3:.2f} ms, "
        f"generate_latest {scraped['theirs'] * 1e3:.2f} ms, ratio {ratio:.2f}"
    )
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
