"""Waits until no operation of the service is unresolved, because an audit speaks of settled money."""

import asyncio
from dataclasses import dataclass

import asyncpg

from moneypath.oracle.database import UNREACHABLE, connect, describe
from moneypath.oracle.errors import DrainTimedOut, LedgerUnreadable

POLL_SECONDS = 0.1
_SHOWN_MAX = 5
_COMMAND_SECONDS = 10.0
_COUNT = "SELECT count(*) FROM oracle.unresolved_operations"
_OLDEST = """
SELECT operation_id::text, kind::text, status::text, extract(epoch FROM created_at)::float8
FROM oracle.unresolved_operations ORDER BY created_at LIMIT $1
"""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """One operation whose outcome the service does not know yet; `created_at` is Unix seconds."""

    operation_id: str
    kind: str
    status: str
    created_at: float


async def await_drained(dsn: str, timeout_seconds: float, *, poll_seconds: float = POLL_SECONDS) -> float:
    """Wait until nothing is unresolved, and return how many seconds that took.

    Stop the client first. A server that restarts meanwhile is waited for. Raises DrainTimedOut, which
    names the oldest of what remains, and LedgerUnreadable when the role may not look.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    left = "the database did not answer"
    while True:
        try:
            async with asyncio.timeout_at(began + timeout_seconds):
                async with connect(dsn, command_seconds=_COMMAND_SECONDS) as connection:
                    while remaining := await connection.fetchval(_COUNT):
                        left = await _name_oldest(connection, remaining)
                        await asyncio.sleep(poll_seconds)
                return loop.time() - began
        except UNREACHABLE as error:
            if loop.time() >= began + timeout_seconds:
                raise DrainTimedOut(
                    f"{describe(dsn)}: not drained within {timeout_seconds:g} s: {left}",
                    hint="See whether the worker runs and the providers answer its queries.",
                ) from error
            left = f"the database cannot be reached ({type(error).__name__})"
            # Never past the deadline, so that the next attempt ends in the answer above.
            await asyncio.sleep(min(poll_seconds, began + timeout_seconds - loop.time()))
        except asyncpg.PostgresError as error:
            raise LedgerUnreadable(
                f"{describe(dsn)}: unresolved operations cannot be read: {error}",
                hint="See whether the role may read schema oracle.",
            ) from error


async def _name_oldest(connection: "asyncpg.Connection[asyncpg.Record]", count: int) -> str:
    rows = [Unresolved(*row) for row in await connection.fetch(_OLDEST, _SHOWN_MAX)]
    named = ", ".join(f"{row.kind} {row.operation_id} ({row.status})" for row in rows)
    return f"{count} operations unresolved, the oldest: {named}"
