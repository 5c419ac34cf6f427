"""A FastAPI service under load: the effect of instrumentation on throughput, and of a scrape on requests.

Run `python benchmarks/telemetry_fastapi_load.py`. Each service is a uvicorn process on loopback; this
process is the client. Runs are interleaved. Throughput varies by about 5 %.
"""

import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from time import perf_counter

import uvicorn

import measuring
from fastapi_candidates import CANDIDATES, with_many_series

CONNECTIONS = 16
# Of the clients whose latency is looked at: they think, or only the queue would be measured.
CALLERS = 8
THINK_SECONDS = 0.005
SCRAPE_SECONDS = 1.0
EXCHANGE_SECONDS = 20
GOAL = 1.5
SCRAPED = "moneypath, 10,000 series lines"
BODY = b'{"reference": "order-1", "amount": 4200, "currency": "EUR", "card_token": "tok_5f1d7e84a2c9"}'
REQUEST = (
    b"POST /v1/payments HTTP/1.1\r\nhost: checkout.example\r\naccept: application/json\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n"
    b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\r\n\r\n%s" % (len(BODY), BODY)
)
SCRAPE = b"GET /metrics HTTP/1.1\r\nhost: checkout.example\r\naccept: application/openmetrics-text\r\n\r\n"


def serve(candidate: str, descriptor: int) -> None:
    """Run one service on a socket that the parent listens on."""
    app = with_many_series() if candidate == SCRAPED else CANDIDATES[candidate]()
    config = uvicorn.Config(app, log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


@contextlib.contextmanager
def serving(candidate: str) -> Iterator[int]:
    """Start a service and return its port, which accepts connections at once."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        descriptor = listening.fileno()
        command = [sys.executable, __file__, "--serve", candidate, "--descriptor", str(descriptor)]
        server = subprocess.Popen(command, pass_fds=[descriptor])  # noqa: S603 - a script of ours
        try:
            yield listening.getsockname()[1]
        finally:
            server.terminate()
            server.wait(timeout=20)


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Keep a connection open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    """Send a request and read its response."""
    # A service that failed to start would be waited for without an end.
    async with asyncio.timeout(EXCHANGE_SECONDS):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(head)
        lower = head.lower()
        begin = lower.index(b"content-length:") + 15
        await reader.readexactly(int(lower[begin : lower.index(b"\r\n", begin)]))


async def throughput(port: int, seconds: float) -> float:
    """Return the requests per second over connections that send without a pause."""
    answered = 0
    started_at = perf_counter()

    async def caller() -> None:
        nonlocal answered
        async with connected(port) as (reader, writer):
            while perf_counter() - started_at < seconds:
                await exchange(reader, writer, REQUEST)
                answered += 1

    await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    return answered / (perf_counter() - started_at)


async def p99(port: int, seconds: float, *, scraped: bool) -> float:
    """Return the 99th percentile of response times in seconds, with or without a scrape each second."""
    taken: list[float] = []
    started_at = perf_counter()

    async def caller() -> None:
        async with connected(port) as (reader, writer):
            while perf_counter() - started_at < seconds:
                sent = perf_counter()
                await exchange(reader, writer, REQUEST)
                taken.append(perf_counter() - sent)
                await asyncio.sleep(THINK_SECONDS)

    async def scraper() -> None:
        async with connected(port) as (reader, writer):
            while scraped and perf_counter() - started_at < seconds:
                await exchange(reader, writer, SCRAPE)
                await asyncio.sleep(SCRAPE_SECONDS)

    await asyncio.gather(scraper(), *(caller() for _ in range(CALLERS)))
    return statistics.quantiles(taken, n=100)[98]


async def measure(*, repeats: int, seconds: float) -> Iterator[measuring.Row]:
    """Measure all services, and return the rows."""
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(serving(name)) for name in (*CANDIDATES, SCRAPED)}
        for port in ports.values():
            await throughput(port, 0.3)
        rates: dict[str, list[float]] = {name: [] for name in CANDIDATES}
        alone: list[float] = []
        scraped: list[float] = []
        for _ in range(repeats):
            for name, taken in rates.items():
                taken.append(await throughput(ports[name], seconds))
            alone.append(await p99(ports[SCRAPED], seconds * 3, scraped=False))
            scraped.append(await p99(ports[SCRAPED], seconds * 3, scraped=True))
    return rows(rates, alone, scraped)


def rows(rates: dict[str, list[float]], alone: list[float], scraped: list[float]) -> Iterator[measuring.Row]:
    """Yield the rows of the table."""
    bare = rates["bare"]
    yield measuring.Row("FastAPI under load: bare", statistics.median(bare), "requests/s")
    for name, taken in rates.items():
        if name != "bare":
            share = statistics.median(own / base for own, base in zip(taken, bare, strict=True))
            yield measuring.Row(f"FastAPI under load: {name}", share, "x bare", detail=f"{share - 1:+.0%}")
    yield measuring.Row(
        "p99 of other requests while scraped once a second, 10,000 lines",
        statistics.median(with_scrape / without for with_scrape, without in zip(scraped, alone, strict=True)),
        "x without",
        GOAL,
        f"{statistics.median(scraped) * 1e3:.2f} ms, without {statistics.median(alone) * 1e3:.2f} ms",
    )


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(
        "What instrumentation and a scrape do to a FastAPI service under load.", repeats=1, seconds=0.1
    )
    parser.add_argument("--repeats", type=int, default=5, help="interleaved repetitions (default 5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="of load a repetition (default 1.5)")
    parser.add_argument("--serve", choices=[*CANDIDATES, SCRAPED], help="be the process of one service")
    parser.add_argument("--descriptor", type=int, help="of the socket that --serve takes")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.descriptor)
    else:
        measured = asyncio.run(measure(repeats=arguments.repeats, seconds=arguments.seconds))
        measuring.tell(measured, arguments.json)


if __name__ == "__main__":
    main()
