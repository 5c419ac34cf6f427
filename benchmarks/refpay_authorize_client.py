"""A client that costs next to nothing: connections in a process of its own, each waiting for its answer.

What standard input says, a line each, is done and told on standard output as JSON: `new 2.5` authorizes
new payments for so many seconds, `again 2.5` asks once more for what was authorized last. `--trivial`
makes this the server instead that the client itself is measured against.
"""

import argparse
import asyncio
import json
import sys
from collections import deque
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import uvloop

from moneypath.stack.tokens import TokenSource

CONNECTIONS = 32
REMEMBERED = 4096
RANGES = [str(number) for number in range(411111, 411151)]
HEAD = (
    "POST /v1/payments HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n"
    "Content-Type: application/json\r\nIdempotency-Key: {key}\r\nContent-Length: {length}\r\n\r\n"
)
ORDER = (
    '{{"merchant_reference":"{key}","amount_minor":{amount},"currency":"EUR",'
    '"card_token":"tok_{range}_{card:016x}"}}'
)
TRIVIAL = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}"


class Requests:
    """Makes requests, and remembers the last ones so that they can be sent again."""

    def __init__(self, run: str) -> None:
        self._run = run
        self.authorization = ""
        self._random = Random(1)  # noqa: S311 - orders, not secrets
        self._serial = 0
        self.sent: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)

    def new(self) -> bytes:
        """Return a request that nobody made before."""
        self._serial += 1
        draw = self._random
        key = f"{self._run}-{self._serial}"
        amount, card = draw.randrange(100, 50_000), draw.getrandbits(64)
        body = ORDER.format(key=key, amount=amount, range=draw.choice(RANGES), card=card)
        self.sent.append((key, body))
        return self._make(key, body)

    def again(self) -> bytes:
        """Return the oldest request that is remembered, and remember it as the newest."""
        key, body = self.sent.popleft()
        self.sent.append((key, body))
        return self._make(key, body)

    def _make(self, key: str, body: str) -> bytes:
        head = HEAD.format(authorization=self.authorization, key=key, length=len(body))
        return (head + body).encode()


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the last one is answered, until the round is over."""

    def __init__(self, tally: "Tally") -> None:
        self._tally = tally
        self._transport: Any = None
        self._begun = 0.0
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got = got = self._got + data if self._got else data
        end = got.find(b"\r\n\r\n")
        if end < 0:
            return
        head = got[:end].lower()
        length = int(head[head.index(b"content-length:") + 15 :].split(b"\r", 1)[0])
        if len(got) < end + 4 + length:
            return
        self._got = b""
        self._tally.note(head[9:12], b"idempotency-replayed" in head, perf_counter() - self._begun)
        self.send()

    def send(self) -> None:
        """Send one more, or rest."""
        request = self._tally.next()
        if request is not None:
            self._begun = perf_counter()
            self._transport.write(request)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._tally.lost += 1


class Tally:
    """What one round sends, and what came of it."""

    def __init__(self, requests: Requests) -> None:
        self.requests = requests
        self._next = requests.new
        self._until = 0.0
        self._open = 0
        self._over = asyncio.Event()
        self.lost = 0
        self._statuses: dict[str, int] = {}
        self._replayed = 0
        self._seconds: list[float] = []

    def next(self) -> bytes | None:
        """Return the next request, or None when the round is over."""
        if perf_counter() >= self._until:
            self._open -= 1
            if self._open == 0:
                self._over.set()
            return None
        return self._next()

    def note(self, status: bytes, replayed: bool, seconds: float) -> None:
        """Note an answer."""
        name = status.decode()
        self._statuses[name] = self._statuses.get(name, 0) + 1
        self._replayed += replayed
        self._seconds.append(seconds)

    async def round(self, kind: str, seconds: float, connections: list[Connection]) -> dict[str, object]:
        """Run one round on all connections."""
        self._next = self.requests.new if kind == "new" else self.requests.again
        self._statuses, self._replayed, self._seconds = {}, 0, []
        self._open = len(connections)
        self._over.clear()
        begun = perf_counter()
        self._until = begun + seconds
        for connection in connections:
            connection.send()
        await asyncio.wait_for(self._over.wait(), seconds + 30)
        taken = perf_counter() - begun
        ordered = sorted(self._seconds)
        return {
            "rate": len(ordered) / taken,
            "count": len(ordered),
            "p50_ms": ordered[len(ordered) // 2] * 1e3,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3,
            "most_ms": ordered[-1] * 1e3,
            "statuses": self._statuses,
            "replayed": self._replayed,
            "lost": self.lost,
        }


async def send(port: int, client_file: Path | None, run: str) -> None:
    """Do what each line says; a client's tokens are renewed between rounds."""
    loop = asyncio.get_running_loop()
    tally = Tally(Requests(run))
    tokens = client_file and TokenSource(f"http://127.0.0.1:{port}", client_file, "payments:authorize")
    connections = [
        (await loop.create_connection(lambda: Connection(tally), "127.0.0.1", port))[1]
        for _ in range(CONNECTIONS)
    ]
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        kind, seconds = line.split()
        if tokens:
            tally.requests.authorization = await tokens.header_async()
        told = await tally.round(kind, float(seconds), connections)
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


class Trivial(asyncio.Protocol):
    """Answers whatever comes; a request of ours fits into one segment."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: ARG002
        self._transport.write(TRIVIAL)


async def answer_trivially() -> None:
    """Serve until standard input ends; say the port first."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Trivial, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Be the client, or the trivial server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int)
    parser.add_argument("--client-file", type=Path)
    parser.add_argument("--run", default="run")
    parser.add_argument("--trivial", action="store_true")
    given = parser.parse_args()
    uvloop.run(answer_trivially() if given.trivial else send(given.port, given.client_file, given.run))


if __name__ == "__main__":
    main()
