"""Connections for refpay's own Database whose statements wait for their turn, break and die by schedule."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import asyncpg

from simulation.loop import VirtualLoop
from simulation.process import Process
from simulation.world import Monitor, World

_CONNECT_SECONDS: Final = 10
_WRITES: Final = ("INSERT", "UPDATE", "DELETE", "WITH")
_NEVER_WAIT: Final = ("COMMIT", "ROLLBACK", "COMMIT is answered")
# One plan for good: what was planned while a table was small would read all of it later.
SERVER_SETTINGS: Final = {
    "timezone": "UTC",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


class Connections:
    """The real connections of one server, used again and again, or connecting would take most time."""

    def __init__(self, loop: VirtualLoop, dsn: str) -> None:
        self._loop = loop
        self._dsn = dsn
        self._free: list[asyncpg.Connection[asyncpg.Record]] = []
        self._connecting = itertools.count(-1, -1)
        self.tasks: set[asyncio.Task[None]] = set()

    async def take(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Return a connection that is in no transaction."""
        return self._free.pop() if self._free else await self._connect()

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        # Nobody has a turn meanwhile: how long connecting takes must make no difference. The driver has no
        # timers of its own for the same reason.
        with self._in_flight(next(self._connecting)):
            return await asyncpg.connect(
                self._dsn,
                timeout=_CONNECT_SECONDS,
                max_cached_statement_lifetime=0,
                server_settings=SERVER_SETTINGS,
            )

    def put(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Take a clean connection back."""
        self._free.append(connection)

    def abandon(self, connection: "asyncpg.Connection[asyncpg.Record]", monitor: Monitor) -> None:
        """Have the server do what it does when a client is gone, before anybody has a turn.

        It rolls back. A backend that is in the middle of no statement may as well serve somebody else then.
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

    async def settle(self, count: int) -> None:
        """Have every transaction ended and so many connections ready, so that no history waits for one."""
        await asyncio.gather(*self.tasks)
        while len(self._free) < count:
            self._free.append(await self._connect())

    async def close(self) -> None:
        """Close them all, once no history runs."""
        await self.settle(0)
        for connection in self._free:
            await connection.close()


class SimulatedPool:
    """Stands where asyncpg's pool does, for one life of one process."""

    def __init__(self, process: Process, connections: Connections) -> None:
        self._process = process
        self._connections = connections

    async def acquire(self, *, timeout: float) -> "SimulatedConnection":  # noqa: ARG002, ASYNC109 - asyncpg's signature
        """Return a connection."""
        number = self._process.world.number()
        real = await self._connections.take()
        return SimulatedConnection(self._process, self._connections, real, number)

    async def release(self, connection: "SimulatedConnection") -> None:
        """Take it back."""
        connection.give_back()

    async def close(self) -> None:
        """Hold nothing."""

    def terminate(self) -> None:
        """Hold nothing."""


class SimulatedConnection:
    """One connection; each statement is a step of the schedule."""

    def __init__(
        self,
        process: Process,
        connections: Connections,
        real: "asyncpg.Connection[asyncpg.Record]",
        number: int,
    ) -> None:
        self._process, self._world, self._life = process, process.world, process.life
        self._connections, self._real = connections, real
        self._backend: int = real.get_server_pid()
        self._clean, self._gone = True, False
        self.wrote = False
        self._number = number
        process.on_kill.append(self._abandon)

    @property
    def world(self) -> World:
        """Return the history that it belongs to."""
        return self._world

    def transaction(self) -> "SimulatedTransaction":
        """Return a transaction."""
        return SimulatedTransaction(self)

    async def execute(self, query: str, *arguments: Any, **options: Any) -> Any:
        """Execute."""
        return await self.step(query, lambda: self._real.execute(query, *arguments, **options))

    async def executemany(self, query: str, rows: Any, **options: Any) -> Any:
        """Execute for each."""
        self.wrote = True
        return await self.step(query, lambda: self._real.executemany(query, rows, **options))

    async def fetch(self, query: str, *arguments: Any, **options: Any) -> Any:
        """Fetch all."""
        return await self.step(query, lambda: self._real.fetch(query, *arguments, **options))

    async def fetchrow(self, query: str, *arguments: Any, **options: Any) -> Any:
        """Fetch one."""
        return await self.step(query, lambda: self._real.fetchrow(query, *arguments, **options))

    async def fetchval(self, query: str, *arguments: Any, **options: Any) -> Any:
        """Fetch a value."""
        return await self.step(query, lambda: self._real.fetchval(query, *arguments, **options))

    async def step(self, query: str, work: Any, *, lost: float = 0.0) -> Any:
        """Wait for a turn, then run a statement, unless the connection breaks first.

        Drawn when its turn has come: two that one COMMIT sets free get here in whatever order.
        """
        self._process.check(self._life)
        self._clean = False
        label, may_wait, writes = _read(query)
        locking = self._backend if may_wait else None
        await self._world.turn(f"{self._process.name}: {label}", self._process, self._number, locking)
        self._process.check(self._life)
        if self._world.chance(self._world.weather.lose_connection):
            self.lose("before a statement")
        if self._world.chance(lost):
            self.lose("before COMMIT arrived")
        found = await self.run(work)
        # What was to be written and found nothing to write leaves the books as they are.
        self.wrote |= writes and found not in (None, [], "INSERT 0 0", "UPDATE 0")
        return found

    async def run(self, work: Any) -> Any:
        """Run something on the server at once."""
        if self._gone:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed before")
        in_flight = self._world.loop.selector.in_flight
        in_flight.add(self._backend)
        try:
            return await work()
        finally:
            # Of a process that died meanwhile, it is taken out already, and may be at somebody else's work.
            if self._life == self._process.life:
                in_flight.discard(self._backend)
            self._process.check(self._life)

    def lose(self, when: str) -> None:
        """Break the connection, and raise what the driver would."""
        self._world.note(f"{self._process.name}: connection LOST {when}")
        self._abandon()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    async def end(self, how: str) -> None:
        """End the transaction; from then on nobody is known to wait for it."""
        await self._real.execute(how)
        self._world.loop.selector.waiting.clear()

    def clean(self) -> None:
        """Note that no transaction is open."""
        self._clean = True

    def terminate(self) -> None:
        """Break the connection."""
        self._process.check(self._life)
        self._abandon()

    def _abandon(self) -> None:
        if not self._gone:
            self._gone = True
            self._connections.abandon(self._real, self._world.monitor)

    def give_back(self) -> None:
        """Return the real connection, if it is good for anything."""
        self._process.check(self._life)
        self._process.on_kill.remove(self._abandon)
        if not self._clean:
            self._abandon()
        elif not self._gone:
            self._connections.put(self._real)


class SimulatedTransaction:
    """One transaction; COMMIT may be lost before or after it happened."""

    def __init__(self, connection: SimulatedConnection) -> None:
        self._connection = connection

    async def start(self) -> None:
        """Begin; no step of its own: nobody can tell when."""
        connection = self._connection
        connection._process.check(connection._life)
        connection._clean = connection.wrote = False
        await connection.run(lambda: connection._real.execute("BEGIN"))

    async def commit(self) -> None:
        """Commit, in two steps: what the server did may never be told."""
        connection, world = self._connection, self._connection.world

        async def arrive() -> None:
            await connection.end("COMMIT")
            if connection.wrote:
                await world.committed()

        await connection.step("COMMIT", arrive, lost=world.weather.lose_commit / 2)
        if world.chance(world.weather.lose_commit / 2):
            connection.lose("after COMMIT, before its answer")
        await connection.step("COMMIT is answered", _nothing)
        connection.clean()

    async def rollback(self) -> None:
        """Roll back."""
        connection = self._connection

        await connection.step("ROLLBACK", lambda: connection.end("ROLLBACK"))
        connection.clean()


@cache
def _read(query: str) -> tuple[str, bool, bool]:
    """Return what a statement is called, whether it may have to wait for a lock, and whether it writes."""
    text = " ".join(query.split())
    waits = not text.startswith("SELECT") or " FOR " in text or "advisory" in text
    return text[:90], text not in _NEVER_WAIT and waits, text.startswith(_WRITES)


async def _nothing() -> None:
    return
