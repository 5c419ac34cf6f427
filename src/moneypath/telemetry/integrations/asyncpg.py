"""asyncpg: times ledger transactions and counts them by outcome, COMMIT included."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import asyncpg

from moneypath.telemetry.integrations.ledger import LedgerWrite
from moneypath.telemetry.recording.recorder import Recorder

__all__ = ["ledger_write"]

if TYPE_CHECKING:
    # These classes are generic for the type checker only.
    Connection: TypeAlias = asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]

Isolation: TypeAlias = Literal["read_committed", "read_uncommitted", "repeatable_read", "serializable"]


@asynccontextmanager
async def ledger_write(
    connection: "Connection",
    recorder: Recorder,
    *,
    kind: str,
    isolation: Isolation | None = None,
    deferrable: bool = False,
) -> AsyncIterator[LedgerWrite]:
    """Run the block in `connection.transaction()` and record it as one ledger write of this kind.

    Inside another transaction asyncpg makes a savepoint, which commits nothing. That is counted as a drop.
    """
    with LedgerWrite(recorder, kind=kind) as write:
        if connection.is_in_transaction():
            write.outcome_unseen()
        errors = _Errors()
        async with connection.transaction(isolation=isolation, deferrable=deferrable):
            connection.add_query_logger(errors.note)
            try:
                yield write
            finally:
                connection.remove_query_logger(errors.note)
            await _before_commit(connection, write, errors)


class _Errors:
    """Records whether a query of the block failed, as asyncpg's query logger reports it."""

    __slots__ = ("any",)

    def __init__(self) -> None:
        self.any = False

    def note(self, query: Any) -> None:
        """Examine one logged query."""
        if query.exception is not None:
            self.any = True


async def _before_commit(connection: "Connection", write: LedgerWrite, errors: _Errors) -> None:
    # The event loop calls query loggers, and notices a closed connection, in its next iteration.
    await asyncio.sleep(0)
    if connection.is_closed() or (errors.any and await _is_aborted(connection)):
        write.rolled_back()
    else:
        write.committing()


async def _is_aborted(connection: "Connection") -> bool:
    """Ask the server whether an error that the caller caught has aborted the transaction.

    asyncpg does not report the server's answer to COMMIT, and rolling back to a savepoint repairs the
    transaction.
    """
    try:
        await connection.execute("SELECT 1")
    except asyncpg.InFailedSQLTransactionError:
        return True
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        # With any other error COMMIT itself will report more.
        return connection.is_closed()
    return False
