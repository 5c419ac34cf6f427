"""Bounded retry with full jitter, always under the same key."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from refpay.clock import Clock
from refpay.providers.errors import ProviderRefused, ProviderSilent
from refpay.providers.port import Answer, Call, Provider
from refpay.settings import RETRY_BACKOFF_CAP_SECONDS

_BACKOFF_BASE_SECONDS: Final = 0.05

Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class RetriedProvider:
    """Sends again what was refused without effect and what was not answered.

    Once one attempt's effect is unknown, a later refusal proves nothing about it: the call ends as
    ProviderSilent unless a definitive answer comes.
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
        """Perform until there is a definitive answer or the attempts or the time are used up."""
        silence: ProviderSilent | None = None
        refusal: ProviderRefused | None = None
        for attempt in range(self.attempts):
            if attempt:
                most = min(RETRY_BACKOFF_CAP_SECONDS, _BACKOFF_BASE_SECONDS * 2 ** (attempt - 1))
                await self.sleep(self.random_source.uniform(0, most))
            # The wall clock, because the deadline is shared with another process; a paused process
            # that wakes up late must not send what the worker has judged meanwhile.
            if self.clock.now() >= call.deadline:
                break
            try:
                return await self.provider.perform(replace(call, attempt=attempt + 1) if attempt else call)
            except ProviderSilent as problem:
                silence = problem
            except ProviderRefused as problem:
                refusal = problem
                if not problem.again:
                    break
        late = "the time to call the provider was over before it was called"
        raise silence or refusal or ProviderRefused(late)
