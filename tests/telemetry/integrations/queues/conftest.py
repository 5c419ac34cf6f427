"""The context of a producer, and the counts of its messages."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason
from moneypath.telemetry.correlation import Context, Trace

Read = Callable[..., float | None]
Counts = Callable[[], tuple[float | None, float | None, float | None]]
Dead = Callable[[], dict[str, float]]
RunExample = Callable[..., Awaitable[str]]

ROOT = Path(__file__).parents[4]


@pytest.fixture
def producer() -> Context:
    """Return the context of a request that publishes."""
    trace = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True)
    return Context("order-12345678", trace, "pay-1")


@pytest.fixture
def counts(read: Read) -> Counts:
    """Return how many deliveries were handled, failed and dead-lettered."""

    def count(outcome: str) -> float | None:
        return read("moneypath_message_duration_seconds_count", queue="notifications", outcome=outcome)

    return lambda: (count("handled"), count("failed"), count("dead_lettered"))


@pytest.fixture
def dead(read: Read) -> Dead:
    """Return the dead letters of the notifications by reason, without the zeros."""

    def count() -> dict[str, float]:
        found = {
            reason.value: read("moneypath_dead_letters_total", queue="notifications", reason=reason.value)
            for reason in DeadLetterReason
        }
        return {reason: value for reason, value in found.items() if value}

    return count


@pytest.fixture
def run_example() -> RunExample:
    """Return a function that runs an example as a reader would, and returns its output."""

    async def run(name: str, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error",
            str(ROOT / "examples" / name),
            *arguments,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(60):
                output, problems = await process.communicate()
        except TimeoutError:
            process.kill()
            raise
        assert process.returncode == 0, problems.decode()
        return output.decode()

    return run
