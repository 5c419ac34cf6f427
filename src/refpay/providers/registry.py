"""Build the providers of a process from adapters and decorators."""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from refpay.clock import Clock
from refpay.measures import ServiceMetrics
from refpay.providers.breaker import CircuitBreakerProvider
from refpay.providers.http import open_session
from refpay.providers.north import NorthAdapter, NorthReports
from refpay.providers.port import Provider
from refpay.providers.recording import RecordedProvider
from refpay.providers.report_source import ReportSource
from refpay.providers.retry import RetryingProvider
from refpay.providers.south import SouthAdapter
from refpay.providers.south_reports import SouthReports
from refpay.providers.timeout import TimedProvider
from refpay.settings import Settings


class GuardedProvider(Provider, Protocol):
    """A provider with a circuit breaker that can be asked beforehand."""

    def require_closed(self) -> None:
        """Raise CircuitOpened if a call made now would not be sent."""
        ...


@asynccontextmanager
async def open_attempts(
    settings: Settings, *, measures: ServiceMetrics, clock: Clock
) -> AsyncIterator[Mapping[str, Provider]]:
    """Yield each provider with a time limit and a record of its attempts, without retries."""
    async with open_session() as session:
        attempts = {}
        for one in settings.providers:
            adapter = (NorthAdapter if one.name == "north" else SouthAdapter)(session, one)
            timed = TimedProvider(adapter, seconds=one.timeout_seconds)
            attempts[one.name] = RecordedProvider(timed, measures=measures, clock=clock)
        yield attempts


@asynccontextmanager
async def open_reports(settings: Settings) -> AsyncIterator[Sequence[ReportSource]]:
    """Yield the source of each provider's settlement reports."""
    seconds = settings.report_timeout_seconds
    async with open_session() as session:
        yield [
            (NorthReports if one.name == "north" else SouthReports)(session, one, report_seconds=seconds)
            for one in settings.providers
        ]


def make_resilient(
    attempts: Mapping[str, Provider], settings: Settings, *, measures: ServiceMetrics, clock: Clock
) -> Mapping[str, GuardedProvider]:
    """Add retries and, around them, the circuit breaker."""
    # Jitter needs no secrecy.
    source = random.Random()  # noqa: S311
    resilient = {}
    for one in settings.providers:
        attempt = attempts[one.name]
        retried = RetryingProvider(attempt, attempts=one.attempts, clock=clock, random_source=source)
        resilient[one.name] = CircuitBreakerProvider(retried, clock=clock, measures=measures)
    return resilient
