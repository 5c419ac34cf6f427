"""A bounded attack with sockets on a real API process: payments are answered meanwhile."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import aiohttp
import pytest
from tests.proof_table import caught_by
from tests.refpay.conftest import order, token_of
from tests.refpay.processes import process

from refpay.connections import ConnectionLimits

pytestmark = [pytest.mark.proof, pytest.mark.attack]

PAYMENTS = 80
PAYMENTS_PER_SECOND = 20
SOCKETS = 600
HEADER_BYTES = 128_000_000
# The client's own patience; the service answers a healthy payment within some milliseconds.
PATIENCE_SECONDS = 10.0


async def authorize(session: aiohttp.ClientSession) -> float:
    """Authorize one payment; return the seconds that it took."""
    begun = time.monotonic()
    headers = {"Authorization": f"Bearer {token_of('shop')}", "Idempotency-Key": uuid.uuid4().hex}
    body = order(merchant_reference=uuid.uuid4().hex)
    async with session.post("/v1/payments", json=body, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
    return time.monotonic() - begun


async def pay(url: str) -> list[float]:
    """Authorize payments at a steady rate, each when it is due; return their seconds, sorted."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(url, timeout=timeout) as session, asyncio.TaskGroup() as group:
        tasks = []
        for _ in range(PAYMENTS):
            tasks.append(group.create_task(authorize(session)))
            await asyncio.sleep(1 / PAYMENTS_PER_SECOND)
    return sorted(task.result() for task in tasks)


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
            async with asyncio.timeout(2 * ConnectionLimits().request_seconds):
                await reader.read()
        writer.close()
        return True

    return sum(await asyncio.gather(*(hold() for _ in range(SOCKETS))))


@contextlib.asynccontextmanager
async def meanwhile(attack: Coroutine[Any, Any, int]) -> AsyncIterator["asyncio.Task[int]"]:
    """Attack while the block runs, and await the end of the attack."""
    task = asyncio.create_task(attack)
    try:
        yield task
    finally:
        await task


@pytest.mark.parametrize("attack", [send_endless_header, hold_sockets])
async def test_payments_are_answered(attack: Any, environment: dict[str, str]) -> None:
    async with process("refpay.app", environment) as (_, url):
        port = int(url.rpartition(":")[2])
        quiet = await pay(url)
        async with meanwhile(attack(port)) as attacking:
            attacked = await pay(url)
        done = attacking.result()
        if attack is send_endless_header:
            assert done < HEADER_BYTES / 4
            said = f"closed after {done / 1e6:.1f} MB"
        else:
            assert done == SOCKETS
            said = f"{done} of {SOCKETS} sockets closed"
        p99, p99_quiet = (taken[int(len(taken) * 0.99)] * 1000 for taken in (attacked, quiet))
        caught_by(
            [f"{said}; {len(attacked)} payments answered meanwhile, p99 {p99:.0f} ms ({p99_quiet:.0f} before)"]
        )
