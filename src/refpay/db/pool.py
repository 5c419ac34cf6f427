"""A bounded connection pool that survives restarts of its server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import asyncpg

from refpay.db.errors import CommitOutcomeUnknown, DatabaseUnavailable, TransactionConflicted
from refpay.errors import StartRefused
from refpay.settings import DatabaseSettings

if TYPE_CHECKING:
    # Generic for the type checker alone.
    Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.pool.PoolConnectionProxy
Row: TypeAlias = asyncpg.Record
SCHEMA_REVISION: Final = "0012"

_CONNECT_SECONDS: Final = 3.0
_ACQUIRE_SECONDS: Final = 3.0
_COMMAND_SECONDS: Final = 5.0
# The server's own bounds, so that a lost client cannot hold a row lock for long.
_SERVER_SETTINGS: Final = {
    "application_name": "refpay",
    "statement_timeout": "4000",
    "lock_timeout": "3000",
    "idle_in_transaction_session_timeout": "5000",
    "timezone": "UTC",
}
# One plan for good, by the indexes: one that was made while a table was small would read all of it later.
_BY_KEY: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_LOST: Final = (
    *(OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError),
    *(asyncpg.OperatorInterventionError, asyncpg.InsufficientResourcesError),
    *(asyncpg.InvalidAuthorizationSpecificationError, asyncpg.ReadOnlySQLTransactionError),
)
_CONFLICTED: Final = (
    *(asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError),
    asyncpg.QueryCanceledError,
)


class Database:
    """Owns the pool; hands out connections inside a transaction and nothing else."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @classmethod
    async def connect(
        cls, settings: DatabaseSettings, *, most_connections: int, by_key: bool = False
    ) -> Self:
        """Open the pool and check the schema; `by_key` for one that reads and writes few rows by their keys.

        Raises StartRefused when the server, the credentials or the schema are not as they should be.
        """
        pool = await asyncpg.create_pool(
            settings.url,
            password=settings.password,
            # None is kept open for its own sake: the pool would complain all through an outage.
            min_size=0,
            max_size=most_connections,
            timeout=_CONNECT_SECONDS,
            command_timeout=_COMMAND_SECONDS,
            server_settings=_SERVER_SETTINGS | (_BY_KEY if by_key else {}),
            reset=_keep_session,
        )
        database = cls(pool)
        try:
            await database._check_schema(settings.url)
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Close every connection; those still busy after a moment are dropped."""
        try:
            async with asyncio.timeout(2):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def ping(self) -> None:
        """Make one round trip; raises DatabaseUnavailable."""
        async with self.transaction() as connection:
            await connection.fetchval("SELECT 1")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Run the block in one transaction: committed at its end, rolled back on any exception.

        Raises DatabaseUnavailable when nothing was committed, CommitOutcomeUnknown when the
        connection was lost in COMMIT. No provider may be called inside the block.
        """
        connection, transaction = await self._begin()
        finished = False
        try:
            try:
                yield connection
            except BaseException:
                finished = await _roll_back(transaction)
                raise
            await _commit(transaction)
            finished = True
        except _CONFLICTED as problem:
            raise TransactionConflicted(f"transaction rolled back: {type(problem).__name__}") from problem
        except _LOST as problem:
            raise DatabaseUnavailable(f"database went away: {type(problem).__name__}") from problem
        finally:
            await self._give_back(connection, reusable=finished)

    async def _begin(self) -> tuple[Any, Any]:
        # A pooled connection may be dead since a restart; nothing has run yet, so trying again is safe.
        for last in (False, True):
            connection = None
            try:
                connection = await self._pool.acquire(timeout=_ACQUIRE_SECONDS)
                transaction = connection.transaction()
                await transaction.start()
            except BaseException as problem:
                if connection is not None:
                    await self._give_back(connection, reusable=False)
                if not isinstance(problem, (*_LOST, *_CONFLICTED)):
                    raise
                if last or isinstance(problem, TimeoutError):
                    raise DatabaseUnavailable(f"database is away: {type(problem).__name__}") from problem
            else:
                return connection, transaction
        raise AssertionError("unreachable: the last round returns or raises")

    async def _give_back(self, connection: Any, *, reusable: bool) -> None:
        # A lost connection has left the pool by itself, and then even asking for its state fails.
        with contextlib.suppress(*_LOST):
            if not reusable:
                connection.terminate()
        with contextlib.suppress(*_LOST):
            await self._pool.release(connection)

    async def _check_schema(self, url: str) -> None:
        try:
            async with self.transaction() as connection:
                revision = await connection.fetchval("SELECT version_num FROM public.alembic_version")
        except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
            revision = None
        except (DatabaseUnavailable, asyncpg.PostgresError) as problem:
            cause = type(problem.__cause__ or problem).__name__
            raise StartRefused(
                f"database is not reachable: {url} ({cause}); is it running, and is the password its own?"
            ) from problem
        if revision != SCHEMA_REVISION:
            raise StartRefused(
                f"database schema is {revision or 'missing'}, needed: {SCHEMA_REVISION}; "
                "run `python -m refpay.db upgrade` first"
            )


@asynccontextmanager
async def open_connection(
    settings: DatabaseSettings, *, command_seconds: float, lock_ms: int = 0
) -> AsyncIterator[Any]:
    """Yield one connection for a command; with `lock_ms` 0 it waits for locks. Raises what asyncpg raises."""
    connection = await asyncpg.connect(
        settings.url,
        password=settings.password,
        timeout=5,
        command_timeout=command_seconds,
        server_settings={"lock_timeout": str(lock_ms)},
    )
    try:
        yield connection
    finally:
        await connection.close()


def columns(things: Sequence[Any], kind: type[Any]) -> list[list[Any]]:
    """Return the fields of dataclasses as one list a field, in the order of `kind`: what `unnest` takes."""
    return [[getattr(one, field.name) for one in things] for field in fields(kind)]


async def _commit(transaction: Any) -> None:
    try:
        await transaction.commit()
    except (*_LOST, asyncpg.QueryCanceledError) as problem:
        raise CommitOutcomeUnknown(f"connection lost in COMMIT: {type(problem).__name__}") from problem


async def _roll_back(transaction: Any) -> bool:
    """Return whether the connection is clean; a lost one rolls back by itself."""
    try:
        await transaction.rollback()
    except (*_LOST, asyncpg.PostgresError):
        return False
    return True


async def _keep_session(_connection: Any) -> None:
    """Skip the reset between uses: no session state is ever changed, and it would cost a round trip."""
