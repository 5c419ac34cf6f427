"""What a build uses is sampled as a whole or not at all, and connections get their time to close."""

import os
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from moneypath.polling import poll_until
from moneypath.stack import usage
from moneypath.stack.supervisor import Supervisor
from moneypath.workflows.gate_sampling import ResourceSampler


class Stack:
    """A supervisor whose servers are this process."""

    def pids(self) -> dict[str, int]:
        """Return the build, its database and another server, whose use is not the build's."""
        own = os.getpid()
        return {"service": own, "postgres": own, "prometheus": 2**22 + 1}


def _sampler() -> ResourceSampler:
    return ResourceSampler(cast("Supervisor", Stack()), ("service",))


async def test_connections_that_nobody_uses_get_their_time_to_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are counted until they are within the limit."""
    counts = [150, 130, 90]

    async def count(_: ResourceSampler) -> int:
        return counts.pop(0)

    async def no_pause(_: float) -> None:
        return None

    sampler = _sampler()
    monkeypatch.setattr(ResourceSampler, "count_open", count)
    assert await sampler.count_left_open(80, 10, patience_seconds=60.0, sleep=no_pause) == (80, 90)
    counts[:] = [150, 90]
    assert await sampler.count_left_open(80, 10, patience_seconds=-5.0, sleep=no_pause) == (80, 150)
    assert await sampler.count_left_open(None, 10, patience_seconds=0.0) is None


async def test_a_process_that_may_not_be_read_leaves_nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the truth would look like a better build."""

    def refuse(_: int) -> int:
        raise PermissionError

    sampler = _sampler()
    assert (await sampler.count_open() or 0) > 2
    monkeypatch.setattr(usage, "read_pss_bytes", refuse)
    assert await sampler.count_open() is None
    assert await sampler.count_left_open(3, 10, patience_seconds=0.0) is None
    async with sampler.sampling():
        await poll_until(
            _samples(sampler), lambda found: found is None, every_seconds=0.01, within_seconds=30
        )
    assert sampler.samples is None


def _samples(sampler: ResourceSampler) -> Callable[[], Awaitable[object]]:
    async def read() -> object:
        return sampler.samples

    return read
