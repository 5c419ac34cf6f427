"""psycopg 3: times ledger transactions and counts them by outcome, COMMIT included."""

from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, overload

import psycopg
from psycopg.pq import TransactionStatus

from moneypath.telemetry.integrations.ledger import LedgerWrite
from moneypath.telemetry.recording.recorder import Recorder

__all__ = ["ledger_write"]

_UNDER_WAY = (TransactionStatus.ACTIVE, TransactionStatus.INTRANS, TransactionStatus.INERROR)


@overload
def ledger_write(
    connection: psycopg.Connection[Any], recorder: Recorder, *, kind: str
) -> AbstractContextManager[LedgerWrite]: ...


@overload
def ledger_write(
    connection: psycopg.AsyncConnection[Any], recorder: Recorder, *, kind: str
) -> AbstractAsyncContextManager[LedgerWrite]: ...


def ledger_write(
    connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any], recorder: Recorder, *, kind: str
) -> AbstractContextManager[LedgerWrite] | AbstractAsyncContextManager[LedgerWrite]:
    """Run the block in `connection.transaction()` and record it as one ledger write of this kind.

    Use `with` or `async with`, as the connection requires. Inside another transaction psycopg makes a
    savepoint, which commits nothing. That is counted as a drop.
    """
    write = LedgerWrite(recorder, kind=kind)
    if isinstance(connection, psycopg.AsyncConnection):
        return _asynchronous(connection, write)
    return _synchronous(connection, write)


@contextmanager
def _synchronous(connection: psycopg.Connection[Any], write: LedgerWrite) -> Iterator[LedgerWrite]:
    with write:
        _before_begin(connection, write)
        with connection.transaction() as transaction:
            yield write
            _before_commit(connection, write)
        _after_commit(transaction, write)


@asynccontextmanager
async def _asynchronous(
    connection: psycopg.AsyncConnection[Any], write: LedgerWrite
) -> AsyncIterator[LedgerWrite]:
    with write:
        _before_begin(connection, write)
        async with connection.transaction() as transaction:
            yield write
            _before_commit(connection, write)
        _after_commit(transaction, write)


def _before_begin(connection: psycopg.BaseConnection[Any], write: LedgerWrite) -> None:
    if connection.info.transaction_status in _UNDER_WAY:
        write.outcome_unseen()


def _before_commit(connection: psycopg.BaseConnection[Any], write: LedgerWrite) -> None:
    if connection.info.transaction_status is TransactionStatus.INERROR:
        write.rolled_back()
    else:
        write.committing()


def _after_commit(transaction: psycopg.Transaction | psycopg.AsyncTransaction, write: LedgerWrite) -> None:
    # The block was left by `psycopg.Rollback` or with a lost connection; psycopg then sends no COMMIT and
    # raises nothing.
    if transaction.status is not transaction.Status.COMMITTED:
        write.rolled_back()
