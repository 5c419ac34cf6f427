"""What the worker does all the time. Each duty is one room's business, wired here and run as loops."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.measures import Measures
from refpay.operations.checks import Checks
from refpay.payments.resolving import Resolver
from refpay.payments.settler import Settler
from refpay.providers.port import Provider
from refpay.settings import Settings
from refpay.worker.gauges import Gauges
from refpay.worker.loops import Loop


@dataclass(frozen=True, slots=True)
class Parts:
    """What the worker owns and every duty may use; `providers` make one attempt a call."""

    settings: Settings
    database: Database
    providers: Mapping[str, Provider]
    measures: Measures
    clock: Clock


Duty = Callable[[Parts], AbstractAsyncContextManager[Sequence[Loop]]]


@asynccontextmanager
async def settle_unresolved(parts: Parts) -> AsyncIterator[Sequence[Loop]]:
    """Ask the providers about every operation that has no outcome."""
    resolver = Resolver(
        parts.database,
        parts.providers,
        settler=Settler(parts.database, measures=parts.measures, clock=parts.clock),
        clock=parts.clock,
        pause_seconds=parts.settings.settle_interval_seconds,
    )
    interval = parts.settings.settle_interval_seconds
    yield (Loop("settle", resolver.run_once, interval_seconds=interval, clock=parts.clock),)


@asynccontextmanager
async def check_integrity(parts: Parts) -> AsyncIterator[Sequence[Loop]]:
    """Look whether the books agree, and show it."""
    deadline = timedelta(seconds=parts.settings.settle_deadline_seconds)
    checks = Checks(parts.database, clock=parts.clock, settle_deadline=deadline)
    gauges = Gauges(parts.measures.recorder, providers=parts.providers)

    async def check() -> None:
        gauges.show(await checks.run_once())

    yield (Loop("check", check, interval_seconds=parts.settings.check_interval_seconds, clock=parts.clock),)


DUTIES: Final[Sequence[Duty]] = (
    settle_unresolved,
    check_integrity,
)
