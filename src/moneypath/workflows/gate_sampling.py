"""Sample what a build uses while it is measured."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection
from typing import Final

from moneypath.capacity.resources import ResourceSample
from moneypath.polling import Sleep, poll_until
from moneypath.stack.supervisor import Supervisor
from moneypath.stack.usage import UsageMeter

EVERY_SECONDS: Final = 1.0
DATABASE: Final = "postgres"


class ResourceSampler:
    """Samples the build's processes, and the database server that works for them, once a second.

    `samples` is None once a process could not be read, because a part of the truth would look like a better
    build.
    """

    def __init__(self, supervisor: Supervisor, build_servers: Collection[str]) -> None:
        self._supervisor, self._build_servers = supervisor, build_servers
        self._build, self._database = UsageMeter(), UsageMeter()
        self.samples: tuple[ResourceSample, ...] | None = ()

    @contextlib.asynccontextmanager
    async def sampling(self) -> AsyncIterator[None]:
        """Sample while the block runs."""
        task = asyncio.create_task(self._sample_repeatedly(), name="resources")
        try:
            yield
        finally:
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended

    async def count_open(self) -> int | None:
        """Return how many sockets and files the build's processes have open; None if one may not be read."""
        try:
            usage = await asyncio.to_thread(UsageMeter().read, self._pids(*self._build_servers))
        except PermissionError:
            return None
        return usage.descriptors

    async def count_left_open(
        self, before: int | None, limit: int, *, patience_seconds: float, sleep: Sleep = asyncio.sleep
    ) -> tuple[int, int] | None:
        """Return how many were open `before` the load, and are now.

        Those that nobody uses take their time to close, so a number above the limit is looked at again.
        """
        if before is None:
            return None
        after = await poll_until(
            self.count_open,
            lambda found: found is None or found - before <= limit,
            every_seconds=EVERY_SECONDS,
            within_seconds=max(0.0, patience_seconds),
            sleep=sleep,
        )
        return None if after is None else (before, after)

    def _pids(self, *names: str) -> dict[str, int]:
        return {name: pid for name, pid in self._supervisor.pids().items() if name in names}

    async def _sample_repeatedly(self) -> None:
        while self.samples is not None:
            try:
                self.samples += (await asyncio.to_thread(self._sample),)
            except PermissionError:
                self.samples = None
            await asyncio.sleep(EVERY_SECONDS)

    def _sample(self) -> ResourceSample:
        at = time.time()
        build = self._build.read(self._pids(*self._build_servers))
        database = self._database.read(self._pids(DATABASE))
        return ResourceSample(
            at=at,
            pss_bytes=build.pss_bytes,
            cpu_seconds=build.cpu_seconds + database.cpu_seconds,
            written_bytes=build.written_bytes + database.written_bytes,
        )
