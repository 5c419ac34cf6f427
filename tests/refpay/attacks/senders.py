"""The attackers, each in a process of its own: `python senders.py NAME PORT` prints a number as JSON."""

import asyncio
import contextlib
import json
import sys

SOCKETS = 600
HEADER_BYTES = 128_000_000
# Longer than a request has to be whole.
HELD_SECONDS = 30.0
WEBHOOKS = 400
SENDERS = 40


async def send_endless_header(port: int) -> int:
    """Send one header for as long as the server reads it, at most 128 MB; return how much it took."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    taken = 0
    with contextlib.suppress(ConnectionError):
        writer.write(b"GET / HTTP/1.1\r\nx: ")
        while taken < HEADER_BYTES:
            writer.write(b"a" * 65_536)
            await writer.drain()
            taken += 65_536
    writer.close()
    return taken


async def hold_sockets(port: int) -> int:
    """Open more sockets than there are places, with half a header each; return how many the server closed."""

    async def hold() -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            writer.write(b"GET / HTTP/1.1\r\nx: a")
            async with asyncio.timeout(HELD_SECONDS):
                await reader.read()
        writer.close()
        return True

    return sum(await asyncio.gather(*(hold() for _ in range(SOCKETS))))


async def send_unsigned_webhooks(port: int) -> int:
    """Send webhooks that nobody signed, in a burst; return how many were refused with 401 or 429."""
    request = b"POST /v1/webhooks/north HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"

    async def send(count: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        refused = 0
        for _ in range(count):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            refused += head.split(b" ", 2)[1] in (b"401", b"429")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
        writer.close()
        return refused

    return sum(await asyncio.gather(*(send(WEBHOOKS // SENDERS) for _ in range(SENDERS))))


ATTACKS = {
    "endless-header": send_endless_header,
    "held-sockets": hold_sockets,
    "unsigned-webhooks": send_unsigned_webhooks,
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(ATTACKS[sys.argv[1]](int(sys.argv[2])))))
