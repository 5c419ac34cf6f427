"""The cost of multiprocess mode: records in shared memory, and a scrape of several workers.

The yardstick is prometheus_client's multiprocess mode: a bound `Histogram.observe`, and its collector over
the files of as many workers.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import Row, Work, medians, parser, tell
from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.catalogue.declaring import LATENCY_BUCKETS
from moneypath.telemetry.recording.multiprocess.store import SharedStore

OBSERVE = "x multiprocess observe"
GOAL = 0.25
LIVING = 4
ATTEMPT = {"provider": "north", "operation": "authorize", "outcome": "succeeded"}
CATALOGUE = Catalogue.build(
    {
        "providers": ("north", "south"),
        "currencies": ("EUR", "USD", "JPY", "KWD"),
        "checks": ("ledger_balance",),
        "schemes": ("visa", "mastercard"),
    }
)
# One worker of theirs that records once in each of as many series as one of ours exposes, then ends.
THEIR_WORKER = """
import sys
from prometheus_client import Counter
counter = Counter("filler", "-", ["number"])
for number in range(int(sys.argv[1])):
    counter.labels(str(number)).inc()
"""


def payments(recorder: Recorder) -> Work:
    """Return complete payment records: latency, outcome, in flight and fee, labels looked up each time."""

    def work(rounds: int) -> None:
        for _ in range(rounds):
            recorder.begin("authorize").finish(0.0425, "succeeded", "north", 1250)

    return work


def timed_payments(recorder: Recorder) -> Work:
    """Return the same with the public context manager, which reads the clock twice."""

    def work(rounds: int) -> None:
        for _ in range(rounds):
            with recorder.payment("authorize") as record:
                record.finish("succeeded", "north", 1250)

    return work


def observes(recorder: Recorder) -> Work:
    """Return bound observations."""
    observe = recorder.histogram("moneypath_provider_request_duration_seconds").bind(**ATTEMPT).observe

    def work(rounds: int) -> None:
        for _ in range(rounds):
            observe(0.0425)

    return work


def their_observes(folder: Path) -> Work:
    """Return bound observations with prometheus_client in multiprocess mode."""
    # It looks at the environment when it is imported.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    from prometheus_client import Histogram

    histogram = Histogram("duration_seconds", "-", list(ATTEMPT), buckets=LATENCY_BUCKETS)
    observe = histogram.labels(**ATTEMPT).observe

    def work(rounds: int) -> None:
        for _ in range(rounds):
            observe(0.0425)

    return work


def records(folder: Path, *, repeats: int, rounds: int) -> list[Row]:
    """Measure one record of each kind, interleaved."""
    shared = setup(CATALOGUE, service="shared", shared=folder / "ours")
    private = setup(CATALOGUE, service="private", shared=False)
    taken = medians(
        {
            "theirs": their_observes(folder),
            "payment": payments(shared),
            "observe": observes(shared),
            "timed payment": timed_payments(shared),
            "private payment": payments(private),
            "private observe": observes(private),
        },
        repeats=repeats,
        rounds=rounds,
    )
    yardstick = taken["theirs"]

    def row(name: str, candidate: str, goal: float | None = None) -> Row:
        what = "latency, outcome, in flight, fee; " if candidate == "payment" else ""
        nanoseconds = (
            f"{what}{taken[candidate] * 1e9:.0f} ns, one multiprocess observe {yardstick * 1e9:.0f} ns"
        )
        return Row(name, taken[candidate] / yardstick, OBSERVE, goal, nanoseconds)

    return [
        row("shared between processes", "payment", GOAL),
        row("shared between processes: bound observe", "observe", GOAL),
        row("shared between processes: public context manager", "timed payment"),
        row("the same payment in memory of one process", "private payment"),
        row("the same observe in memory of one process", "private observe"),
    ]


def paying_worker(folder: Path) -> Recorder:
    """Return another worker, with payments of its own."""
    worker = setup(CATALOGUE, service="scraped", shared=folder)
    payments(worker)(3)
    return worker


def end(worker: Recorder) -> None:
    """Release the worker's lock, as its death does."""
    if isinstance(worker._store, SharedStore):
        worker._store._file.abandon()


def scrapes(folder: Path, *, repeats: int, deaths: int) -> list[Row]:
    """Measure a scrape of live workers, then one after many workers have exited."""
    workers = [paying_worker(folder / "scraped") for _ in range(LIVING)]
    alone = setup(CATALOGUE, service="private", shared=False)
    payments(alone)(3)

    def scrape(recorder: Recorder) -> Work:
        def work(rounds: int) -> None:
            for _ in range(rounds):
                payments(recorder)(1)
                recorder.render()

        return work

    before = medians({"alone": scrape(alone), "shared": scrape(workers[0])}, repeats=repeats, rounds=3)
    for _ in range(deaths):
        end(paying_worker(folder / "scraped"))
    folded = medians({"first": scrape(workers[0])}, repeats=1, rounds=1)["first"]
    after = medians({"shared": scrape(workers[0])}, repeats=repeats, rounds=3)["shared"]
    files = len(list((folder / "scraped").glob("*/*.points")))
    lines = workers[0].render().count(b"\n")
    return [
        Row(f"scrape, {LIVING} workers live", before["shared"] * 1e3, "ms", None, f"{lines} lines"),
        Row("the same scrape of one process", before["alone"] * 1e3, "ms"),
        Row(
            f"scrape, {LIVING} workers live, {deaths} dead",
            after * 1e3,
            "ms",
            None,
            f"{files} files left; the first scrape after the deaths {folded * 1e3:.1f} ms",
        ),
    ]


def their_scrapes(folder: Path, *, series: int, dead: int) -> Row:
    """Measure a scrape with prometheus_client's collector over the files of exited workers."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    for _ in range(dead):
        subprocess.run([sys.executable, "-c", THEIR_WORKER, str(series)], env=environment, check=True)  # noqa: S603 - a script of ours
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]

    def work(rounds: int) -> None:
        for _ in range(rounds):
            generate_latest(registry)

    taken = medians({"theirs": work}, repeats=5, rounds=1)["theirs"]
    name = f"prometheus_client: scrape, files of {dead} workers"
    return Row(name, taken * 1e3, "ms", None, f"{series} series each; a worker that is gone keeps its files")


def main() -> None:
    """Measure and print."""
    arguments = parser("What sharing point between workers costs.", repeats=1, rounds=100, dead=2, theirs=1)
    arguments.add_argument("--repeats", type=int, default=25, help="interleaved repetitions (default 25)")
    arguments.add_argument("--rounds", type=int, default=20_000, help="records a repetition (default 20000)")
    arguments.add_argument("--dead", type=int, default=1000, help="workers that die (default 1000)")
    arguments.add_argument("--theirs", type=int, default=20, help="workers of theirs that die (default 20)")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:  # noqa: S108 - a new folder
        folder = Path(name)
        rows = records(folder, repeats=options.repeats, rounds=options.rounds)
        rows += scrapes(folder, repeats=options.repeats, deaths=options.dead)
        rows += [
            their_scrapes(folder / f"theirs-{dead}", series=800, dead=dead)
            for dead in (min(LIVING, options.theirs), options.theirs)
        ]
    tell(rows, options.json)


if __name__ == "__main__":
    main()
