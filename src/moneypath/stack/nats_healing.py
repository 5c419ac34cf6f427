"""Start NATS again when only that makes it take messages again.

A stream that could not be written, because its disk was full, is closed until the server starts anew.
Nothing that a client may ask heals it. On a full disk the next write would fail again, so space comes first.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import aiohttp

from moneypath.stack.errors import StackError
from moneypath.stack.nats import Nats
from moneypath.stack.supervisor import Supervisor
from moneypath.telemetry.integrations.nats_health import HEALTH_PAGE, find_refusals

# What is written until the disk is full again has to be worth a start.
LEAST_FREE_BYTES: Final = 32 * 1024**2
_LEAST_FREE_INODES: Final = 64
_ANSWER_SECONDS: Final = 2.0
_ANSWER_MAXIMUM_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """When a server is started again: how often it is asked, how long it is left alone after a start."""

    least_free_bytes: int = LEAST_FREE_BYTES
    every_seconds: float = 1.0
    after_start_seconds: float = 5.0


@asynccontextmanager
async def healing(
    supervisor: Supervisor, server: Nats, announce: Callable[[str], None], patience: Patience | None = None
) -> AsyncIterator[None]:
    """Start the server again whenever it needs it, while the block lasts. `announce` is told each time."""
    task = asyncio.create_task(
        _heal(supervisor, server, announce, patience or Patience()), name=f"healing-{server.spec.name}"
    )
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def read_refusal(server: Nats) -> str | None:
    """Return in the server's words why it takes no messages; None if it does.

    Raises OSError or TimeoutError if it does not answer.
    """
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{server.monitoring_url}{HEALTH_PAGE}") as answer,
        ):
            health = json.loads(await answer.content.read(_ANSWER_MAXIMUM_BYTES))
    except (aiohttp.ClientError, ValueError) as problem:
        raise OSError(f"NATS monitoring does not answer: {type(problem).__name__}") from problem
    return next(iter(find_refusals(health).values()), None) if isinstance(health, dict) else None


def has_space(folder: Path, least_free_bytes: int) -> bool:
    """Return whether so much may be written to the disk of a folder. Raises OSError."""
    found = os.statvfs(folder)
    inodes = not found.f_files or found.f_favail >= _LEAST_FREE_INODES
    return inodes and found.f_bavail * found.f_frsize >= least_free_bytes


async def _heal(
    supervisor: Supervisor, server: Nats, announce: Callable[[str], None], patience: Patience
) -> NoReturn:
    name, folder = server.spec.name, server.folder
    # Why it has to be started; kept when our own start of it failed, because then it does not answer.
    reason: str | None = None
    while True:
        await asyncio.sleep(patience.every_seconds)
        with suppress(OSError, TimeoutError):
            reason = await read_refusal(server)
        if reason is None or not has_space(folder, patience.least_free_bytes):
            continue
        announce(f"{name} takes no messages and its disk has space, so it is started again: {reason}")
        try:
            await supervisor.restart(name)
        except StackError as problem:
            announce(f"{name} did not start: {problem}")
        else:
            reason = None
        await asyncio.sleep(patience.after_start_seconds)
