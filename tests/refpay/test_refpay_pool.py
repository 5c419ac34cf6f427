"""The pool serves in the order in which it was asked, and loses no place in it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refpay.db import pool
from refpay.db.errors import DatabaseUnavailable
from refpay.db.pool import Database

if TYPE_CHECKING:
    from refpay.settings import Settings

WITHIN_SECONDS = 20


@asynccontextmanager
async def opened(settings: "Settings", most_connections: int) -> AsyncIterator[Database]:
    """Open a small pool on the test's database, for the body."""
    database = await Database.connect(settings.database, most_connections=most_connections)
    try:
        yield database
    finally:
        await database.close()


async def test_who_asks_first_is_served_first(settings: "Settings") -> None:
    """Who arrives while a connection is handed on overtakes nobody who waits."""
    asked = 0
    served: list[int] = []

    async def ask() -> None:
        nonlocal asked
        asked += 1
        number = asked
        async with database.transaction() as connection:
            served.append(number)
            await connection.fetchval("SELECT 1")

    async with (
        opened(settings, 1) as database,
        asyncio.timeout(WITHIN_SECONDS),
        asyncio.TaskGroup() as customers,
    ):
        for _ in range(200):
            customers.create_task(ask())
            # Long enough for a round trip to end at any point of a caller's way.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    assert served == sorted(served)
    assert len(served) == 200


async def test_who_waits_too_long_is_told_and_leaves_the_queue(
    settings: "Settings", monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the database that cannot be reached, and the next one gets the connection."""
    monkeypatch.setattr(pool, "_ACQUIRE_SECONDS", 0.05)
    async with opened(settings, 1) as database, asyncio.timeout(WITHIN_SECONDS):
        async with database.transaction():
            with pytest.raises(DatabaseUnavailable, match="TimeoutError"):
                await database.ping()
        await database.ping()


@given(fates=st.lists(st.sampled_from(["done", "failed", "cancelled", "lost", "too late"]), max_size=30))
def test_no_fate_of_a_transaction_takes_a_place_away(fates: list[str]) -> None:
    """As many transactions as there are connections can be open again after whatever happened."""
    asyncio.run(_all_places_are_there_after(fates))


async def _all_places_are_there_after(fates: list[str]) -> None:
    database = Database(Connections(2), 2)  # type: ignore[arg-type]  # it has what Database asks of a pool
    for fate in fates:
        with_fate = asyncio.create_task(_meet(database, fate))
        await asyncio.wait([with_fate])
        assert with_fate.cancelled() == (fate == "cancelled")
    async with asyncio.timeout(1), database.transaction(), database.transaction():
        pass
    async with database.transaction(), database.transaction():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await database.ping()
    async with asyncio.timeout(1), database.transaction(), database.transaction():
        pass


async def _meet(database: Database, fate: str) -> None:
    connections = database._pool
    assert isinstance(connections, Connections)
    connections.fate = fate
    try:
        async with database.transaction():
            if fate == "failed":
                raise RuntimeError  # noqa: TRY301 - it stands for whatever a caller does
            if fate == "cancelled":
                raise asyncio.CancelledError
    except (RuntimeError, DatabaseUnavailable):
        assert fate != "done"
    finally:
        connections.fate = "done"


class Connections:
    """Stands for asyncpg's pool: it fails on demand, and refuses more than it has."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.fate = "done"

    async def acquire(self) -> "Connections":
        assert self.free > 0, "more were asked for than there are"
        self.free -= 1
        taken = False
        try:
            await asyncio.sleep(0)
            taken = self.fate != "too late"
        finally:
            self.free += not taken
        if not taken:
            raise TimeoutError
        return self

    async def release(self, _: "Connections", *, timeout: float) -> None:  # noqa: ASYNC109 - asyncpg's signature
        assert timeout > 0
        self.free += 1
        if self.fate == "lost":
            raise asyncpg.InterfaceError("gone")

    def transaction(self) -> "Connections":
        return self

    def terminate(self) -> None:
        if self.fate == "lost":
            raise asyncpg.InterfaceError("gone")

    async def start(self) -> None:
        if self.fate == "lost":
            raise asyncpg.ConnectionDoesNotExistError

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...
