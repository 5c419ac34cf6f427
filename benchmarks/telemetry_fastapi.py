"""The CPU time of one request through FastAPI, bare and with each instrumentation.

Run `python benchmarks/telemetry_fastapi.py`. The application is called directly, without sockets. Each
candidate runs in a process of its own, and rounds alternate between them. The time of a candidate's threads
between its rounds, such as for exporting spans, counts too.
"""

import asyncio
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from time import process_time
from typing import Any

import measuring
from fastapi_candidates import CANDIDATES

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
# As a proxy hands a client's request on.
HEADERS = [
    (b"host", b"checkout.example"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, br"),
    (b"x-forwarded-for", b"192.0.2.7"),
    (b"x-forwarded-proto", b"https"),
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer 5f1d7e84a2c94b7f"),
]
GOAL = 1.10


BODY = b'{"reference": "order-1", "amount": 4200, "currency": "EUR", "card_token": "tok_5f1d7e84a2c9"}'
KINDS = {"authorization": ("POST", "/v1/payments"), "least request": ("GET", "/v1/payments/p-1")}


async def _receive() -> dict[str, object]:
    return {"type": "http.request", "body": BODY, "more_body": False}


async def _send(message: dict[str, object]) -> None:
    if message["type"] == "http.response.start" and message["status"] not in (200, 201):
        raise RuntimeError(message)


async def requests(app: Any, kind: str, count: int) -> None:
    """Send requests with a traceparent; one in ten is sampled by the caller."""
    method, path = KINDS[kind]
    headers = [*HEADERS, (b"content-length", b"%d" % len(BODY))] if method == "POST" else HEADERS
    for number in range(count):
        # Spread as random ids are; one of zeros and digits would be looked at as a card number.
        span_id = (number + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
        traceparent = b"00-%s-%016x-%s" % (TRACE, span_id, b"00" if number % 10 else b"01")
        await app(
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": "1.1",
                "method": method,
                "scheme": "http",
                "path": path,
                "raw_path": path.encode(),
                "root_path": "",
                "query_string": b"",
                "headers": [*headers, (b"traceparent", traceparent)],
                "client": ("127.0.0.1", 1),
                "server": ("127.0.0.1", 80),
                "state": {},
            },
            _receive,
            _send,
        )


def work(candidate: str) -> None:
    """Send the requests that each line of standard input asks for, and print the CPU time."""
    app = CANDIDATES[candidate]()
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            count, _, kind = line.strip().partition(" ")
            runner.run(requests(app, kind, int(count)))
            sys.stdout.write(f"{process_time()}\n")
            sys.stdout.flush()


def measure(*, repeats: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the CPU seconds of one request for each repetition, kind and candidate."""
    times: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in CANDIDATES} for kind in KINDS}
    with ExitStack() as stack:
        workers = {name: _Worker(stack, name) for name in CANDIDATES}
        for kind, taken in times.items():
            for worker in workers.values():
                worker.seconds(kind, rounds)
            for _ in range(repeats):
                for name, worker in workers.items():
                    taken[name].append(worker.seconds(kind, rounds) / rounds)
    return times


class _Worker:
    """The process of one candidate."""

    def __init__(self, stack: ExitStack, name: str) -> None:
        command = [sys.executable, __file__, "--work", name]
        self._process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        )
        # It ends with its input.
        self._input = stack.enter_context(self._process.stdin or sys.stdin)
        self._output = self._process.stdout or sys.stdin
        self._so_far = 0.0

    def seconds(self, kind: str, rounds: int) -> float:
        """Return the CPU time of the process since the last call, with these requests sent."""
        self._input.write(f"{rounds} {kind}\n")
        self._input.flush()
        before, self._so_far = self._so_far, float(self._output.readline())
        return self._so_far - before


def rows(times: dict[str, dict[str, list[float]]]) -> Iterator[measuring.Row]:
    """Yield a row for each candidate: the median ratio to the bare service."""
    for kind, taken in times.items():
        bare = taken["bare"]
        yield measuring.Row(f"FastAPI in process, {kind}: bare", statistics.median(bare) * 1e6, "us CPU")
        for name, own in taken.items():
            if name != "bare":
                added = statistics.median(mine - base for mine, base in zip(own, bare, strict=True))
                yield measuring.Row(
                    f"FastAPI in process, {kind}: {name}",
                    statistics.median(mine / base for mine, base in zip(own, bare, strict=True)),
                    "x bare",
                    GOAL if (kind, name) == ("authorization", "moneypath") else None,
                    f"{added * 1e6:+.1f} us a request",
                )


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(
        "What one request through FastAPI costs, by instrumentation.", repeats=1, rounds=10
    )
    parser.add_argument("--repeats", type=int, default=15, help="interleaved repetitions (default 15)")
    parser.add_argument("--rounds", type=int, default=2000, help="requests a repetition (default 2000)")
    parser.add_argument("--work", choices=CANDIDATES, help="be the process of one candidate")
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work)
    else:
        measured = measure(repeats=arguments.repeats, rounds=arguments.rounds)
        measuring.tell(rows(measured), arguments.json)


if __name__ == "__main__":
    main()
