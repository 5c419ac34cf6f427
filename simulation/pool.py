"""Connections for refpay's own Database whose statements wait for their turn, break and die by schedule."""

import itertools
from typing import Any, Final

import asyncpg

from simulation.loop import VirtualLoop
from simulation.world import Process, World

_CONNECT_SECONDS: Final = 10
_NEVER_WAIT: Final = ("COMMIT", "ROLLBACK", "COMMIT is answered")


class Connections:
    """The real connections of one server; clean ones are used again, or connecting would take most time."""

    def __init__(self, loop: VirtualLoop, dsn: str) -> None:
        self._loop = loop
        self._dsn = dsn
        self._free: list[asyncpg.Connection[asyncpg.Record]] = []
        # Stand for backends that have no number yet.
        self._connecting = itertools.count(-1, -1)

    async def take(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Return a connection that is in no transaction."""
        while self._free:
            connection = self._free.pop()
            if not connection.is_closed():
                return connection
        return await self._connect()

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        # Nobody has a turn meanwhile: how long connecting takes must make no difference.
        in_flight, marker = self._loop.selector.in_flight, next(self._connecting)
        in_flight.add(marker)
        try:
            return await asyncpg.connect(self._dsn, timeout=_CONNECT_SECONDS)
        finally:
            in_flight.discard(marker)

    def put(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Take a clean connection back."""
        self._free.append(connection)

    async def fill(self, count: int) -> None:
        """Have so many ready, so that no history waits for one."""
        while len(self._free) < count:
            self._free.append(await self._connect())

    async def close(self) -> None:
        """Close all that are free."""
        for connection in self._free:
            await connection.close()


class SimulatedPool:
    """Stands where asyncpg's pool does, for one life of one process."""

    def __init__(self, process: Process, connections: Connections) -> None:
        self._process = process
        self._connections = connections

    async def acquire(self, *, timeout: float) -> "SimulatedConnection":  # noqa: ARG002, ASYNC109 - asyncpg's signature
        """Return a connection."""
        # Drawn first: of two that have to connect, either may be there first.
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
        self._clean = True
        self.wrote = False
        self._number = number
        process.backends.add(self._backend)
        process.on_kill.append(real.terminate)

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

    async def step(self, query: str, work: Any) -> Any:
        """Wait for a turn, then run a statement, unless the connection breaks first."""
        self._process.check(self._life)
        self._clean = False
        text = " ".join(query.split())
        self.wrote |= text.startswith(("INSERT", "UPDATE", "DELETE", "WITH"))
        waits = not text.startswith("SELECT") or " FOR " in text or "advisory" in text
        may_wait = text not in _NEVER_WAIT and waits
        locking = self._backend if may_wait else None
        await self._world.turn(f"{self._process.name}: {text[:90]}", self._process, self._number, locking)
        self._process.check(self._life)
        if self._world.chance(self._world.weather.lose_connection):
            self.lose("before a statement")
        return await self.run(work)

    async def run(self, work: Any) -> Any:
        """Run something on the server at once."""
        in_flight = self._world.loop.selector.in_flight
        in_flight.add(self._backend)
        try:
            return await work()
        finally:
            in_flight.discard(self._backend)
            self._process.check(self._life)

    def lose(self, when: str) -> None:
        """Break the connection, and raise what the driver would."""
        self._world.note(f"{self._process.name}: connection LOST {when}")
        self._real.terminate()
        self._world.monitor.wait_gone({self._backend})
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    def clean(self) -> None:
        """Note that no transaction is open."""
        self._clean = True

    def terminate(self) -> None:
        """Break the connection."""
        self._process.check(self._life)
        self._real.terminate()
        self._world.monitor.wait_gone({self._backend})

    def give_back(self) -> None:
        """Return the real connection, if it is good for anything."""
        self._process.check(self._life)
        self._process.backends.discard(self._backend)
        self._process.on_kill.remove(self._real.terminate)
        if self._clean and not self._real.is_closed():
            self._connections.put(self._real)
        else:
            self._real.terminate()


class SimulatedTransaction:
    """One transaction; COMMIT may be lost before or after it happened."""

    def __init__(self, connection: SimulatedConnection) -> None:
        self._connection = connection
        self._real: Any = None

    async def start(self) -> None:
        """Begin; no step of its own: nobody can tell when."""
        connection = self._connection
        connection._process.check(connection._life)
        self._real = connection._real.transaction()
        connection._clean = connection.wrote = False
        await connection.run(self._real.start)

    async def commit(self) -> None:
        """Commit, in two steps: what the server did may never be told."""
        connection, world = self._connection, self._connection.world

        async def arrive() -> None:
            # Drawn when its turn has come: two that one COMMIT sets free get here in whatever order.
            if world.chance(world.weather.lose_commit / 2):
                connection.lose("before COMMIT arrived")
            await self._real.commit()

        await connection.step("COMMIT", arrive)
        if connection.wrote:
            world.committed()
        if world.chance(world.weather.lose_commit / 2):
            connection.lose("after COMMIT, before its answer")
        await connection.step("COMMIT is answered", _nothing)
        connection.clean()

    async def rollback(self) -> None:
        """Roll back."""
        await self._connection.step("ROLLBACK", self._real.rollback)
        self._connection.clean()


async def _nothing() -> None:
    return
