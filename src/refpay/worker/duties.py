"""What the worker does all the time. Each duty is one room's business, wired here and run as loops."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from fractions import Fraction
from functools import partial
from typing import Final, TypeVar

from moneypath.telemetry import Recorder
from refpay.clock import Clock
from refpay.costs import CostModel, Provisioned
from refpay.db.pool import Database
from refpay.identity.signing import forget_nonces
from refpay.ledger.journal import AcknowledgementReader
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


@asynccontextmanager
async def open_duties(
    settings: Settings,
    database: Database,
    providers: Mapping[str, Provider],
    measures: Measures,
    clock: Clock,
    costs: CostModel,
    settler: Settler,
) -> AsyncIterator[Sequence[Loop]]:
    """Yield all that the worker does all the time; `providers` make one attempt a call."""

    def loop(name: str, action: Callable[[], Awaitable[object]], every_seconds: float) -> Loop:
        return Loop(name, action, interval_seconds=every_seconds, clock=clock)

    def check(
        name: str, look: Callable[[], Awaitable[Found]], show: Callable[[Recorder, Found], None]
    ) -> Loop:
        async def run_once() -> None:
            show(measures.recorder, await look())

        return loop(name, run_once, settings.check_interval_seconds)

    async def charge() -> None:
        meter.charge()

    interval, attempt = settings.settle_interval_seconds, settings.provider_timeout_seconds
    resolver = Resolver(
        database, providers, settler=settler, clock=clock, pause_seconds=interval, attempt_seconds=attempt
    )
    upkeep = Upkeep(
        database,
        clock,
        authorization_lifetime=timedelta(seconds=settings.authorization_lifetime_seconds),
        key_retention=timedelta(seconds=settings.key_retention_seconds),
    )
    deadline = timedelta(seconds=settings.settle_deadline_seconds)
    checks = Checks(database, clock=clock, settle_deadline=deadline)
    kept = settings.acknowledgements_folder / "ledger-chain.seal"
    chain = ChainWatch(database, clock=clock, kept=kept)
    acknowledged = AcknowledgementReader(settings.acknowledgements_folder)
    seed = secrets.randbits(64)
    probe = DurabilityProbe(acknowledged, open_anew(settings.database), clock=clock, seed=seed)
    meter = CapacityMeter(costs.provisioned, measures=measures, clock=clock)
    hear = Webhooks(settler, measures=measures, clock=clock).apply_line
    async with (
        open_messages(settings, database, measures, clock) as messages,
        open_reconciliation(settings, database, measures, clock, costs, take=hear) as reconciliation,
    ):
        yield (
            loop("settle", resolver.run_once, interval),
            loop("expire", upkeep.expire, _UPKEEP_SECONDS),
            loop("reap", upkeep.reap, _UPKEEP_SECONDS),
            loop("forget", partial(forget_nonces, database, clock), _FORGET_SECONDS),
            check("check", checks.run_once, show_findings),
            check("settings", partial(look, database, settings.messaging, clock=clock), show_settings),
            loop("seal", Sealer(database, clock=clock).run_once, settings.check_interval_seconds),
            check("chain", chain.run_once, show_chain),
            check("probe", probe.run_once, show_probe),
            loop("charge", charge, _CHARGE_SECONDS),
            *messages,
            *reconciliation,
        )


class CapacityMeter:
    """Charges price times time since it was made, rounded down to whole micro-units.

    Each charge is what is due in all less what was charged, so nothing drifts however unevenly it is called,
    and a worker that stood still charges for that time once it goes on. The time between the end of one
    process and the start of the next is charged by neither: a worker charges for what it saw.
    """

    def __init__(self, provisioned: Sequence[Provisioned], *, measures: Measures, clock: Clock) -> None:
        self._measures, self._clock = measures, clock
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
