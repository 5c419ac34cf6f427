"""One history: boots the processes, lets the merchants shop in bad weather, heals, and compares the books."""

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

import refpay
import refpay.ids
from moneypath.telemetry import Catalogue, setup
from refpay.costs import CostModel
from refpay.db.pool import Database
from refpay.measures import API_METRICS, Measures
from refpay.operations.approving import Approving
from refpay.payments.approvals import require_approval
from refpay.payments.intents import Deadlines
from refpay.payments.resolving import Resolver
from refpay.payments.service import Payments
from refpay.payments.settler import Settler
from refpay.payments.upkeep import Upkeep
from refpay.providers.retry import RetriedProvider
from refpay.providers.timeout import TimedProvider
from simulation.clients import RETENTION, Merchant
from simulation.loop import VirtualLoop
from simulation.oracle import Monitor, Oracle
from simulation.payouts import ALONE_MINOR, Payouts, SecondPerson
from simulation.pool import Connections, SimulatedPool
from simulation.process import Process
from simulation.provider import Book, SimulatedProvider
from simulation.webhooks import KEY_ID, SECRET, Door, Teller
from simulation.world import Violation, World

_PROVIDERS: Final = ("north", "south")
_DEADLINES: Final = dict.fromkeys(
    _PROVIDERS, Deadlines(timedelta(seconds=5), timedelta(seconds=6), timedelta(seconds=8))
)
_SETTLE_SECONDS: Final = 1.5
_UPKEEP_SECONDS: Final = 4.0
_CONNECTIONS: Final = 8
# Less than a clock may jump, more than any history lasts without.
_LIFETIME: Final = RETENTION
# Virtual: far more than the longest pause between two questions to a provider.
_CONVERGE_SECONDS: Final = 120
_LOOK_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a history ended; `violation` is absent if every promise was kept."""

    seed: int
    violation: str | None
    steps: int
    trace: tuple[str, ...]


class _Clock:
    """refpay's clock, virtual."""

    def __init__(self, world: World) -> None:
        self.now = world.now
        self.monotonic = world.loop.time


class Simulator:
    """Runs one history after the other against one server; makes nothing anew that costs time."""

    def __init__(self, loop: VirtualLoop, dsn: str, monitor_dsn: str) -> None:
        self._loop = loop
        self._connections = Connections(loop, dsn)
        self._oracle, self._monitor = Oracle(loop, monitor_dsn), Monitor(monitor_dsn)
        catalogue = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
        costs = CostModel.load(Path(refpay.__file__).with_name("costs.json"))
        self._folder = TemporaryDirectory(prefix="simulation-")
        self._keys = Path(self._folder.name) / "webhooks.json"
        self._keys.write_text(json.dumps({"keys": {KEY_ID: SECRET.hex()}}))
        self._measures = Measures(setup(catalogue, service="refpay-api", metrics=API_METRICS), costs)

    def run(self, seed: int) -> Outcome:
        """Return how the history of a seed ends."""
        loop = self._loop
        loop.run_until_complete(self._connections.settle(_CONNECTIONS))
        loop.begin_anew()
        world = World(seed, loop, self._monitor)
        # The same seed, the same ids.
        vars(refpay.ids)["_draw"] = partial(Random(seed ^ 0x5EED).randbytes, 10)  # noqa: S311 - names, not secrets
        history = loop.create_task(self._live(world))
        with world.running(history.cancel):
            try:
                loop.run_until_complete(history)
            except asyncio.CancelledError:
                if world.failure is None:
                    raise
            except Violation:
                pass
        violation = None if world.failure is None else str(world.failure)
        self._end(world)
        return Outcome(seed, violation, world.steps, tuple(world.trace))

    async def _live(self, world: World) -> None:
        clock = _Clock(world)
        books = [Book(name, world) for name in _PROVIDERS]
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
                approve=require_approval(database, ALONE_MINOR),
            )
            memory["approving"] = Approving(database, clock)
            memory["door"] = Door(
                database, payments.settler, measures=self._measures, clock=clock, keys=self._keys
            )
            process.on_kill.append(partial(_end_batches, payments))

        def boot_worker(process: Process) -> None:
            database = self._database(process)
            providers = {
                book.name: TimedProvider(SimulatedProvider(book, process), seconds=1) for book in books
            }
            settler = Settler(database, measures=self._measures, clock=clock)
            resolver = Resolver(
                database, providers, settler=settler, clock=clock, pause_seconds=_SETTLE_SECONDS
            )
            upkeep = Upkeep(database, clock, _LIFETIME, RETENTION)
            process.spawn(_repeat(world, resolver.run_once, _SETTLE_SECONDS))
            process.spawn(_repeat(world, upkeep.expire, _UPKEEP_SECONDS))
            process.spawn(_repeat(world, upkeep.reap, _UPKEEP_SECONDS))

        api, worker = Process(world, "api", boot_api), Process(world, "worker", boot_worker)
        teller = Teller(world, api, lambda: memory["door"])
        for book in books:
            book.on_act = teller.tell
        name = f"merchant-{world.seed}"
        payouts = Payouts()
        merchant, second = (
            Merchant(world, api, lambda: memory["payments"], one) for one in (name, f"{name}-second")
        )
        merchant.on_approval = SecondPerson(second, lambda: memory["approving"]).decide
        merchant.on_payout = payouts.asked
        world.on_commit.append(lambda: self._oracle.check(world, name, books, payouts))
        world.on_jump.extend(book.all_arrive for book in books)
        api.start()
        worker.start()
        await asyncio.gather(*(merchant.shop() for _ in range(world.random.choice((1, 2, 2, 3)))))
        world.heal()
        # Before anybody asks again: what was begun has its end although its client has gone.
        await self._converge(world, name, books, payouts)
        await merchant.ask_all_again()
        await second.ask_all_again()
        await asyncio.sleep(_LOOK_SECONDS)
        # Before the last look: an old hold that begins to expire after it would be the next history's.
        await self._oracle.retire(name)
        await self._converge(world, name, books, payouts)

    async def _converge(self, world: World, merchant: str, books: Sequence[Book], payouts: Payouts) -> None:
        for _ in range(0, _CONVERGE_SECONDS, _LOOK_SECONDS):
            if not await self._oracle.is_unresolved(merchant):
                break
            await asyncio.sleep(_LOOK_SECONDS)
        await self._oracle.check(world, merchant, books, payouts, ended=True)

    def _database(self, process: Process) -> Database:
        return Database(SimulatedPool(process, self._connections))  # type: ignore[arg-type]

    def _resilient(self, book: Book, process: Process, clock: _Clock) -> Any:
        attempt = _attempts(book, process)
        retried = RetriedProvider(attempt, attempts=3, clock=clock, random_source=book.world.random)
        return _Closed(retried)

    def _end(self, world: World) -> None:
        """Let what is left of the history unwind."""
        for process in world.processes:
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
    """A provider whose circuit is never open: the schedule is breaker enough."""

    def __init__(self, provider: RetriedProvider) -> None:
        self.name, self.perform = provider.name, provider.perform

    def require_closed(self) -> None:
        """Take every call."""


def _end_batches(payments: Payments) -> None:
    """Batches belong to no request, and so to no task that dies with the process."""
    for batcher in (payments._quick._batcher, payments.settler._quick._batcher):
        for task in (*batcher._tasks,):
            task.cancel()


async def _repeat(world: World, once: Callable[[], Awaitable[object]], seconds: float) -> None:
    while True:
        try:
            await once()
        except Exception as problem:  # noqa: BLE001 - the worker's loop outlives a round; the oracle sees what it left
            world.note(f"worker: a round failed: {type(problem).__name__}")
        await asyncio.sleep(seconds)
