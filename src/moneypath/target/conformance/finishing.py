"""Bring to its end what heals a service, also when somebody presses Ctrl-C, and say what went wrong."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from moneypath.errors import MoneypathError

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; a cancellation meanwhile is raised once it is over, and not before."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancelled = True
        except MoneypathError:
            break
    if cancelled:
        raise asyncio.CancelledError
    return task.result()


def told(error: MoneypathError) -> str:
    """Return a failure with what the target said of it."""
    return f"{error.what} {error.hint}".strip()
