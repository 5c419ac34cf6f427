"""SQLAlchemy 2: times ledger transactions and counts them by outcome, through its events.

A transaction is a ledger write if its connection has the execution option `ledger_kind`, or its session has
`session.info["ledger_kind"]`. Any other transaction is not recorded.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, ExceptionContext
from sqlalchemy.orm import Session, SessionTransaction, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from moneypath.telemetry.catalogue.vocabulary import DropReason
from moneypath.telemetry.integrations.ledger import SECONDS, WRITES, LedgerWrite
from moneypath.telemetry.recording.recorder import Recorder

if TYPE_CHECKING:
    # Importing it needs greenlet, which only services with asyncio have.
    from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

__all__ = ["OPTION", "observe_ledger"]

OPTION: Final = "ledger_kind"

# The key of the open transaction in the `info` of a pooled connection.
_KEY: Final = "moneypath_ledger_write"

Sessions: TypeAlias = "sessionmaker[Any] | async_sessionmaker[Any]"


def observe_ledger(
    engine: "Engine | AsyncEngine", recorder: Recorder, *, sessions: "Sessions | None" = None
) -> None:
    """Record the ledger writes of an engine. `sessions` is a session maker whose sessions may name the kind.

    Call it once for each engine, before its first connection. SQLAlchemy has no event after COMMIT. A
    transaction on a connection that is not returned is counted when the connection is used again, without
    its duration. Raises MetricUnknown if the service records no ledger writes.
    """
    recorder.counter(WRITES)
    recorder.histogram(SECONDS)
    observer = _TransactionObserver(recorder)
    synchronous = engine if isinstance(engine, Engine) else engine.sync_engine
    listeners: dict[str, Callable[..., None]] = {
        "begin": observer.on_begin,
        "commit": observer.on_commit,
        "rollback": observer.on_rollback,
        "rollback_savepoint": observer.on_savepoint_rollback,
        "handle_error": observer.on_error,
        "reset": observer.on_reset,
    }
    for name, listener in listeners.items():
        event.listen(synchronous, name, _guarded(listener, recorder))
    if sessions is not None:
        event.listen(_session_class(sessions), "after_begin", _guarded(observer.on_after_begin, recorder))


def _session_class(sessions: "Sessions") -> type[Session] | sessionmaker[Any]:
    if isinstance(sessions, sessionmaker):
        return sessions
    base = sessions.kw.get("sync_session_class", sessions.class_.sync_session_class)
    if isinstance(base, sessionmaker):
        return base
    # A subclass for this maker only; otherwise every session of the process would be observed.
    own: type[Session] = type("ObservedSession", (base,), {})
    sessions.configure(sync_session_class=own)
    return own


def _guarded(listener: Callable[..., None], recorder: Recorder) -> Callable[..., None]:
    """Wrap a listener so that its errors never reach the transaction it observes."""

    def listen(*arguments: Any) -> None:
        try:
            listener(*arguments)
        except Exception:  # noqa: BLE001 - whatever it is, a ledger write comes first
            recorder.count_drop(DropReason.UNFINISHED)

    return listen


class _OpenTransaction:
    """An open transaction, and where its kind may be named: in its connection's options or its session."""

    __slots__ = ("aborted_by", "info", "options", "write")

    def __init__(self, write: LedgerWrite, options: Mapping[str, Any]) -> None:
        self.write = write
        self.options = options
        self.info: Mapping[Any, Any] = {}
        # The error that aborted the transaction. Until a rollback to a savepoint, COMMIT means ROLLBACK.
        self.aborted_by: BaseException | None = None


class _TransactionObserver:
    """Follows transactions through SQLAlchemy's events, each of which comes before its step."""

    __slots__ = ("_recorder",)

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def on_begin(self, connection: Connection) -> None:
        """Start timing a transaction. An earlier one on the same connection was committed."""
        _end(connection.info, timed=False)
        write = LedgerWrite(self._recorder, kind=None).__enter__()
        connection.info[_KEY] = _OpenTransaction(write, connection.get_execution_options())

    def on_after_begin(
        self, session: Session, _transaction: SessionTransaction, connection: Connection
    ) -> None:
        """Remember the session, which may name the kind until the transaction ends."""
        known = _open(connection)
        if known is not None:
            known.info = session.info

    def on_commit(self, connection: Connection) -> None:
        """Note that COMMIT comes next, unless the transaction is aborted and COMMIT means ROLLBACK."""
        known = _open(connection)
        if known is not None and known.aborted_by is None:
            known.write.committing()

    def on_rollback(self, connection: Connection) -> None:
        """End a transaction that is rolled back, with the error that aborted it if there is one."""
        known = _open(connection)
        if known is not None:
            _end(connection.info, known.aborted_by)

    def on_savepoint_rollback(self, connection: Connection, _name: str, _context: None) -> None:
        """Forget an error after a rollback to a savepoint."""
        known = _open(connection)
        if known is not None:
            known.aborted_by = None

    def on_error(self, context: ExceptionContext) -> None:
        """Note an error that aborts the transaction.

        End the transaction if COMMIT or a lost session raised it.
        """
        connection = context.connection
        known = None if connection is None else _open(connection)
        if connection is None or known is None:
            return
        error = context.original_exception
        if context.is_disconnect or known.write.is_committing:
            _end(connection.info, error)
        elif getattr(error, "sqlstate", None) or getattr(error, "pgcode", None):
            known.aborted_by = error

    def on_reset(self, _dbapi: object, record: ConnectionPoolEntry | None, _state: object) -> None:
        """End a transaction whose connection is returned. Without an error it was committed."""
        if record is not None:
            _end(record.info)


def _open(connection: Connection) -> _OpenTransaction | None:
    # Reading `info` of a lost connection would open a new one.
    if connection.closed or connection.invalidated:
        return None
    known: _OpenTransaction | None = connection.info.get(_KEY)
    if known is not None:
        # The options may have been set in the meantime.
        known.options = connection.get_execution_options()
    return known


def _end(info: dict[Any, Any], error: BaseException | None = None, *, timed: bool = True) -> None:
    known: _OpenTransaction | None = info.pop(_KEY, None)
    if known is None:
        return
    known.write.kind = known.options.get(OPTION) or known.info.get(OPTION)
    if not known.write.is_committing:
        known.write.rolled_back()
    known.write.end(error, timed=timed)
