"""What the worker does all the time. Each duty is one room's business, wired here and run as loops."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from functools import partial
from typing import Final, TypeVar

from moneypath.telemetry import Recorder
from refpay.clock import Clock
from refpay.costs import CostModel, Provisioned
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
from refpay.worker.gauges import show_chain, show_findings, show_probe, show_settings

_SECONDS_AN_HOUR: Final = 3600
_CHARGE_SECONDS: Final = 1.0
_UPKEEP_SECONDS: Final = 1.0
# With what is deleted at once, it keeps up with 2000 signed requests a second.
_FORGET_SECONDS: Final = 5.0

Found = TypeVar("Found")


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

    def check(
        self, name: str, look: Callable[[], Awaitable[Found]], show: Callable[[Recorder, Found], None]
    ) -> Loop:
        """Return what looks again and again, and shows what it found."""

        async def run_once() -> None:
            show(self.measures.recorder, await look())

        return self.loop(name, run_once, self.settings.check_interval_seconds)


@asynccontextmanager
async def open_duties(parts: Parts) -> AsyncIterator[Sequence[Loop]]:
    """Yield all that the worker does all the time."""
    settings, database, measures, clock = parts.settings, parts.database, parts.measures, parts.clock
    hear = Webhooks(parts.settler, measures=measures, clock=clock).apply_line
    async with (
        open_messages(settings, database, measures, clock) as messages,
        open_reconciliation(settings, database, measures, clock, parts.costs, take=hear) as reconciliation,
    ):
        yield (
            settle_unresolved(parts),
            *keep_up(parts),
            *watch_books(parts),
            probe_durability(parts),
            charge_capacity(parts),
            *messages,
            *reconciliation,
        )


def settle_unresolved(parts: Parts) -> Loop:
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
    return parts.loop("settle", resolver.run_once, interval)


def keep_up(parts: Parts) -> Sequence[Loop]:
    """Let old authorizations expire; drop old answers, and nonces of requests too old to come again."""
    upkeep = Upkeep(
        parts.database,
        parts.clock,
        authorization_lifetime=timedelta(seconds=parts.settings.authorization_lifetime_seconds),
        key_retention=timedelta(seconds=parts.settings.key_retention_seconds),
    )
    return (
        parts.loop("expire", upkeep.expire, _UPKEEP_SECONDS),
        parts.loop("reap", upkeep.reap, _UPKEEP_SECONDS),
        parts.loop("forget", partial(forget_nonces, parts.database, parts.clock), _FORGET_SECONDS),
    )


def watch_books(parts: Parts) -> Sequence[Loop]:
    """Look whether books and servers keep what they say; seal, and verify the chain piece by piece."""
    database, clock, settings = parts.database, parts.clock, parts.settings
    deadline = timedelta(seconds=settings.settle_deadline_seconds)
    checks = Checks(database, clock=clock, settle_deadline=deadline)
    sealer = Sealer(database, clock=clock)
    kept = settings.acknowledgements_folder / "ledger-chain.seal"
    return (
        parts.check("check", checks.run_once, show_findings),
        parts.check("settings", partial(look, database, settings.messaging, clock=clock), show_settings),
        parts.loop("seal", sealer.run_once, settings.check_interval_seconds),
        parts.check("chain", ChainWatch(database, clock=clock, kept=kept).run_once, show_chain),
    )


def probe_durability(parts: Parts) -> Loop:
    """Read acknowledged ledger writes back, and show what is missing."""
    probe = DurabilityProbe(
        AcknowledgementReader(parts.settings.acknowledgements_folder),
        open_anew(parts.settings.database),
        clock=parts.clock,
        seed=secrets.randbits(64),
    )
    return parts.check("probe", probe.run_once, show_probe)


def charge_capacity(parts: Parts) -> Loop:
    """Charge the provisioned capacity for the time that passes."""
    meter = CapacityMeter(parts.costs.provisioned, measures=parts.measures, clock=parts.clock)

    async def charge() -> None:
        meter.charge()

    return parts.loop("charge", charge, _CHARGE_SECONDS)


class CapacityMeter:
    """Charges price times time since it was made, rounded down to whole micro-units.

    Each charge is what is due in all less what was charged, so nothing drifts however unevenly it is called,
    and a worker that stood still charges for that time once it goes on. The time between the end of one
    process and the start of the next is charged by neither: a worker charges for what it saw.
    """

    def __init__(self, provisioned: Sequence[Provisioned], *, measures: Measures, clock: Clock) -> None:
        self._measures = measures
        self._clock = clock
        self._begun = Fraction(clock.monotonic())
        self._prices: dict[str, int] = {}
        for one in provisioned:
            self._prices[one.component] = self._prices.get(one.component, 0) + one.micro_units_per_hour
        self._charged = dict.fromkeys(self._prices, 0)

    def charge(self) -> None:
        """Count what has become due since the last call."""
        hours = (Fraction(self._clock.monotonic()) - self._begun) / _SECONDS_AN_HOUR
        for component, price in self._prices.items():
            due = int(price * hours)
            # Even from a clock that ran backwards the counter never does.
            if due > self._charged[component]:
                self._measures.count_capacity(component=component, micro_units=due - self._charged[component])
                self._charged[component] = due
