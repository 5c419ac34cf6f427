"""The wallet's worker: `python -m wallet.worker` asks banks what became of orders that nobody answered."""

import asyncio
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

from prometheus_client import start_http_server
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from wallet.banks import Banks
from wallet.booking import Books
from wallet.measures import WorkerMeasures
from wallet.settings import NotConfigured, Settings
from wallet.tables import BankOrder, BankSwitch

PAUSE_SECONDS: Final = 0.5
AT_ONCE: Final = 50
CURRENCIES: Final = ("EUR", "SEK")


class Worker:
    """Resolves open orders, and shows how many there are."""

    def __init__(
        self, settings: Settings, sessions: async_sessionmaker[AsyncSession], measures: WorkerMeasures
    ) -> None:
        self._settings, self._sessions, self._measures = settings, sessions, measures
        self._books = Books(sessions, measures)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what fails is tried again in the next round."""
        async with Banks(self._settings, self._measures) as banks:
            while not stop.is_set():
                try:
                    await self._round(banks)
                except Exception as error:  # noqa: BLE001 - a worker that ends resolves nothing
                    print(f"wallet-worker: {type(error).__name__}", file=sys.stderr, flush=True)
                try:
                    await asyncio.wait_for(stop.wait(), PAUSE_SECONDS)
                except TimeoutError:
                    continue

    async def _round(self, banks: Banks) -> None:
        now = datetime.now(UTC)
        patience = timedelta(seconds=self._settings.ask_after_seconds)

        async def resolve(order: BankOrder) -> None:
            said = await banks.ask(order, now)
            async with one_by_one:
                await self._books.decide(order.id, said, datetime.now(UTC))

        # Together, or a bank that is silent would keep those of the other one waiting.
        one_by_one = asyncio.Lock()
        orders = await self._books.unanswered(now - patience, AT_ONCE)
        await asyncio.gather(*(resolve(order) for order in orders))
        await self._show(datetime.now(UTC), patience)

    async def _show(self, now: datetime, patience: timedelta) -> None:
        recorder = self._measures.recorder
        async with self._sessions() as session:
            switches = {one.bank: one.open for one in await session.scalars(select(BankSwitch))}
        waiting = {
            (bank, currency): (n, cents)
            for bank, currency, n, cents in await self._books.waiting(now, patience)
        }
        for bank in self._settings.banks:
            numbers = [n for (name, _), (n, _) in waiting.items() if name == bank]
            self._measures.open_orders.labels(bank).set(sum(numbers))
            recorder.gauge("moneypath_indeterminate_payments").set(sum(numbers), provider=bank)
            recorder.gauge("moneypath_provider_routing_active").set(
                int(switches.get(bank, True)), provider=bank
            )
            for currency in CURRENCIES:
                cents = waiting.get((bank, currency), (0, 0))[1]
                recorder.gauge("moneypath_indeterminate_minor_units").set(
                    cents, provider=bank, currency=currency
                )
        for currency in CURRENCIES:
            cents = sum(cents for (_, of), (_, cents) in waiting.items() if of == currency)
            recorder.gauge("moneypath_money_at_risk_minor_units").set(
                cents, reason="indeterminate", currency=currency
            )


async def work(settings: Settings) -> None:
    """Work and serve metrics until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = create_async_engine(settings.database(), pool_size=2, max_overflow=0)
    measures = WorkerMeasures(settings.banks)
    server, thread = start_http_server(settings.port, addr="127.0.0.1", registry=measures.registry)
    try:
        await Worker(settings, async_sessionmaker(engine, expire_on_commit=False), measures).run(stop)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        await engine.dispose()


if __name__ == "__main__":
    try:
        asyncio.run(work(Settings.read()))
    except NotConfigured as wrong:
        sys.exit(f"wallet: {wrong}")
