"""Limit the time of every attempt. A time-out means that the outcome is unknown, never that it failed."""

import asyncio

from refpay.providers.errors import ProviderOutcomeUnknown
from refpay.providers.port import Answer, Call, Provider


class TimedProvider:
    """Gives up on an attempt after `seconds`."""

    def __init__(self, provider: Provider, *, seconds: float) -> None:
        self._provider = provider
        self._seconds = seconds
        self.name = provider.name

    async def perform(self, call: Call) -> Answer:
        """Perform the call, or raise ProviderOutcomeUnknown when the time is up."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._provider.perform(call)
        except TimeoutError as problem:
            raise ProviderOutcomeUnknown(
                f"no answer from {self.name} within {self._seconds:g} s"
            ) from problem
