"""asyncpg: a ledger transaction that is timed and counted by how it ended, COMMIT included."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import asyncpg

from moneypath.telemetry.integrations.ledger import LedgerWrite
from moneypath.telemetry.recording.recorder import Recorder

__all__ = ["ledger_write"]

if TYPE_CHECKING:
    # Generic for the type checker alone.
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

    Inside of a transaction that has begun before, asyncpg makes a savepoint of it, which commits
    nothing: that is counted as a drop.
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
    """Remember whether a query of the block failed, told by asyncpg's query logger."""

    __slots__ = ("any",)

    def __init__(self) -> None:
        self.any = False

    def note(self, query: Any) -> None:
        """Take one logged query."""
        if query.exception is not None:
            self.any = True


async def _before_commit(connection: "Connection", write: LedgerWrite, errors: _Errors) -> None:
    # The loop calls query loggers, and learns of a closed connection, in its next round.
    await asyncio.sleep(0)
    if connection.is_closed() or (errors.any and await _is_aborted(connection)):
        write.rolled_back()
    else:
        write.committing()


async def _is_aborted(connection: "Connection") -> bool:
    """Ask the server whether an error that the caller swallowed spoiled the transaction.

    asyncpg does not say what COMMIT was answered with, and a rollback to a savepoint heals it.
    """
    try:
        await connection.execute("SELECT 1")
    except asyncpg.InFailedSQLTransactionError:
        return True
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        # Of anything but a lost connection COMMIT itself will tell more.
        return connection.is_closed()
    return False
