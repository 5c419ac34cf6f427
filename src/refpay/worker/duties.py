"""What the worker does all the time. Each duty is one room's business, wired here and run as loops."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from refpay.clock import Clock
from refpay.costs import CostModel
from refpay.db.pool import Database
from refpay.identity.signing import forget_nonces
from refpay.ledger.acknowledged import AcknowledgementReader
from refpay.ledger.sealing import ChainWatch, Sealer
from refpay.loops import Loop
from refpay.measures import Measures
from refpay.operations.checks import Checks
from refpay.operations.durability import DurabilityProbe, open_anew
from refpay.operations.durable_settings import look
from refpay.outbox.duty import open_messages
from refpay.payments.resolving import Resolver
from refpay.payments.settler import Settler
from refpay.payments.upkeep import Upkeep
from refpay.payments.webhooks import Webhooks
from refpay.providers.port import Provider
from refpay.reconciliation.duty import open_reconciliation
from refpay.settings import Settings
from refpay.worker.capacity import CapacityMeter
from refpay.worker.gauges import Gauges, show_chain, show_probe, show_settings

_CHARGE_SECONDS: Final = 1.0
_UPKEEP_SECONDS: Final = 1.0
# With what is deleted at once, it keeps up with 2000 signed requests a second.
_FORGET_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the worker owns and every duty may use; `providers` make one attempt a call."""

    settings: Settings
    database: Database
    providers: Mapping[str, Provider]
    measures: Measures
    clock: Clock
    costs: CostModel
    settler: Settler

    def loop(self, name: str, action: Callable[[], Awaitable[object]], every_seconds: float) -> Loop:
        """Return what runs an action again and again."""
        return Loop(name, action, interval_seconds=every_seconds, clock=self.clock)


Duty = Callable[[Parts], AbstractAsyncContextManager[Sequence[Loop]]]


@asynccontextmanager
async def settle_unresolved(parts: Parts) -> AsyncIterator[Sequence[Loop]]:
    """Ask the providers about every operation that has no outcome."""
    interval = parts.settings.settle_interval_seconds
    resolver = Resolver(
        parts.database,
        parts.providers,
        settler=parts.settler,
        clock=parts.clock,
        pause_seconds=interval,
        attempt_seconds=parts.settings.provider_timeout_seconds,
    )
    yield (parts.loop("settle", resolver.run_once, interval),)


@asynccontextmanager
async def keep_up(parts: Parts) -> AsyncIterator[Sequence[Loop]]:
    """Let old authorizations expire, and drop the answers of old idempotency keys."""
    upkeep = Upkeep(
        parts.database,
        parts.clock,
        authorization_lifetime=timedelta(seconds=parts.settings.authorization_lifetime_seconds),
        key_retention=timedelta(seconds=parts.settings.key_retention_seconds),
    )
    yield (
        parts.loop("expire", upkeep.expire, _UPKEEP_SECONDS),
        parts.loop("reap", upkeep.reap, _UPKEEP_SECONDS),
    )


@asynccontextmanager
async def check_integrity(parts: Parts) -> AsyncIterator[Sequence[Loop]]:
    """Look whether the books agree, and show it."""
    deadline = timedelta(seconds=parts.settings.settle_deadline_seconds)
    checks = Checks(parts.database, clock=parts.clock, settle_deadline=deadline)
    gauges = Gauges(parts.measures.recorder, providers=parts.providers)

    async def check() -> None:
        gauges.show(await checks.run_once())

    yield (parts.loop("check", check, parts.settings.check_interval_seconds),)


@asynccontextmanager
async def charge_capacity(parts: Parts) -> AsyncIterator[Sequence[Loop]]:
    """Charge the provisioned capacity for the time that passes."""
    meter = CapacityMeter(parts.costs.provisioned, measures=parts.measures, clock=parts.clock)

    async def charge() -> None:
        meter.charge()

    yield (parts.loop("charge", charge, _CHARGE_SECONDS),)


@asynccontextmanager
async def probe_durability(parts: Parts) -> AsyncIterator[Sequence[Loop]]:
    """Read acknowledged ledger writes back, and show what is missing."""
    probe = DurabilityProbe(
        AcknowledgementReader(parts.settings.acknowledgements_folder),
        open_anew(parts.settings.database),
        clock=parts.clock,
        seed=secrets.randbits(64),
    )

    async def look() -> None:
        show_probe(parts.measures.recorder, await probe.run_once())

    yield (parts.loop("probe", look, parts.settings.check_interval_seconds),)


@asynccontextmanager
async def watch_settings(parts: Parts) -> AsyncIterator[Sequence[Loop]]:
    """Look whether PostgreSQL and JetStream still keep what they acknowledge, and show it."""
    settings, clock = parts.settings, parts.clock

    async def watch() -> None:
        show_settings(parts.measures.recorder, await look(parts.database, settings.messaging, clock=clock))

    yield (parts.loop("settings", watch, settings.check_interval_seconds),)


@asynccontextmanager
async def seal_ledger(parts: Parts) -> AsyncIterator[Sequence[Loop]]:
    """Seal what was posted, make the coming months, and verify the chain piece by piece."""
    sealer = Sealer(parts.database, clock=parts.clock)
    kept = parts.settings.acknowledgements_folder / "ledger-chain.seal"
    chain = ChainWatch(parts.database, clock=parts.clock, kept=kept)
    interval = parts.settings.check_interval_seconds

    async def watch() -> None:
        show_chain(parts.measures.recorder, await chain.run_once())

    yield (
        parts.loop("seal", sealer.run_once, interval),
        parts.loop("chain", watch, interval),
    )


@asynccontextmanager
async def carry_messages(parts: Parts) -> AsyncIterator[Sequence[Loop]]:
    """Publish the outbox, consume the events, replay what was set aside."""
    async with open_messages(parts.settings, parts.database, parts.measures, parts.clock) as loops:
        yield loops


@asynccontextmanager
async def reconcile(parts: Parts) -> AsyncIterator[Sequence[Loop]]:
    """Compare our ledger with the providers' settlement reports, and show where they differ."""
    async with open_reconciliation(
        parts.settings,
        parts.database,
        parts.measures,
        parts.clock,
        parts.costs,
        take=Webhooks(parts.settler, measures=parts.measures, clock=parts.clock).apply_line,
    ) as loops:
        yield loops


@asynccontextmanager
async def forget_old_nonces(parts: Parts) -> AsyncIterator[Sequence[Loop]]:
    """Delete the nonces of signed requests that are too old to come again."""

    async def forget() -> None:
        await forget_nonces(parts.database, parts.clock)

    yield (parts.loop("forget", forget, _FORGET_SECONDS),)


DUTIES: Final[Sequence[Duty]] = (
    settle_unresolved,
    keep_up,
    check_integrity,
    charge_capacity,
    probe_durability,
    watch_settings,
    seal_ledger,
    carry_messages,
    reconcile,
    forget_old_nonces,
)
