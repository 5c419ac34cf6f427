"""Ask again until an answer will do, or the time is up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_not_result, stop_after_delay, wait_fixed

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


async def poll_until(
    ask: Callable[[], Awaitable[T]],
    done: Callable[[T], bool],
    *,
    every_seconds: float,
    within_seconds: float,
    sleep: Sleep = asyncio.sleep,
) -> T:
    """Call `ask` until `done` accepts its answer; return that answer, or the last one when time is up.

    `ask` is called at least once. What it raises goes through.
    """
    retrying = AsyncRetrying(
        retry=retry_if_not_result(done),
        wait=wait_fixed(every_seconds),
        stop=stop_after_delay(within_seconds),
        sleep=sleep,
        retry_error_callback=last_answer,
    )

    async def asked() -> T:
        # tenacity takes a function that only returns an awaitable for one that has answered.
        return await ask()

    answer: T = await retrying(asked)
    return answer


def last_answer(state: RetryCallState) -> Any:
    """Return the answer of the last attempt: a `retry_error_callback` for those who poll."""
    assert state.outcome is not None  # noqa: S101  # tenacity calls this after an attempt
    return state.outcome.result()
