"""A bounded attack with sockets on a real API process: payments are answered meanwhile."""

import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.proof_table import caught_by
from tests.refpay.attacks import senders
from tests.refpay.conftest import order, token_of
from tests.refpay.processes import process

pytestmark = [pytest.mark.proof, pytest.mark.attack]

PAYMENTS = 80
PAYMENTS_PER_SECOND = 20
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


@contextlib.asynccontextmanager
async def attacking(name: str, port: str) -> AsyncIterator["asyncio.Task[int]"]:
    """Attack while the block runs, from a process of its own; await its end and what it counted."""

    async def attack() -> int:
        running = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(senders.__file__)), name, port, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await running.communicate()
        assert running.returncode == 0
        return int(json.loads(said))

    task = asyncio.create_task(attack())
    try:
        yield task
    finally:
        await task


@pytest.mark.parametrize("attack", ["endless-header", "held-sockets"])
async def test_payments_are_answered(attack: str, environment: dict[str, str]) -> None:
    async with process("refpay.app", environment) as (_, url):
        quiet = await pay(url)
        async with attacking(attack, url.rpartition(":")[2]) as attacker:
            attacked = await pay(url)
        done = attacker.result()
    if attack == "endless-header":
        assert done < senders.HEADER_BYTES / 4
        said = f"closed after {done / 1e6:.1f} MB"
    else:
        assert done == senders.SOCKETS
        said = f"{done} of {senders.SOCKETS} sockets closed"
    p99, p99_quiet = (taken[int(len(taken) * 0.99)] * 1000 for taken in (attacked, quiet))
    caught_by([f"{said}; {len(attacked)} payments answered, p99 {p99:.0f} ms ({p99_quiet:.0f} ms before)"])
