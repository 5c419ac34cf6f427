"""An adapter for each library and way of writing to the ledger: the same steps in each library's form."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager as AsyncBlock
from contextlib import AbstractContextManager as Block
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import asyncpg
import psycopg
import pytest
import pytest_asyncio
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from moneypath.stack import postgres
from moneypath.telemetry import Recorder
from moneypath.telemetry.integrations import asyncpg as for_asyncpg
from moneypath.telemetry.integrations import psycopg as for_psycopg
from moneypath.telemetry.integrations.sqlalchemy import observe_ledger


@dataclass(frozen=True, slots=True)
class Swallowed:
    """A statement whose error the block catches; with `saved` it runs within a savepoint."""

    statement: str
    saved: bool = False


@dataclass(frozen=True, slots=True)
class Renamed:
    """A statement whose error the block replaces by its own."""

    statement: str


class EntryRefused(Exception):
    """An error as a service might raise it."""


Step = str | Swallowed | Renamed | Callable[[], Awaitable[object]]


class DriverAdapter:
    """Writes to the ledger through one library. Each step is a statement, or something to wait for."""

    Refused = EntryRefused
    swallow = Swallowed
    rename = Renamed

    def __init__(self, dsn: str, recorder: Recorder) -> None:
        self.dsn = f"{dsn}?application_name=adapter"
        self.recorder = recorder

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Disconnect."""

    async def write(self, *steps: Step, kind: str = "posting") -> None:
        """Run the steps in one ledger transaction."""
        raise NotImplementedError


class SyncDriverAdapter(DriverAdapter):
    """Runs in a thread; what a step waits for happens on the event loop."""

    async def write(self, *steps: Step, kind: str = "posting") -> None:
        """Run the steps in one ledger transaction."""
        await asyncio.to_thread(self._write, steps, kind, asyncio.get_running_loop())

    def _write(self, steps: tuple[Step, ...], kind: str, loop: asyncio.AbstractEventLoop) -> None:
        with self.block(kind):
            for step in steps:
                self._take(step, loop)

    def _take(self, step: Step, loop: asyncio.AbstractEventLoop) -> None:
        if isinstance(step, str):
            self.execute(step)
        elif isinstance(step, Renamed):
            try:
                self.execute(step.statement)
            except Exception as error:
                raise EntryRefused from error
        elif isinstance(step, Swallowed):
            try:
                if step.saved:
                    with self.savepoint():
                        self.execute(step.statement)
                else:
                    self.execute(step.statement)
            except Exception:  # noqa: BLE001, S110 - the point of it
                pass
        else:
            asyncio.run_coroutine_threadsafe(_awaited(step), loop).result(20)

    def block(self, kind: str) -> Block[object]:
        """Return the transaction."""
        raise NotImplementedError

    def savepoint(self) -> Block[object]:
        """Return a nested transaction."""
        raise NotImplementedError

    def execute(self, statement: str) -> None:
        """Run a statement."""
        raise NotImplementedError


async def _awaited(step: Callable[[], Awaitable[object]]) -> None:
    await step()


class AsyncDriverAdapter(DriverAdapter):
    """Runs on the event loop."""

    async def write(self, *steps: Step, kind: str = "posting") -> None:
        """Run the steps in one ledger transaction."""
        async with self.block(kind):
            for step in steps:
                await self._take(step)

    async def _take(self, step: Step) -> None:
        if isinstance(step, str):
            await self.execute(step)
        elif isinstance(step, Renamed):
            try:
                await self.execute(step.statement)
            except Exception as error:
                raise EntryRefused from error
        elif isinstance(step, Swallowed):
            try:
                if step.saved:
                    async with self.savepoint():
                        await self.execute(step.statement)
                else:
                    await self.execute(step.statement)
            except Exception:  # noqa: BLE001, S110 - the point of it
                pass
        else:
            await step()

    def block(self, kind: str) -> AsyncBlock[object]:
        """Return the transaction."""
        raise NotImplementedError

    def savepoint(self) -> AsyncBlock[object]:
        """Return a nested transaction."""
        raise NotImplementedError

    async def execute(self, statement: str) -> None:
        """Run a statement."""
        raise NotImplementedError


class Psycopg(SyncDriverAdapter):
    """psycopg, which opens a transaction by itself by default."""

    async def open(self) -> None:
        """Connect."""
        self.connection: psycopg.Connection[Any] = await asyncio.to_thread(psycopg.connect, self.dsn)

    async def close(self) -> None:
        """Disconnect."""
        self.connection.close()

    def block(self, kind: str) -> Block[object]:
        """Return the transaction."""
        return for_psycopg.ledger_write(self.connection, self.recorder, kind=kind)

    def savepoint(self) -> Block[object]:
        """Return a transaction inside of it."""
        return self.connection.transaction()

    def execute(self, statement: str) -> None:
        """Run a statement."""
        self.connection.execute(statement.encode())


class PsycopgAsync(AsyncDriverAdapter):
    """psycopg on the loop, in autocommit as its manual advises for transaction blocks."""

    async def open(self) -> None:
        """Connect."""
        self.connection = await psycopg.AsyncConnection.connect(self.dsn, autocommit=True)

    async def close(self) -> None:
        """Disconnect."""
        await self.connection.close()

    def block(self, kind: str) -> AsyncBlock[object]:
        """Return the transaction."""
        return for_psycopg.ledger_write(self.connection, self.recorder, kind=kind)

    def savepoint(self) -> AsyncBlock[object]:
        """Return a transaction inside of it."""
        return self.connection.transaction()

    async def execute(self, statement: str) -> None:
        """Run a statement."""
        await self.connection.execute(statement.encode())


class Asyncpg(AsyncDriverAdapter):
    """asyncpg on a connection of its own."""

    connection: Any

    async def open(self) -> None:
        """Connect."""
        self.connection = await asyncpg.connect(self.dsn, timeout=30)

    async def close(self) -> None:
        """Disconnect."""
        self.connection.terminate()

    def block(self, kind: str) -> AsyncBlock[object]:
        """Return the transaction."""
        return for_asyncpg.ledger_write(self.connection, self.recorder, kind=kind)

    def savepoint(self) -> AsyncBlock[object]:
        """Return a transaction inside of it."""
        savepoint: AsyncBlock[object] = self.connection.transaction()
        return savepoint

    async def execute(self, statement: str) -> None:
        """Run a statement."""
        await self.connection.execute(statement)


class AsyncpgPool(Asyncpg):
    """asyncpg with connections of a pool, which removes lost connections by itself."""

    async def open(self) -> None:
        """Open the pool."""
        self.pool = await asyncpg.create_pool(self.dsn, min_size=0, max_size=2, timeout=30)

    async def close(self) -> None:
        """Close the pool."""
        self.pool.terminate()

    @asynccontextmanager
    async def block(self, kind: str) -> AsyncIterator[object]:
        """Return the transaction."""
        async with self.pool.acquire() as self.connection, super().block(kind) as write:
            yield write


class SqlAlchemy(SyncDriverAdapter):
    """SQLAlchemy Core over psycopg; the execution option names the kind."""

    async def open(self) -> None:
        """Make the engine."""
        self.engine = sqlalchemy.create_engine(self.dsn.replace("postgresql:", "postgresql+psycopg:"))
        self.maker = sessionmaker(self.engine)
        observe_ledger(self.engine, self.recorder, sessions=self.maker)
        self.current_handling: sqlalchemy.Connection | Session

    async def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def block(self, kind: str) -> Iterator[object]:
        """Return the transaction."""
        with self.engine.connect() as connection, connection.execution_options(ledger_kind=kind).begin():
            self.current_handling = connection
            yield connection

    def savepoint(self) -> Block[object]:
        """Return a transaction inside of it."""
        return self.current_handling.begin_nested()

    def execute(self, statement: str) -> None:
        """Run a statement."""
        self.current_handling.execute(sqlalchemy.text(statement))


class SqlAlchemySession(SqlAlchemy):
    """A session of SQLAlchemy, whose info names the kind."""

    @contextmanager
    def block(self, kind: str) -> Iterator[object]:
        """Return the transaction."""
        with self.maker() as session, session.begin():
            session.info["ledger_kind"] = kind
            self.current_handling = session
            yield session


class SqlAlchemyAsync(AsyncDriverAdapter):
    """SQLAlchemy Core on the loop, over asyncpg."""

    driver: ClassVar[str] = "asyncpg"
    current_handling: AsyncConnection | AsyncSession

    async def open(self) -> None:
        """Make the engine."""
        address = self.dsn.replace("postgresql:", f"postgresql+{self.driver}:")
        if self.driver == "asyncpg":
            # SQLAlchemy hands the query of a URL to asyncpg.connect, which takes no application_name.
            address = address.partition("?")[0]
            named = {"server_settings": {"application_name": "adapter"}}
            self.engine = create_async_engine(address, connect_args=named)
        else:
            self.engine = create_async_engine(address)
        self.maker = async_sessionmaker(self.engine)
        observe_ledger(self.engine, self.recorder, sessions=self.maker)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def block(self, kind: str) -> AsyncIterator[object]:
        """Return the transaction."""
        async with self.engine.connect() as connection:
            await connection.execution_options(ledger_kind=kind)
            async with connection.begin():
                self.current_handling = connection
                yield connection

    def savepoint(self) -> AsyncBlock[object]:
        """Return a transaction inside of it."""
        return self.current_handling.begin_nested()

    async def execute(self, statement: str) -> None:
        """Run a statement."""
        await self.current_handling.execute(sqlalchemy.text(statement))


class SqlAlchemyAsyncSession(SqlAlchemyAsync):
    """A session of SQLAlchemy on the loop, over psycopg."""

    driver = "psycopg"

    @asynccontextmanager
    async def block(self, kind: str) -> AsyncIterator[object]:
        """Return the transaction."""
        async with self.maker() as session, session.begin():
            session.info["ledger_kind"] = kind
            self.current_handling = session
            yield session


DRIVER_ADAPTERS = (
    Psycopg,
    PsycopgAsync,
    Asyncpg,
    AsyncpgPool,
    SqlAlchemy,
    SqlAlchemySession,
    SqlAlchemyAsync,
    SqlAlchemyAsyncSession,
)


@pytest_asyncio.fixture(loop_scope="session", params=DRIVER_ADAPTERS, ids=lambda adapter: adapter.__name__)
async def adapter(
    request: pytest.FixtureRequest, server: postgres.Postgres, recorder: Recorder
) -> AsyncIterator[DriverAdapter]:
    """Return an adapter of each kind in turn, with a superuser's rights."""
    async with _at_work(request.param(server.dsn("postgres", "ledger"), recorder)) as opened:
        yield opened


@pytest_asyncio.fixture(
    loop_scope="session",
    params=[adapter for adapter in DRIVER_ADAPTERS if issubclass(adapter, AsyncDriverAdapter)],
    ids=lambda adapter: adapter.__name__,
)
async def async_adapter(
    request: pytest.FixtureRequest, server: postgres.Postgres, recorder: Recorder
) -> AsyncIterator[DriverAdapter]:
    """Return an adapter of each kind that runs on the event loop, and so can be cancelled."""
    async with _at_work(request.param(server.dsn("postgres", "ledger"), recorder)) as opened:
        yield opened


@asynccontextmanager
async def _at_work(adapter: DriverAdapter) -> AsyncIterator[DriverAdapter]:
    await adapter.open()
    yield adapter
    await adapter.close()
