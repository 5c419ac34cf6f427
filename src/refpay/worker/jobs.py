"""Assemble the worker's background jobs. Each is implemented by one package."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from fractions import Fraction
from functools import partial
from typing import Final, TypeVar

from moneypath.telemetry import Recorder
from refpay.audit.sealing import AUDIT
from refpay.background_jobs import BackgroundJob
from refpay.clock import Clock
from refpay.costs import CostModel, Provisioned
from refpay.db.pool import Database
from refpay.identity.signing import delete_expired_nonces
from refpay.ledger.receipt_log import ReceiptReader
from refpay.ledger.repository import read_debts
from refpay.ledger.sealing import LEDGER, LedgerSealer
from refpay.measures import ServiceMetrics
from refpay.operations.checks import Checks
from refpay.operations.durability import DurabilityProbe, make_database_opener
from refpay.operations.durable_settings import check_settings
from refpay.outbox.jobs import open_outbox_jobs
from refpay.payments.outcome_resolver import OutcomeResolver
from refpay.payments.recovery import OperationRecovery
from refpay.payments.retention import Retention
from refpay.payments.webhooks import Webhooks
from refpay.providers.port import Provider
from refpay.reconciliation.jobs import open_reconciliation_jobs
from refpay.seals.sealing import ChainWatch, Sealer
from refpay.settings import Settings
from refpay.worker.disks import show_disks
from refpay.worker.gauges import (
    show_audit_chain,
    show_debts,
    show_integrity,
    show_ledger_chain,
    show_probe,
    show_settings,
)

_SECONDS_AN_HOUR: Final = 3600
_CHARGE_SECONDS: Final = 1.0
_RETENTION_INTERVAL_SECONDS: Final = 1.0
# With NONCES_PER_BATCH, this keeps up with 2000 signed requests a second.
_FORGET_SECONDS: Final = 5.0

Found = TypeVar("Found")


@asynccontextmanager
async def open_jobs(
    settings: Settings,
    database: Database,
    providers: Mapping[str, Provider],
    measures: ServiceMetrics,
    clock: Clock,
    costs: CostModel,
    resolver: OutcomeResolver,
) -> AsyncIterator[Sequence[BackgroundJob]]:
    """Yield all background jobs of the worker. `providers` make one attempt per call."""

    def job(name: str, action: Callable[[], Awaitable[object]], every_seconds: float) -> BackgroundJob:
        return BackgroundJob(name, action, interval_seconds=every_seconds, clock=clock)

    def check(
        name: str, run: Callable[[], Awaitable[Found]], show: Callable[[Recorder, Found], None]
    ) -> BackgroundJob:
        async def run_once() -> None:
            show(measures.recorder, await run())

        return job(name, run_once, settings.check_interval_seconds)

    async def charge() -> None:
        meter.charge()

    interval, attempt = settings.recovery_interval_seconds, settings.provider_timeout_seconds
    recovery = OperationRecovery(
        database, providers, resolver=resolver, clock=clock, pause_seconds=interval, attempt_seconds=attempt
    )
    retention = Retention(
        database,
        clock,
        authorization_lifetime=timedelta(seconds=settings.authorization_lifetime_seconds),
        key_retention=timedelta(seconds=settings.key_retention_seconds),
    )
    deadline = timedelta(seconds=settings.outcome_deadline_seconds)
    folder = settings.acknowledgements_folder
    kept = folder / "integrity-checks.json"
    checks = Checks(database, clock=clock, outcome_deadline=deadline, kept=kept)
    ledger = ChainWatch(database, LEDGER, clock=clock, folder=folder)
    trail = ChainWatch(database, AUDIT, clock=clock, folder=folder)
    acknowledged = ReceiptReader(folder)
    seed = secrets.randbits(64)
    probe = DurabilityProbe(acknowledged, make_database_opener(settings.database), clock=clock, seed=seed)
    meter = CapacityMeter(costs.provisioned, measures=measures, clock=clock)
    on_movement = Webhooks(resolver, measures=measures, clock=clock).apply_line
    async with (
        open_outbox_jobs(settings, database, measures, clock) as outbox_jobs,
        open_reconciliation_jobs(
            settings, database, measures, clock, costs, on_movement=on_movement
        ) as reconciliation_jobs,
    ):
        yield (
            job("recover", recovery.run_once, interval),
            job("expire", retention.expire, _RETENTION_INTERVAL_SECONDS),
            job("reap", retention.reap, _RETENTION_INTERVAL_SECONDS),
            job("forget", partial(delete_expired_nonces, database, clock), _FORGET_SECONDS),
            check("check", checks.run_once, show_integrity),
            check(
                "settings", partial(check_settings, database, settings.messaging, clock=clock), show_settings
            ),
            job(
                "seal",
                LedgerSealer(database, clock=clock, folder=folder).run_once,
                settings.check_interval_seconds,
            ),
            job(
                "seal-audit",
                Sealer(database, AUDIT, clock=clock, folder=folder).run_once,
                settings.check_interval_seconds,
            ),
            check("chain", ledger.run_once, show_ledger_chain),
            check("chain-audit", trail.run_once, show_audit_chain),
            check("debts", partial(read_debts, database), show_debts),
            check("probe", probe.run_once, show_probe),
            job("charge", charge, _CHARGE_SECONDS),
            job(
                "disks",
                partial(show_disks, measures.recorder, settings.written_folders),
                settings.check_interval_seconds,
            ),
            *outbox_jobs,
            *reconciliation_jobs,
        )


class CapacityMeter:
    """Charges the price of capacity for the time since it was created, rounded down to whole micro-units.

    Each charge is the total due minus what was charged, so nothing drifts, however irregularly it is
    called, and a worker that hung charges for that time later. Time between the end of one process and the
    start of the next is not charged.
    """

    def __init__(self, provisioned: Sequence[Provisioned], *, measures: ServiceMetrics, clock: Clock) -> None:
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
            # The counter never decreases, even if the clock runs backwards.
            if due > self._charged[component]:
                self._measures.count_capacity(component=component, micro_units=due - self._charged[component])
                self._charged[component] = due
