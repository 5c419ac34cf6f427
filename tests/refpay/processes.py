"""Run the real processes of the payment service."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

WITHIN_SECONDS = 30


@asynccontextmanager
async def process(module: str, environment: Mapping[str, str]) -> AsyncIterator[tuple[Any, str]]:
    """Run a module until the block ends; yield its process and its URL."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        assert running.stdout is not None
        async with asyncio.timeout(WITHIN_SECONDS):
            said = json.loads(await running.stdout.readline())
        yield running, f"http://127.0.0.1:{said['port']}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN_SECONDS):
            await running.wait()
