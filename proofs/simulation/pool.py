"""Database connections for refpay whose statements are scheduled, and which break and die by schedule."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import asyncpg
from proofs.simulation.loop import VirtualLoop
from proofs.simulation.process import Process
from proofs.simulation.scheduler import LockMonitor, Scheduler

_CONNECT_SECONDS: Final = 10
_WRITES: Final = ("INSERT", "UPDATE", "DELETE", "WITH")
_NEVER_WAIT: Final = ("COMMIT", "ROLLBACK", "COMMIT is answered")
# Fixed plans: a plan made while a table was small would scan all of it later.
SERVER_SETTINGS: Final = {
    "timezone": "UTC",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


class Connections:
    """The real connections of one server. They are reused, because connecting would take most of the time."""

    def __init__(self, loop: VirtualLoop, dsn: str) -> None:
        self._loop = loop
        self._dsn = dsn
        self._free: list[asyncpg.Connection[asyncpg.Record]] = []
        self._connecting = itertools.count(-1, -1)
        self.tasks: set[asyncio.Task[None]] = set()

    async def take(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Return a connection without an open transaction."""
        return self._free.pop() if self._free else await self._connect()

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        # No step is scheduled meanwhile, so the time of connecting makes no difference. The driver has no
        # timers of its own for the same reason.
        with self._in_flight(next(self._connecting)):
            return await asyncpg.connect(
                self._dsn,
                timeout=_CONNECT_SECONDS,
                max_cached_statement_lifetime=0,
                server_settings=SERVER_SETTINGS,
            )

    def put(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Return a clean connection to the pool."""
        self._free.append(connection)

    def abandon(self, connection: "asyncpg.Connection[asyncpg.Record]", monitor: LockMonitor) -> None:
        """Have the server roll back, as it does when a client is gone, before any other step.

        A backend that is not in the middle of a statement is reused.
        """
        backend: int = connection.get_server_pid()
        if backend in self._loop.selector.in_flight:
            self._loop.selector.in_flight.discard(backend)
            connection.terminate()
            monitor.wait_gone({backend})
            self._loop.selector.waiting.clear()
        else:
            task = self._loop.create_task(self._roll_back(connection, backend))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            self._loop.selector.in_flight.add(backend)

    async def _roll_back(self, connection: "asyncpg.Connection[asyncpg.Record]", backend: int) -> None:
        with self._in_flight(backend):
            await connection.execute("ROLLBACK")
            self._loop.selector.waiting.clear()
        self._free.append(connection)

    @contextmanager
    def _in_flight(self, backend: int) -> Iterator[None]:
        self._loop.selector.in_flight.add(backend)
        try:
            yield
        finally:
            self._loop.selector.in_flight.discard(backend)

    async def end_transactions(self, count: int) -> None:
        """End every transaction and open `count` connections, so that no history waits for one."""
        await asyncio.gather(*self.tasks)
        while len(self._free) < count:
            self._free.append(await self._connect())

    async def close(self) -> None:
        """Close all connections when no history runs."""
        await self.end_transactions(0)
        for connection in self._free:
            await connection.close()


class SimulatedPool:
    """Replaces asyncpg's pool for one incarnation of one process."""

    def __init__(self, process: Process, connections: Connections) -> None:
        self._process = process
        self._connections = connections

    async def acquire(self) -> "SimulatedConnection":
        """Return a connection."""
        number = self._process.scheduler.number()
        real = await self._connections.take()
        return SimulatedConnection(self._process, self._connections, real, number)

    async def release(self, connection: "SimulatedConnection", *, timeout: float) -> None:  # noqa: ARG002, ASYNC109 - asyncpg's signature
        """Return a connection to the pool."""
        connection.give_back()

    async def close(self) -> None:
        """Do nothing: the pool owns no connection."""

    def terminate(self) -> None:
        """Do nothing: the pool owns no connection."""


class SimulatedConnection:
    """One connection; each statement is a scheduled step."""

    def __init__(
        self,
        process: Process,
        connections: Connections,
        real: "asyncpg.Connection[asyncpg.Record]",
        number: int,
    ) -> None:
        self._process, self._scheduler, self._incarnation = process, process.scheduler, process.incarnation
        self._connections, self._real = connections, real
        self._backend: int = real.get_server_pid()
        self._clean, self._gone = True, False
        self.wrote = False
        self._number = number
        process.on_kill.append(self._abandon)

    @property
    def scheduler(self) -> Scheduler:
        """Return the scheduler of its history."""
        return self._scheduler

    def transaction(self) -> "SimulatedTransaction":
        """Return a transaction."""
        return SimulatedTransaction(self)

    async def execute(self, query: str, *arguments: Any, **options: Any) -> Any:
        """Execute a statement."""
        return await self.step(query, lambda: self._real.execute(query, *arguments, **options))

    async def executemany(self, query: str, rows: Any, **options: Any) -> Any:
        """Execute a statement for each row."""
        self.wrote = True
        return await self.step(query, lambda: self._real.executemany(query, rows, **options))

    async def fetch(self, query: str, *arguments: Any, **options: Any) -> Any:
        """Fetch all rows."""
        return await self.step(query, lambda: self._real.fetch(query, *arguments, **options))

    async def fetchrow(self, query: str, *arguments: Any, **options: Any) -> Any:
        """Fetch one row."""
        return await self.step(query, lambda: self._real.fetchrow(query, *arguments, **options))

    async def fetchval(self, query: str, *arguments: Any, **options: Any) -> Any:
        """Fetch one value."""
        return await self.step(query, lambda: self._real.fetchval(query, *arguments, **options))

    async def step(self, query: str, work: Any, *, lost: float = 0.0) -> Any:
        """Wait for a turn, then run a statement, unless the connection breaks first.

        Faults are drawn when the turn has come, because two statements that one COMMIT unblocks arrive in any
        order.
        """
        self._process.check(self._incarnation)
        self._clean = False
        label, may_wait, writes = _read(query)
        locking = self._backend if may_wait else None
        await self._scheduler.wait_for_turn(
            f"{self._process.name}: {label}", self._process, self._number, locking
        )
        self._process.check(self._incarnation)
        if self._scheduler.chance(self._scheduler.fault_rates.lose_connection):
            self.break_connection("before a statement")
        if self._scheduler.chance(lost):
            self.break_connection("before COMMIT arrived")
        found = await self.run(work)
        # A write that changed no row needs no check.
        self.wrote |= writes and found not in (None, [], "INSERT 0 0", "UPDATE 0")
        return found

    async def run(self, work: Any) -> Any:
        """Run a statement on the server without waiting for a turn."""
        if self._gone:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed before")
        in_flight = self._scheduler.loop.selector.in_flight
        in_flight.add(self._backend)
        try:
            return await work()
        finally:
            # If the process died meanwhile, the backend is out already and may serve another process.
            if self._incarnation == self._process.incarnation:
                in_flight.discard(self._backend)
            self._process.check(self._incarnation)

    def break_connection(self, when: str) -> None:
        """Break the connection and raise the driver's error."""
        self._scheduler.note(f"{self._process.name}: connection LOST {when}")
        self._abandon()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    async def end(self, how: str) -> None:
        """End the transaction; afterwards no step is known to wait for it."""
        await self._real.execute(how)
        self._scheduler.loop.selector.waiting.clear()

    def mark_clean(self) -> None:
        """Note that no transaction is open."""
        self._clean = True

    def terminate(self) -> None:
        """Break the connection."""
        self._process.check(self._incarnation)
        self._abandon()

    def _abandon(self) -> None:
        if not self._gone:
            self._gone = True
            self._connections.abandon(self._real, self._scheduler.monitor)

    def give_back(self) -> None:
        """Return the real connection to the pool if it is clean."""
        self._process.check(self._incarnation)
        self._process.on_kill.remove(self._abandon)
        if not self._clean:
            self._abandon()
        elif not self._gone:
            self._connections.put(self._real)


class SimulatedTransaction:
    """One transaction; its connection may be lost before or after COMMIT happened."""

    def __init__(self, connection: SimulatedConnection) -> None:
        self._connection = connection

    async def start(self) -> None:
        """Begin. This is not a scheduled step, because its time makes no difference."""
        connection = self._connection
        connection._process.check(connection._incarnation)
        connection._clean = connection.wrote = False
        await connection.run(lambda: connection._real.execute("BEGIN"))

    async def commit(self) -> None:
        """Commit in two steps, because the answer of the server may be lost."""
        connection, scheduler = self._connection, self._connection.scheduler

        async def arrive() -> None:
            await connection.end("COMMIT")
            if connection.wrote:
                await scheduler.committed()

        await connection.step("COMMIT", arrive, lost=scheduler.fault_rates.lose_commit / 2)
        if scheduler.chance(scheduler.fault_rates.lose_commit / 2):
            connection.break_connection("after COMMIT, before its answer")
        await connection.step("COMMIT is answered", _nothing)
        connection.mark_clean()

    async def rollback(self) -> None:
        """Roll back."""
        connection = self._connection

        await connection.step("ROLLBACK", lambda: connection.end("ROLLBACK"))
        connection.mark_clean()


@cache
def _read(query: str) -> tuple[str, bool, bool]:
    """Return a statement's label, whether it may wait for a lock, and whether it writes."""
    text = " ".join(query.split())
    waits = not text.startswith("SELECT") or " FOR " in text or "advisory" in text
    return text[:90], text not in _NEVER_WAIT and waits, text.startswith(_WRITES)


async def _nothing() -> None:
    return
