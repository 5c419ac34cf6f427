"""One history: start the processes, run checkouts under faults, end the faults, and check the invariants."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

from proofs.simulation.clients import RETENTION, Merchant
from proofs.simulation.invariants import InvariantChecker, LockMonitor
from proofs.simulation.loop import VirtualLoop
from proofs.simulation.payouts import APPROVAL_THRESHOLD_MINOR, Approver, PayoutChecks
from proofs.simulation.pool import Connections, SimulatedPool
from proofs.simulation.process import Process
from proofs.simulation.provider import Book, SimulatedProvider
from proofs.simulation.scheduler import InvariantViolated, Scheduler
from proofs.simulation.webhooks import KEY_ID, SECRET, WebhookEndpoint, WebhookSender

import refpay
import refpay.ids
from moneypath.telemetry import Catalogue, setup
from refpay.costs import CostModel
from refpay.db.pool import Database
from refpay.measures import API_METRICS, ServiceMetrics
from refpay.money import Currency
from refpay.operations.approval_decisions import ApprovalDecisions
from refpay.payments.approvals import require_approval
from refpay.payments.intents import Deadlines
from refpay.payments.outcome_resolver import OutcomeResolver
from refpay.payments.recovery import OperationRecovery
from refpay.payments.retention import Retention
from refpay.payments.service import Payments
from refpay.providers.retry import RetryingProvider
from refpay.providers.timeout import TimedProvider

_PROVIDERS: Final = ("north", "south")
_DEADLINES: Final = dict.fromkeys(
    _PROVIDERS, Deadlines(timedelta(seconds=5), timedelta(seconds=6), timedelta(seconds=8))
)
_SETTLE_SECONDS: Final = 1.5
_RETENTION_INTERVAL_SECONDS: Final = 4.0
_CONNECTIONS: Final = 8
# Shorter than a clock jump, longer than a history without one.
_LIFETIME: Final = RETENTION
# Virtual seconds, far more than the longest pause between two queries to a provider.
_CONVERGE_SECONDS: Final = 120
_LOOK_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class HistoryOutcome:
    """How a history ended; `violation` is None if every invariant held."""

    seed: int
    violation: str | None
    steps: int
    trace: tuple[str, ...]


class _Clock:
    """refpay's clock in virtual time."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.now = scheduler.now
        self.monotonic = scheduler.loop.time


class Simulator:
    """Runs one history after the other on one server, and reuses everything that is slow to create."""

    def __init__(self, loop: VirtualLoop, dsn: str, monitor_dsn: str) -> None:
        self._loop = loop
        self._connections = Connections(loop, dsn)
        self._oracle, self._monitor = InvariantChecker(loop, monitor_dsn), LockMonitor(monitor_dsn)
        catalogue = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
        costs = CostModel.load(Path(refpay.__file__).with_name("costs.json"))
        self._folder = TemporaryDirectory(prefix="simulation-")
        self._keys = Path(self._folder.name) / "webhooks.json"
        self._keys.write_text(json.dumps({"keys": {KEY_ID: SECRET.hex()}}))
        self._measures = ServiceMetrics(setup(catalogue, service="refpay-api", metrics=API_METRICS), costs)

    def run(self, seed: int) -> HistoryOutcome:
        """Run the history of a seed and return its outcome."""
        loop = self._loop
        loop.run_until_complete(self._connections.end_transactions(_CONNECTIONS))
        loop.reset()
        scheduler = Scheduler(seed, loop, self._monitor)
        # Ids depend on the seed.
        vars(refpay.ids)["_draw"] = partial(Random(seed ^ 0x5EED).randbytes, 10)  # noqa: S311 - names, not secrets
        history = loop.create_task(self._live(scheduler))
        with scheduler.running(history.cancel):
            try:
                loop.run_until_complete(history)
            except asyncio.CancelledError:
                if scheduler.failure is None:
                    raise
            except InvariantViolated:
                pass
        violation = None if scheduler.failure is None else str(scheduler.failure)
        self._end(scheduler)
        return HistoryOutcome(seed, violation, scheduler.steps, tuple(scheduler.trace))

    async def _live(self, scheduler: Scheduler) -> None:
        clock = _Clock(scheduler)
        books = [Book(name, scheduler) for name in _PROVIDERS]
        memory: dict[str, Any] = {}

        def boot_api(process: Process) -> None:
            providers = {book.name: self._resilient(book, process, clock) for book in books}
            database = self._database(process)
            payments = memory["payments"] = Payments(
                database,
                providers,
                deadlines=_DEADLINES,
                measures=self._measures,
                clock=clock,
                approve=require_approval(database, dict.fromkeys(Currency, APPROVAL_THRESHOLD_MINOR)),
            )
            memory["approving"] = ApprovalDecisions(database, clock)
            memory["webhook_endpoint"] = WebhookEndpoint(
                database, payments.resolver, measures=self._measures, clock=clock, keys=self._keys
            )
            process.on_kill.append(partial(_end_batches, payments))

        def boot_worker(process: Process) -> None:
            database = self._database(process)
            providers = {
                book.name: TimedProvider(SimulatedProvider(book, process), seconds=1) for book in books
            }
            resolver = OutcomeResolver(database, measures=self._measures, clock=clock)
            recovery = OperationRecovery(
                database, providers, resolver=resolver, clock=clock, pause_seconds=_SETTLE_SECONDS
            )
            retention = Retention(database, clock, _LIFETIME, RETENTION)
            process.spawn(_repeat(scheduler, recovery.run_once, _SETTLE_SECONDS))
            process.spawn(_repeat(scheduler, retention.expire, _RETENTION_INTERVAL_SECONDS))
            process.spawn(_repeat(scheduler, retention.reap, _RETENTION_INTERVAL_SECONDS))

        api, worker = Process(scheduler, "api", boot_api), Process(scheduler, "worker", boot_worker)
        webhook_sender = WebhookSender(scheduler, api, lambda: memory["webhook_endpoint"])
        for book in books:
            book.on_execute = webhook_sender.send_event
        name = f"merchant-{scheduler.seed}"
        payouts = PayoutChecks()
        merchant, second = (
            Merchant(scheduler, api, lambda: memory["payments"], one) for one in (name, f"{name}-second")
        )
        merchant.on_approval = Approver(second, lambda: memory["approving"]).decide
        merchant.on_payout = payouts.note_request
        scheduler.on_commit.append(lambda: self._oracle.check(scheduler, name, books, payouts))
        scheduler.on_clock_jump.extend(book.deliver_in_transit for book in books)
        api.start()
        worker.start()
        await asyncio.gather(*(merchant.run_checkout() for _ in range(scheduler.random.choice((1, 2, 2, 3)))))
        scheduler.heal()
        # Before clients repeat requests: operations are resolved even if their client is gone.
        await self._converge(scheduler, name, books, payouts)
        await merchant.repeat_all_requests()
        await second.repeat_all_requests()
        await asyncio.sleep(_LOOK_SECONDS)
        # Before the last check, or a hold that expires later would belong to the next history.
        await self._oracle.retire(name)
        await self._converge(scheduler, name, books, payouts)

    async def _converge(
        self, scheduler: Scheduler, merchant: str, books: Sequence[Book], payouts: PayoutChecks
    ) -> None:
        for _ in range(0, _CONVERGE_SECONDS, _LOOK_SECONDS):
            if not await self._oracle.is_unresolved(merchant):
                break
            await asyncio.sleep(_LOOK_SECONDS)
        await self._oracle.check(scheduler, merchant, books, payouts, ended=True)

    def _database(self, process: Process) -> Database:
        return Database(SimulatedPool(process, self._connections), _CONNECTIONS)  # type: ignore[arg-type]

    def _resilient(self, book: Book, process: Process, clock: _Clock) -> Any:
        attempt = _attempts(book, process)
        retried = RetryingProvider(attempt, attempts=3, clock=clock, random_source=book.scheduler.random)
        return _Closed(retried)

    def _end(self, scheduler: Scheduler) -> None:
        """Cancel the remaining tasks of a history."""
        for process in scheduler.processes:
            process.end()
        left = asyncio.all_tasks(self._loop) - self._connections.tasks
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    def close(self) -> None:
        """Close every connection."""
        self._loop.run_until_complete(self._connections.close())
        self._loop.run_until_complete(self._oracle.close())
        self._monitor.close()
        self._folder.cleanup()


def _attempts(book: Book, process: Process) -> TimedProvider:
    return TimedProvider(SimulatedProvider(book, process), seconds=1)


class _Closed:
    """A provider whose circuit breaker is always closed: the scheduler injects the failures."""

    def __init__(self, provider: RetryingProvider) -> None:
        self.name, self.perform = provider.name, provider.perform

    def require_closed(self) -> None:
        """Accept every call."""


def _end_batches(payments: Payments) -> None:
    """Cancel the tasks of batches, which belong to no request and so to no task of the process."""
    for batcher in (payments._batches._batcher, payments.resolver._batches._batcher):
        for task in (*batcher._tasks,):
            task.cancel()


async def _repeat(scheduler: Scheduler, once: Callable[[], Awaitable[object]], seconds: float) -> None:
    while True:
        try:
            await once()
        except Exception as problem:  # noqa: BLE001 - the worker's loop outlives a round; the oracle sees what it left
            scheduler.note(f"worker: a round failed: {type(problem).__name__}")
        await asyncio.sleep(seconds)
