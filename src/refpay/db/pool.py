"""A bounded connection pool that survives restarts of the server."""

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
    # Generic only for the type checker.
    Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.pool.PoolConnectionProxy
Row: TypeAlias = asyncpg.Record
SCHEMA_REVISION: Final = "0105"

_CONNECT_SECONDS: Final = 3.0
_ACQUIRE_SECONDS: Final = 3.0
_COMMAND_SECONDS: Final = 5.0
# Limits of the server itself, so that a lost client cannot hold a row lock for long.
_SERVER_SETTINGS: Final = {
    "application_name": "refpay",
    "statement_timeout": "4000",
    "lock_timeout": "3000",
    "idle_in_transaction_session_timeout": "5000",
    "timezone": "UTC",
}
# One generic plan that uses the indexes. A plan made while a table was small would scan all of it later.
_BY_KEY: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_PLAN_BY_KEY: Final = (
    "SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS given (name, value)"
)
_LOST: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.ReadOnlySQLTransactionError,
)
_CONFLICTED: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
)


class Database:
    """The pool. It hands out connections only inside a transaction."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", most_connections: int) -> None:
        self._pool = pool
        # In the order of asking. The pool itself gives a free connection to whoever asks at that moment and
        # sends a waiter that it woke in vain to the end of its queue: under load some never got one.
        self._turns = asyncio.Semaphore(most_connections)
        self._waiting = 0

    @classmethod
    async def connect(
        cls, settings: DatabaseSettings, *, most_connections: int, by_key: bool = False
    ) -> Self:
        """Open the pool and check the schema.

        `by_key` is for queries that read and write few rows by their keys: it fixes index plans. Raises
        StartRefused if the server cannot be reached, or the credentials or the schema are wrong.
        """
        pool = await asyncpg.create_pool(
            settings.url,
            password=settings.password,
            # With idle connections to keep, the pool would log errors all through an outage.
            min_size=0,
            max_size=most_connections,
            timeout=_CONNECT_SECONDS,
            command_timeout=_COMMAND_SECONDS,
            server_settings=_SERVER_SETTINGS | (_BY_KEY if by_key else {}),
            reset=_keep_session,
        )
        database = cls(pool, most_connections)
        try:
            await database._check_schema(settings.url)
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Close every connection; those still busy after 2 s are dropped."""
        try:
            async with asyncio.timeout(2):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    def require_short_queue(self, most: int) -> None:
        """Raise DatabaseUnavailable if this many callers wait for a connection, before anything is begun."""
        if self._waiting >= most:
            raise DatabaseUnavailable(f"{self._waiting} others wait for the database.")

    async def ping(self) -> None:
        """Make one round trip; raises DatabaseUnavailable."""
        async with self.transaction() as connection:
            await connection.fetchval("SELECT 1")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Run the block in one transaction: commit at its end, roll back on any exception.

        Raises DatabaseUnavailable if nothing was committed, and CommitOutcomeUnknown if the connection was
        lost in COMMIT. Do not call a provider inside the block.
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
            raise TransactionConflicted(
                f"The transaction was rolled back ({type(problem).__name__})."
            ) from problem
        except _LOST as problem:
            raise DatabaseUnavailable(f"The database went away ({type(problem).__name__}).") from problem
        finally:
            await self._give_back(connection, reusable=finished)

    async def _begin(self) -> tuple[Any, Any]:
        """Begin a transaction, and try once more if the pooled connection was dead, as after a restart.

        Nothing has run yet, so that is safe. Not with tenacity: this runs for every transaction, and its loop
        costs 46 us where this costs nothing.
        """
        try:
            return await self._begin_once()
        except DatabaseUnavailable as problem:
            if isinstance(problem.__cause__, TimeoutError):
                raise
            return await self._begin_once()

    async def _begin_once(self) -> tuple[Any, Any]:
        connection = None
        try:
            connection = await self._take()
            transaction = connection.transaction()
            await transaction.start()
        except BaseException as problem:
            if connection is not None:
                await self._give_back(connection, reusable=False)
            if not isinstance(problem, (*_LOST, *_CONFLICTED)):
                raise
            raise DatabaseUnavailable(
                f"The database is not reachable ({type(problem).__name__})."
            ) from problem
        return connection, transaction

    async def _take(self) -> Any:
        async with asyncio.timeout(_ACQUIRE_SECONDS):
            self._waiting += 1
            try:
                await self._turns.acquire()
            finally:
                self._waiting -= 1
            try:
                return await self._pool.acquire()
            except BaseException:
                self._turns.release()
                raise

    async def _give_back(self, connection: Any, *, reusable: bool) -> None:
        # A lost connection has left the pool already, and even `terminate` fails.
        try:
            with contextlib.suppress(*_LOST):
                if not reusable:
                    connection.terminate()
            with contextlib.suppress(*_LOST):
                await self._pool.release(connection, timeout=_ACQUIRE_SECONDS)
        finally:
            self._turns.release()

    async def _check_schema(self, url: str) -> None:
        try:
            async with self.transaction() as connection:
                revision = await connection.fetchval("SELECT version_num FROM public.alembic_version")
        except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
            revision = None
        except (DatabaseUnavailable, asyncpg.PostgresError) as problem:
            cause = type(problem.__cause__ or problem).__name__
            raise StartRefused(
                f"The database is not reachable: {url} ({cause}). "
                "Check that it runs and that the password is right."
            ) from problem
        if revision != SCHEMA_REVISION:
            raise StartRefused(
                f"The database schema is {revision or 'missing'} and not {SCHEMA_REVISION}: "
                "run `python -m refpay.db upgrade` first."
            )


@asynccontextmanager
async def open_connection(
    settings: DatabaseSettings, *, command_seconds: float, lock_ms: int = 0
) -> AsyncIterator[Any]:
    """Yield one connection for a command.

    With `lock_ms` 0 it waits for locks without limit. Raises what asyncpg raises.
    """
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


async def plan_by_key(connection: Connection) -> None:
    """Fix index plans until the transaction ends, for queries that look many rows up by their keys."""
    await connection.execute(_PLAN_BY_KEY, list(_BY_KEY), list(_BY_KEY.values()))


def columns(things: Sequence[Any], kind: type[Any]) -> list[list[Any]]:
    """Return the fields of dataclasses as one list per field, in the order of `kind`, for `unnest`."""
    return [[getattr(one, field.name) for one in things] for field in fields(kind)]


async def _commit(transaction: Any) -> None:
    try:
        await transaction.commit()
    except (*_LOST, asyncpg.QueryCanceledError) as problem:
        raise CommitOutcomeUnknown(
            f"The connection was lost in COMMIT ({type(problem).__name__})."
        ) from problem


async def _roll_back(transaction: Any) -> bool:
    """Return whether the connection can be used again. A lost connection has rolled back by itself."""
    try:
        await transaction.rollback()
    except (*_LOST, asyncpg.PostgresError):
        return False
    return True


async def _keep_session(_connection: Any) -> None:
    """Skip the reset between uses: no session state is ever changed, and a reset costs a round trip."""
