"""Retry calls to a provider: bounded, with full jitter, always under the same key."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from refpay.clock import Clock
from refpay.providers.errors import ProviderError, ProviderOutcomeUnknown, ProviderRefused
from refpay.providers.port import Answer, Call, Provider
from refpay.settings import RETRY_BACKOFF_CAP_SECONDS

_BACKOFF_BASE_SECONDS: Final = 0.05

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RetryingProvider:
    """Sends again what was refused without effect and what was not answered.

    Once the outcome of one attempt is unknown, a later refusal proves nothing about it: the call ends as
    ProviderOutcomeUnknown unless a definitive answer comes.
    """

    provider: Provider
    attempts: int
    clock: Clock
    random_source: random.Random
    sleep: Sleep = asyncio.sleep

    @property
    def name(self) -> str:
        """Return the provider's id."""
        return self.provider.name

    async def perform(self, call: Call) -> Answer:
        """Perform until there is a definitive answer, or the attempts or the time are used up."""
        if self._is_too_late(call):
            raise ProviderRefused("the time to call the provider was over before it was called")
        # tenacity costs about 50 us a call, so it is entered after a failure only.
        try:
            return await self.provider.perform(call)
        except (ProviderOutcomeUnknown, ProviderRefused) as failure:
            return await self._retry(call, failure)

    async def _retry(self, call: Call, first: ProviderError) -> Answer:
        last, unknown = first, first if isinstance(first, ProviderOutcomeUnknown) else None
        retrying = AsyncRetrying(
            sleep=self.sleep,
            wait=self._draw_pause,
            stop=stop_after_attempt(self.attempts),
            retry=retry_if_exception(_may_resend),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    number = attempt.retry_state.attempt_number
                    if number == 1:
                        raise first
                    if self._is_too_late(call):
                        break
                    return await self.provider.perform(replace(call, attempt=number))
                failed = attempt.retry_state.outcome
                problem = None if failed is None else failed.exception()
                if isinstance(problem, ProviderOutcomeUnknown):
                    unknown = problem
        except ProviderOutcomeUnknown:
            raise
        except ProviderRefused as refusal:
            last = refusal
        raise unknown or last

    def _is_too_late(self, call: Call) -> bool:
        # The wall clock, because the deadline is shared with another process; a paused process that wakes up
        # late must not send an operation that the worker has resolved meanwhile.
        return self.clock.now() >= call.deadline

    def _draw_pause(self, state: RetryCallState) -> float:
        most = min(RETRY_BACKOFF_CAP_SECONDS, _BACKOFF_BASE_SECONDS * 2 ** (state.attempt_number - 1))
        return self.random_source.uniform(0, most)


def _may_resend(problem: BaseException) -> bool:
    if isinstance(problem, ProviderRefused):
        return problem.may_resend
    return isinstance(problem, ProviderOutcomeUnknown)
