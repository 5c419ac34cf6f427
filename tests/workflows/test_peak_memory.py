"""A figure of memory is measured, or there is none."""

import asyncio

import pytest

from moneypath.workflows import peak_memory


async def test_the_peak_is_that_of_this_process_and_all_below_it() -> None:
    """The first sample is taken at once; a Python process takes megabytes."""
    memory = peak_memory.PeakMemory()
    async with memory.sampling(), asyncio.timeout(30):
        while not memory.peak_bytes:  # noqa: ASYNC110 - a plain attribute, set by the sampler's task
            await asyncio.sleep(0.01)
    assert memory.peak_bytes > 5_000_000


async def test_a_sampler_that_breaks_is_not_a_low_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error comes out at the end of the block."""

    def broken(_: object) -> object:
        raise OSError("nothing to read")

    monkeypatch.setattr(peak_memory, "read_trees", broken)
    with pytest.raises(OSError, match="nothing to read"):
        async with peak_memory.PeakMemory().sampling():
            (sampler,) = (task for task in asyncio.all_tasks() if task.get_name() == "memory")
            await asyncio.wait({sampler})
