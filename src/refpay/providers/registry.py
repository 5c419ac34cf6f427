"""Puts adapters and decorators together, once per process."""

import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from refpay.clock import Clock
from refpay.measures import Measures
from refpay.providers.breaker import BreakingProvider
from refpay.providers.http import open_session
from refpay.providers.north import NorthAdapter
from refpay.providers.north_reports import NorthReports
from refpay.providers.port import Provider
from refpay.providers.recording import RecordedProvider
from refpay.providers.report_parts import ReportAccess
from refpay.providers.reports import ReportSource
from refpay.providers.retry import RetriedProvider
from refpay.providers.south import SouthAdapter
from refpay.providers.south_reports import SouthReports
from refpay.providers.timeout import TimedProvider
from refpay.settings import Settings


class CallableProvider(Provider, Protocol):
    """A provider that can say beforehand whether it would send."""

    def require_closed(self) -> None:
        """Raise CircuitOpened if a call made now would not be sent."""
        ...


@asynccontextmanager
async def open_attempts(
    settings: Settings, *, measures: Measures, clock: Clock
) -> AsyncIterator[Mapping[str, Provider]]:
    """Yield each provider with a bound on its time and a record of its attempts; one attempt a call."""
    async with open_session() as session:
        adapters: Iterable[Provider] = (
            (NorthAdapter if provider.name == "north" else SouthAdapter)(session, provider)
            for provider in settings.providers
        )
        seconds = {provider.name: provider.timeout_seconds for provider in settings.providers}
        yield {
            adapter.name: RecordedProvider(
                TimedProvider(adapter, seconds=seconds[adapter.name]),
                measures=measures,
                clock=clock,
            )
            for adapter in adapters
        }


@asynccontextmanager
async def open_reports(settings: Settings) -> AsyncIterator[Sequence[ReportSource]]:
    """Yield where each provider's settlement reports come from."""
    async with open_session() as session:
        sources: list[ReportSource] = []
        for provider in settings.providers:
            north = provider.name == "north"
            key = (
                {"Authorization": f"Bearer {provider.api_key}"} if north else {"X-Api-Key": provider.api_key}
            )
            access = ReportAccess(
                session,
                provider.url,
                key,
                listing_seconds=provider.timeout_seconds,
                report_seconds=settings.report_timeout_seconds,
            )
            sources.append((NorthReports if north else SouthReports)(provider.name, access))
        yield sources


def make_resilient(
    attempts: Mapping[str, Provider], settings: Settings, *, measures: Measures, clock: Clock
) -> Mapping[str, CallableProvider]:
    """Add retries and, round them, the breaker."""
    # Jitter needs no secrecy.
    source = random.Random()  # noqa: S311
    most = {provider.name: provider.attempts for provider in settings.providers}
    return {
        name: BreakingProvider(
            RetriedProvider(provider, attempts=most[name], clock=clock, random_source=source),
            clock=clock,
            measures=measures,
        )
        for name, provider in attempts.items()
    }
