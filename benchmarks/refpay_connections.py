"""What bounded connections cost: processor time a request of uvicorn's protocols and of ours, in turns.

Run `python benchmarks/refpay_connections.py`. Each protocol serves an empty endpoint on loopback; one
connection asks it again and again, within the same process, so that the client's share is in each figure.
"""

import asyncio
import contextlib
import statistics
import sys
from collections.abc import AsyncIterator
from time import process_time
from typing import Any, Final

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

import measuring
from refpay.connections import BoundedHttpProtocol
from refpay.runtime import Server, listen

PLAIN: Final = "httptools"
REQUEST: Final = (
    b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n"
    b'{"amount": 100}'
)
PROTOCOLS: Final[dict[str, type[Any]]] = {
    PLAIN: HttpToolsProtocol,
    "httptools within limits (ours)": BoundedHttpProtocol,
    "h11 (has a limit of bytes)": H11Protocol,
}


async def answer(_: Scope, receive: Receive, send: Send) -> None:
    """Read the body and answer."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextlib.asynccontextmanager
async def asking(protocol: type[Any]) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve with a protocol, and yield a connection to it."""
    with contextlib.closing(listen(0)) as listener:
        server = Server(
            uvicorn.Config(
                answer, log_config=None, access_log=False, lifespan="off", http=protocol, ws="none"
            )
        )
        running = asyncio.create_task(server.serve(sockets=[listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()
            server.stop()
            await running


async def measure(requests: int, rounds: int) -> dict[str, float]:
    """Return the median microseconds of processor time a request of each protocol."""
    seconds: dict[str, list[float]] = {name: [] for name in PROTOCOLS}
    async with contextlib.AsyncExitStack() as stack:
        open_ones = {
            name: await stack.enter_async_context(asking(protocol)) for name, protocol in PROTOCOLS.items()
        }
        for _ in range(rounds):
            for name, (reader, writer) in open_ones.items():
                begun = process_time()
                for _ in range(requests):
                    writer.write(REQUEST)
                    await reader.readuntil(b"\r\n\r\nok")
                seconds[name].append(process_time() - begun)
    return {name: statistics.median(taken) / requests * 1e6 for name, taken in seconds.items()}


def main() -> int:
    """Measure, print the rows and write them where asked."""
    parser = measuring.parser("What bounded connections cost a request.", requests=5, rounds=1)
    parser.add_argument("--requests", type=int, default=2000, help="in a round (default 2000)")
    parser.add_argument("--rounds", type=int, default=15, help="of each protocol, in turns (default 15)")
    arguments = parser.parse_args()
    taken = uvloop.run(measure(arguments.requests, arguments.rounds))
    plain = taken[PLAIN]
    measuring.tell(
        (
            measuring.Row(name, microseconds / plain, f"x {PLAIN}", detail=f"{microseconds:.1f} us a request")
            for name, microseconds in taken.items()
        ),
        arguments.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
