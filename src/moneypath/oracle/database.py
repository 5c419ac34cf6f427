"""Open the oracle's database connection, and name a database without its password."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg

CONNECT_SECONDS = 5.0
# Refused, reset, starting up, shutting down: all may pass while a server restarts. InterfaceError is
# what asyncpg says of a connection that was closed under it.
UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
)


@asynccontextmanager
async def connect(dsn: str, *, command_seconds: float) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Open one connection with a time limit on every statement, and close it in any case.

    The session is read-only even if the role is not: a witness must not be able to write.
    """
    connection = await asyncpg.connect(
        dsn,
        timeout=CONNECT_SECONDS,
        command_timeout=command_seconds,
        server_settings={"application_name": "moneypath-oracle", "default_transaction_read_only": "on"},
    )
    try:
        yield connection
    finally:
        # Not close(), which waits for a server that may be gone.
        connection.terminate()


def describe(dsn: str) -> str:
    """Return host, port and database; never the user's password."""
    try:
        parts = urlsplit(dsn)
        place = f"{parts.hostname or 'local socket'}:{parts.port or 5432}{parts.path}"
    except ValueError:
        place = "(unreadable address)"
    return f"database {place}"
