"""The background jobs that reconcile, one for each provider, and their gauges."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from moneypath.telemetry import Recorder
from refpay.background_jobs import BackgroundJob
from refpay.clock import Clock
from refpay.costs import CostModel
from refpay.db.pool import Database
from refpay.measures import ServiceMetrics, show_check
from refpay.money import Currency
from refpay.providers.registry import open_reports
from refpay.reconciliation.comparing import MatchingRules
from refpay.reconciliation.ingestion import MovementHandler
from refpay.reconciliation.model import BreakClass
from refpay.reconciliation.rounds import Reconciler, ReconciliationStatus
from refpay.settings import Settings

_CHECK: Final = "settlement_matched"


@asynccontextmanager
async def open_reconciliation_jobs(
    settings: Settings,
    database: Database,
    measures: ServiceMetrics,
    clock: Clock,
    costs: CostModel,
    *,
    on_movement: MovementHandler,
) -> AsyncIterator[Sequence[BackgroundJob]]:
    """Yield one job for each provider, so that a provider that hangs does not delay the others."""
    rules = MatchingRules(costs, timedelta(seconds=settings.resolve_slack_seconds))
    names = [provider.name for provider in settings.providers]
    gauges = ReconciliationGauges(measures.recorder, providers=names)
    async with open_reports(settings) as sources:
        rounds = [
            _Rounds(
                Reconciler(
                    database, source, rules=rules, counters=measures, clock=clock, on_movement=on_movement
                ),
                gauges,
                clock,
            )
            for source in sources
        ]
        interval = settings.reconcile_interval_seconds
        yield [
            BackgroundJob(one.name, one.run_once, interval_seconds=interval, clock=clock) for one in rounds
        ]


class _Rounds:
    def __init__(self, reconciler: Reconciler, gauges: "ReconciliationGauges", clock: Clock) -> None:
        self._reconciler = reconciler
        self._gauges = gauges
        self._clock = clock
        self.name = f"reconcile-{reconciler.provider}"

    async def run_once(self) -> None:
        """Run a round and export its result.

        If the provider does not answer, the check's last success grows old.
        """
        begun_at = self._clock.now()
        answered = await self._reconciler.run_once()
        status = await self._reconciler.read_status()
        self._gauges.show(self._reconciler.provider, status)
        if answered:
            self._gauges.stamp(self._reconciler.provider, begun_at)


class ReconciliationGauges:
    """Exports the state of reconciliation; nothing else does. What is not known is absent."""

    def __init__(self, recorder: Recorder, *, providers: Iterable[str]) -> None:
        self._recorder = recorder
        self._providers = tuple(providers)
        self._breaks: dict[str, int] = {}
        self._succeeded: dict[str, datetime] = {}

    def show(self, provider: str, status: ReconciliationStatus) -> None:
        """Set every gauge of one provider."""
        progress = status.progress
        self._set_instant(
            "moneypath_reconciliation_watermark_timestamp_seconds", progress.watermark, provider=provider
        )
        self._set_instant("moneypath_settlement_due_timestamp_seconds", progress.next_due, provider=provider)
        for break_class in BreakClass:
            found = [one for one in status.open_breaks if one.break_class is break_class]
            labels = {"provider": provider, "class": break_class.value}
            self._set("moneypath_reconciliation_breaks", sum(one.breaks for one in found), **labels)
            for currency in Currency:
                value = sum(one.value_minor for one in found if one.currency == currency)
                self._set(
                    "moneypath_reconciliation_break_minor_units", value, currency=currency.value, **labels
                )
            oldest = min((one.oldest for one in found), default=None)
            self._set_instant("moneypath_reconciliation_oldest_break_timestamp_seconds", oldest, **labels)
        self._breaks[provider] = sum(one.breaks for one in status.open_breaks)

    def stamp(self, provider: str, begun_at: datetime) -> None:
        """Note a successful round. The check is as old as the provider that is furthest behind."""
        self._succeeded[provider] = begun_at
        if len(self._succeeded) == len(self._providers):
            oldest = min(self._succeeded.values())
            show_check(self._recorder, _CHECK, sum(self._breaks.values()), oldest)

    def _set(self, name: str, value: float, **labels: str) -> None:
        self._recorder.gauge(name).set(value, **labels)

    def _set_instant(self, name: str, instant: datetime | None, **labels: str) -> None:
        gauge = self._recorder.gauge(name)
        if instant is None:
            gauge.clear(**labels)
        else:
            gauge.set(instant.timestamp(), **labels)
