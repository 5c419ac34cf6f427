"""End work on a stack when one of its servers dies."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from moneypath.stack.supervisor import Supervisor

REPORTED_WITHIN_SECONDS: Final = 1.0

T = TypeVar("T")


async def unless_server_dies(supervisor: Supervisor, work: Awaitable[T]) -> T:
    """Return what `work` returns; raise ServerDied when a server ends that nobody stopped."""
    working = asyncio.ensure_future(work)
    watching = asyncio.create_task(supervisor.watch(), name="servers")
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done() and not working.cancelled() and working.exception() is not None:
            # "Prometheus does not answer" is often how its death is seen first; the cause comes just after.
            await asyncio.wait({watching}, timeout=REPORTED_WITHIN_SECONDS)
            if watching.done():
                watching.result()
        if not working.done():
            watching.result()
        return await working
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
