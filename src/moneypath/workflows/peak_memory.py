"""Measure how much memory a run takes."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Final

from moneypath.stack.memory import read_trees

EVERY_SECONDS: Final = 2.0


class PeakMemory:
    """Samples the proportional set size of this process and its descendants, and keeps the highest sum."""

    def __init__(self) -> None:
        self.peak_bytes = 0

    @contextlib.asynccontextmanager
    async def sampling(self) -> AsyncIterator[None]:
        """Sample while the block runs."""
        task = asyncio.create_task(self._sample(), name="memory")
        try:
            yield
        finally:
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(
            ended, Exception
        ):  # not the cancellation: a sampler that broke must not read as a low peak
            raise ended

    async def _sample(self) -> None:
        while True:
            readings = await asyncio.to_thread(read_trees, {"all": os.getpid()})
            self.peak_bytes = max(self.peak_bytes, readings["all"].pss_bytes)
            await asyncio.sleep(EVERY_SECONDS)
