"""The cost of a scrape of ten thousand series, and its effect on concurrent requests.

Run `python benchmarks/telemetry_scrape.py`. Every series changes between two scrapes, which is the worst
case: unchanged lines are reused. The requests go to one uvicorn worker, each over its own connection,
alternately with and without a scraper.
"""

import argparse
import asyncio
import re
import socket
import statistics
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from time import perf_counter, process_time
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest

from measuring import Row, parser, tell
from moneypath.telemetry import Catalogue, MetricKind, MetricSpec, Unit, setup
from moneypath.telemetry.catalogue.declaring import LATENCY_BUCKETS
from moneypath.telemetry.integrations.asgi import metrics_endpoint
from moneypath.telemetry.integrations.prometheus_client import RecorderCollector

CHILDREN, COUNTERS = 500, 2000
LATENCIES = (0.0031, 0.0077, 0.0424, 0.0931, 0.31)
CLIENTS = 2
# Prometheus in the demo; in production it is five times slower.
SCRAPE_INTERVAL_SECONDS = 1.0
# What a request does besides: about as long as a small endpoint of FastAPI takes.
WORK_SECONDS = 0.0003
# Between two requests of a client, so that the worker is busy but not full.
PAUSE_SECONDS = 0.001

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


def serve() -> None:
    """Serve requests and scrapes on a free port, printed on stdout, until the parent closes stdin."""
    series = ManySeries()
    metrics = metrics_endpoint(series.recorder)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/metrics":
            await metrics(scope, receive, send)
            return
        done = perf_counter() + WORK_SECONDS
        series.touch()
        while perf_counter() < done:
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", access_log=False))

    def stop_at_end_of_input() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    server.run(sockets=[listener])


async def ask(port: int, path: str, until: float, pause: float) -> list[float]:
    """Send requests over one connection until a time, with pauses, and return how long each took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    times: list[float] = []
    # However slow the machine, there is one answer to take the p99 of.
    while perf_counter() < until or not times:
        started_at = perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        size = re.search(rb"content-length: (\d+)", head)
        await reader.readexactly(int(size[1]) if size else 0)
        times.append(perf_counter() - started_at)
        await asyncio.sleep(pause)
    writer.close()
    return times


async def spell(port: int, seconds: float, scrape_interval: float | None) -> float:
    """Return the p99 of requests in seconds, with or without a scraper."""
    until = perf_counter() + seconds
    clients = [ask(port, "/", until, PAUSE_SECONDS) for _ in range(CLIENTS)]
    scraper = [] if scrape_interval is None else [ask(port, "/metrics", until, scrape_interval)]
    taken = await asyncio.gather(*clients, *scraper)
    return statistics.quantiles([time for times in taken[:CLIENTS] for time in times], n=100)[98]


def request_rows(spells: int, seconds: float) -> Iterable[Row]:
    """Yield how much slower the slowest hundredth of requests is with a scraper."""
    child = subprocess.Popen(  # noqa: S603 - this very script
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        port = int(child.stdout.readline()) if child.stdout else 0
        asyncio.run(spell(port, min(seconds, 1.0), None))
        without, beside, often = [], [], []
        for _ in range(spells):
            without.append(asyncio.run(spell(port, seconds, None)))
            beside.append(asyncio.run(spell(port, seconds, SCRAPE_INTERVAL_SECONDS)))
            often.append(asyncio.run(spell(port, seconds, SCRAPE_INTERVAL_SECONDS / 10)))
    alone, each, ten = map(statistics.median, (without, beside, often))
    told = f"{each * 1e3:.2f} ms against {alone * 1e3:.2f} ms, a scrape a second"
    detail = f"{told}; ten a second: x {ten / alone:.2f}"
    yield Row("p99 of other requests while being scraped", each / alone, "x without", 1.5, detail)


def main() -> None:
    """Measure and print."""
    arguments = parser("What a scrape costs.", repeats=1, spells=1, seconds=0.1)
    arguments.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments.add_argument("--repeats", type=int, default=31, help="renderings (default 31)")
    arguments.add_argument(
        "--spells", type=int, default=7, help="spells with and without scraper (default 7)"
    )
    arguments.add_argument("--seconds", type=float, default=3.0, help="length of a spell (default 3)")
    given = arguments.parse_args()
    if given.serve:
        serve()
    else:
        tell([*render_rows(given.repeats), *request_rows(given.spells, given.seconds)], given.json)


if __name__ == "__main__":
    main()
