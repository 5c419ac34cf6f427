"""The cost of a scrape of ten thousand series, and its effect on concurrent requests.

Run `python benchmarks/telemetry_scrape.py`. Every series changes between two scrapes, which is the worst
case. Requests and ten scrapes a second come when they are due, whether or not the worker is free, and a
request's latency counts from then: otherwise a worker that stands still is sent almost nothing meanwhile, and
looks well. Spells with and without a scraper alternate.

This is measured twice: on an event loop whose clock is processor time, which judges, and over sockets to a
uvicorn worker by the clock on the wall, which says something on a quiet machine only. An endpoint that blocks
the event loop for 100 ms is measured in the same ways. The script exits with 1 if ours misses its goal, and
also if that one meets it, because then the goal would say nothing.
"""

import argparse
import random
import re
import socket
import statistics
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, process_time, sleep
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest

from loop_clock import ProcessorLoop, latencies, spend
from measuring import Row, parser, tell
from moneypath.telemetry import Catalogue, MetricKind, MetricSpec, Unit, setup
from moneypath.telemetry.catalogue.declaring import LATENCY_BUCKETS
from moneypath.telemetry.integrations.asgi import metrics_endpoint
from moneypath.telemetry.integrations.prometheus_client import RecorderCollector

CHILDREN, COUNTERS = 500, 2000
LATENCIES = (0.0031, 0.0077, 0.0424, 0.0931, 0.31)
CLIENTS = 2
# A tenth of Prometheus' in the demo, a fiftieth of that in production: p99 sees only what happens often.
SCRAPE_INTERVAL_SECONDS = 0.1
# What a request does besides: about as long as a small endpoint of FastAPI takes.
WORK_SECONDS = 0.0003
# Between two requests of a client, on average, so that the worker is busy but not full.
REQUEST_INTERVAL_SECONDS = 0.006
BLOCKING_SECONDS = 0.1
GOAL = 1.5
# The paths of the server, by what is measured on them.
NOTHING, OURS, AT_ONCE, BLOCKING = "", "/metrics", "/at-once", "/blocking"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class ManySeries:
    """A recorder with ten thousand lines of samples, three fifths of them buckets."""

    def __init__(self) -> None:
        self.recorder = setup(_catalogue(), service="benchmark")
        histogram = self.recorder.histogram("moneypath_many_seconds")
        counter = self.recorder.counter("moneypath_many_total")
        self._observes = [histogram.bind(number=str(number)).observe for number in range(CHILDREN)]
        self._counts = [counter.bind(number=str(number)).inc for number in range(COUNTERS)]

        self._place = 0

    def touch(self) -> None:
        """Record in a few series; within a few hundred requests in all of them."""
        place = self._place = self._place + 1
        self._observes[place % CHILDREN](LATENCIES[place % len(LATENCIES)])
        for count in self._counts[(4 * place) % COUNTERS :][:4]:
            count(1.25)

    def change(self) -> None:
        """Record in every series."""
        for observe in self._observes:
            for seconds in LATENCIES:
                observe(seconds)
        for count in self._counts:
            count(1.25)


def _catalogue() -> Catalogue:
    def numbers(count: int) -> dict[str, tuple[str, ...]]:
        return {"number": tuple(map(str, range(count)))}

    many = MetricSpec(
        "moneypath_many_seconds",
        MetricKind.HISTOGRAM,
        "Many.",
        Unit.SECONDS,
        numbers(CHILDREN),
        LATENCY_BUCKETS,
        20_000,
        True,
    )
    total = MetricSpec(
        "moneypath_many_total",
        MetricKind.COUNTER,
        "Many.",
        Unit.NONE,
        numbers(COUNTERS),
        (),
        20_000,
        True,
    )
    return Catalogue.of([many, total])


def render_rows(repeats: int) -> Iterable[Row]:
    """Yield the time of rendering if every line has changed, and if none has."""
    series = ManySeries()
    registry = CollectorRegistry()
    registry.register(RecorderCollector(series.recorder))
    lines = sum(not line.startswith(b"#") for line in series.recorder.render().splitlines())
    times: dict[str, list[float]] = {"changed": [], "unchanged": [], "theirs": []}

    def clock(name: str, render: Callable[[], bytes]) -> None:
        started_at = process_time()
        render()
        times[name].append((process_time() - started_at) * 1e3)

    for _ in range(repeats):
        series.change()
        clock("changed", series.recorder.render)
        clock("unchanged", series.recorder.render)
        clock("theirs", lambda: generate_latest(registry))
    taken = {name: statistics.median(each) for name, each in times.items()}
    unchanged = f"all changed; none changed: {taken['unchanged']:.2f} ms"
    yield Row(f"{lines:,} series lines rendered", taken["changed"], "ms", 5.0, unchanged)
    yield Row("prometheus_client: the same lines", taken["theirs"], "ms", None, "generate_latest")


async def _ignore(message: object) -> None: ...


async def _ask_nothing() -> MutableMapping[str, Any]:
    return {}


def measure_on_the_loop(spells: int, seconds: float) -> list[dict[str, float]]:
    """Return p99 by scraped path in processor time, once a round."""
    series = ManySeries()
    endpoint = metrics_endpoint(series.recorder)
    loop = ProcessorLoop()

    async def scrape() -> None:
        await endpoint({"type": "http", "method": "GET"}, _ask_nothing, _ignore)

    async def scrape_at_once() -> None:
        series.recorder.render()

    async def block() -> None:
        spend(BLOCKING_SECONDS)

    def request() -> None:
        spend(WORK_SECONDS)
        series.touch()

    def once(scraped: Callable[[], Awaitable[object]] | None) -> float:
        interval = REQUEST_INTERVAL_SECONDS / CLIENTS
        return p99(latencies(loop, seconds, request, interval, scraped, SCRAPE_INTERVAL_SECONDS))

    paths = {NOTHING: None, OURS: scrape, AT_ONCE: scrape_at_once, BLOCKING: block}
    try:
        once(scrape)
        return [{path: once(scraped) for path, scraped in paths.items()} for _ in range(spells)]
    finally:
        loop.close()


def serve() -> None:
    """Serve requests and scrapes on a free port, printed on stdout, until the parent closes stdin."""
    series = ManySeries()
    metrics = metrics_endpoint(series.recorder)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        content = b""
        if scope["path"] == OURS:
            await metrics(scope, receive, send)
            return
        if scope["path"] == AT_ONCE:
            content = series.recorder.render()
        elif scope["path"] == BLOCKING:
            sleep(BLOCKING_SECONDS)  # noqa: ASYNC251 - this is the fault
        else:
            done = perf_counter() + WORK_SECONDS
            series.touch()
            while perf_counter() < done:
                pass
        length = [(b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": content})

    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", access_log=False))

    def stop_at_end_of_input() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    server.run(sockets=[listener])


def ask(port: int, path: str, dues: Iterable[float]) -> list[float]:
    """Send requests over one connection when they are due, and return how long after that each was answered.

    The client is a blocking thread: an event loop would wake up to a millisecond late.
    """
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    times: list[float] = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = connection.makefile("rb", buffering=2**16)
        for due in dues:
            sleep(max(due - perf_counter(), 0))
            connection.sendall(request)
            head = b"".join(iter(reader.readline, b"\r\n"))
            size = re.search(rb"content-length: (\d+)", head)
            reader.read(int(size[1]) if size else 0)
            times.append(perf_counter() - due)
    return times


def dues(until: float, interval: float, spread: float) -> Iterable[float]:
    """Yield when to send, at least once. Without a spread, what is overdue is left out."""
    due = perf_counter()
    while True:
        yield due
        # Spread, so that requests do not keep step with scrapes.
        due += interval * random.uniform(1 - spread, 1 + spread)  # noqa: S311 - no secret
        if not spread:
            due = max(due, perf_counter())
        if due >= until:
            return


def spell(port: int, seconds: float, scraped: str) -> list[float]:
    """Return the latencies of requests in seconds, while a path is scraped."""
    until = perf_counter() + seconds
    with ThreadPoolExecutor(CLIENTS + 1) as threads:
        clients = [
            threads.submit(ask, port, "/", dues(until, REQUEST_INTERVAL_SECONDS, 0.5)) for _ in range(CLIENTS)
        ]
        if scraped:
            threads.submit(ask, port, scraped, dues(until, SCRAPE_INTERVAL_SECONDS, 0)).result()
        return [latency for client in clients for latency in client.result()]


def p99(latencies: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return statistics.quantiles(latencies, n=100)[98]


def slower(rounds: Sequence[Mapping[str, float]], path: str) -> float:
    """Return how many times as long p99 is beside scrapes of a path: the median of the rounds."""
    return statistics.median(each[path] / each[NOTHING] for each in rounds)


def request_rows(rounds: Sequence[Mapping[str, float]], clock: str) -> Iterable[Row]:
    """Yield how much slower the slowest hundredth of requests is with a scraper, from p99 by path."""
    alone, beside = (statistics.median(each[path] for each in rounds) * 1e3 for path in (NOTHING, OURS))
    told = f"ten scrapes a second; {beside:.2f} ms against {alone:.2f} ms"
    unit = "x without"
    yield Row(f"p99 of other requests while being scraped{clock}", slower(rounds, OURS), unit, GOAL, told)
    yield Row(f"the same, rendered at once{clock}", slower(rounds, AT_ONCE), unit)
    told = f"control: blocks for {BLOCKING_SECONDS * 1e3:g} ms, has to be above {GOAL:g}"
    yield Row(f"the same, of an endpoint that blocks{clock}", slower(rounds, BLOCKING), unit, None, told)


def failures(on_the_loop: Sequence[Mapping[str, float]], by_wall: Sequence[Mapping[str, float]]) -> list[str]:
    """Return why this run fails: ours misses the goal, or a control that has to miss it does not."""
    found = []
    if (ours := slower(on_the_loop, OURS)) > GOAL:
        found.append(f"Ours is {ours:.2f} x, above the goal of {GOAL:g}.")
    for clock, rounds in (("on the loop", on_the_loop), ("by the wall", by_wall)):
        if (control := slower(rounds, BLOCKING)) <= GOAL:
            found.append(f"The control {clock} is {control:.2f} x, within {GOAL:g}: the goal says nothing.")
    return found


def measure_by_wall(spells: int, seconds: float) -> list[dict[str, float]]:
    """Return p99 by scraped path in seconds over sockets, once a round."""
    child = subprocess.Popen(  # noqa: S603 - this very script
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        port = int(child.stdout.readline()) if child.stdout else 0
        for path in (NOTHING, OURS):
            spell(port, min(seconds, 1.0), path)
        paths = (NOTHING, OURS, AT_ONCE, BLOCKING)
        return [{path: p99(spell(port, seconds, path)) for path in paths} for _ in range(spells)]


def main() -> int:
    """Measure, print, and return 1 if ours misses its goal or the control does not."""
    arguments = parser("What a scrape costs.", repeats=1, spells=1, seconds=0.1, judges=False)
    arguments.set_defaults(judges=True)
    arguments.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments.add_argument("--repeats", type=int, default=31, help="renderings (default 31)")
    arguments.add_argument(
        "--spells", type=int, default=9, help="spells with and without scraper (default 9)"
    )
    arguments.add_argument("--seconds", type=float, default=3.0, help="length of a spell (default 3)")
    given = arguments.parse_args()
    if given.serve:
        serve()
        return 0
    rendered = [*render_rows(given.repeats)]
    on_the_loop = measure_on_the_loop(given.spells, given.seconds)
    by_wall = measure_by_wall(given.spells, given.seconds)
    tell([*rendered, *request_rows(on_the_loop, ""), *request_rows(by_wall, ": on the wall")], given.json)
    found = failures(on_the_loop, by_wall) if given.judges else []
    sys.stderr.writelines(f"{failure}\n" for failure in found)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
