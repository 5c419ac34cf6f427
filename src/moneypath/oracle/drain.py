"""Wait until the service has resolved every operation, so that an audit sees no payment in flight."""

import asyncio
from dataclasses import dataclass

import asyncpg
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_fixed

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
    """An operation whose outcome the service does not know yet; `created_at` is in Unix seconds."""

    operation_id: str
    kind: str
    status: str
    created_at: float


async def await_drained(dsn: str, timeout_seconds: float, *, poll_seconds: float = POLL_SECONDS) -> float:
    """Wait until no operation is unresolved, and return how many seconds that took.

    Stop the client first. A database that restarts meanwhile is connected to again. Raises DrainTimedOut with
    the oldest unresolved operations, and LedgerUnreadable if the role may not read them.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    left = "the database did not answer"

    async def wait_until_drained() -> None:
        nonlocal left
        async with connect(dsn, command_seconds=_COMMAND_SECONDS) as connection:
            while remaining := await connection.fetchval(_COUNT):
                left = await _name_oldest(connection, remaining)
                await asyncio.sleep(poll_seconds)

    def note_unreachable(state: RetryCallState) -> None:
        nonlocal left
        problem = state.outcome.exception() if state.outcome is not None else None
        left = f"the database cannot be reached ({type(problem).__name__})"

    reconnecting = AsyncRetrying(
        retry=retry_if_exception_type(UNREACHABLE),
        wait=wait_fixed(poll_seconds),
        before_sleep=note_unreachable,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            await reconnecting(wait_until_drained)
    except TimeoutError as error:
        raise DrainTimedOut(
            f"{describe(dsn)}: not drained within {timeout_seconds:g} s: {left}",
            hint="Check that the worker runs and that the providers answer its queries.",
        ) from error
    except asyncpg.PostgresError as error:
        raise LedgerUnreadable(
            f"{describe(dsn)}: unresolved operations cannot be read: {error}",
            hint="Check that the role may read schema oracle.",
        ) from error
    return loop.time() - began


async def _name_oldest(connection: "asyncpg.Connection[asyncpg.Record]", count: int) -> str:
    rows = [Unresolved(*row) for row in await connection.fetch(_OLDEST, _SHOWN_MAX)]
    named = ", ".join(f"{row.kind} {row.operation_id} ({row.status})" for row in rows)
    return f"{count} operations unresolved, the oldest: {named}"
