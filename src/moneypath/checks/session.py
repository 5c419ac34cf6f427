"""A connection to a team's database that can only read, and the lock that makes one exporter its owner."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias, TypeVar

import asyncpg

from moneypath.checks.errors import DatabaseLost

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 5.0
# Of a host that is gone the server hears nothing: it asks, and lets go of the lock.
GUARDS: Final = {
    "default_transaction_read_only": "on",
    "standard_conforming_strings": "on",
    "TimeZone": "UTC",
    "lock_timeout": "2000",
    # A cursor that is read in parts gets no parallel workers: then no plan should count on them.
    "max_parallel_workers_per_gather": "0",
    "client_connection_check_interval": "1000",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
# Older servers lack some, and an unknown one would be refused.
_SET: Final = """
    SELECT set_config(settings.name, wanted.value, false)
    FROM unnest($1::text[], $2::text[]) AS wanted(name, value) JOIN pg_settings AS settings USING (name)
"""
_HELD: Final = """
    SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
                   AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = $1)
"""
GONE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    # What asyncpg says when the server ended an idle session just before it was used again.
    asyncpg.InternalClientError,
)


@asynccontextmanager
async def read_only_connection(dsn: str) -> AsyncIterator[Connection]:
    """Open a connection on which everything is read-only, and close it in any case; raises DatabaseLost."""
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": "moneypath-exporter"},
        )
    except (*GONE, asyncpg.PostgresError, ValueError) as error:
        raise DatabaseLost(describe(error)) from None
    try:
        await answered(connection.fetch(_SET, list(GUARDS), list(GUARDS.values()), timeout=ANSWER_SECONDS))
        yield connection
    finally:
        # Not close(), which waits for a server that may be gone.
        connection.terminate()


def lock_key(name: str) -> int:
    """Return the key of the advisory lock of that name: 63 bits, so that it reads alike everywhere."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


async def try_lock(connection: Connection, key: int) -> bool:
    """Try to become the owner; the session holds the lock until it ends. Raises DatabaseLost."""
    locked = connection.fetchval("SELECT pg_try_advisory_lock($1::bigint)", key, timeout=ANSWER_SECONDS)
    return bool(await answered(locked))


async def holds_lock(connection: Connection, key: int) -> bool:
    """Tell whether this session is the owner still; raises DatabaseLost.

    Asked of the server: a pooler may have given us another session, and a query may have unlocked all.
    """
    return bool(await answered(connection.fetchval(_HELD, key, timeout=ANSWER_SECONDS)))


async def answered(question: Awaitable[T]) -> T:
    """Return the answer of the server; raises DatabaseLost if there is none."""
    try:
        return await question
    except (*GONE, asyncpg.PostgresError) as error:
        raise DatabaseLost(describe(error)) from None


def describe(error: BaseException) -> str:
    """Return the kind of an error without its message, which may quote a row, a name or an address."""
    if isinstance(error, asyncpg.PostgresError):
        return f"{type(error).__name__.removesuffix('Error')} ({error.sqlstate})"
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
