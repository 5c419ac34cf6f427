"""SQLAlchemy 2: ledger transactions told from its events, timed and counted by how they ended.

A transaction is a ledger write if its connection has the execution option `ledger_kind`, or its
session has `session.info["ledger_kind"]`; any other passes unrecorded.
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
    # Needs greenlet, which a service without asyncio has no use for.
    from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

__all__ = ["OPTION", "observe_ledger"]

OPTION: Final = "ledger_kind"

# Under this key a pooled connection's `info` holds the transaction that it runs.
_KEY: Final = "moneypath_ledger_write"

Sessions: TypeAlias = "sessionmaker[Any] | async_sessionmaker[Any]"


def observe_ledger(
    engine: "Engine | AsyncEngine", recorder: Recorder, *, sessions: "Sessions | None" = None
) -> None:
    """Record the ledger writes of an engine, and let the sessions of a maker name theirs.

    Call it once an engine, before its first connection. A connection that is kept after COMMIT tells no
    end of it: such a transaction is counted when the connection is used again or returned, and is timed
    only if it was returned. Raises MetricUnknown if the service records no ledger writes.
    """
    recorder.counter(WRITES)
    recorder.histogram(SECONDS)
    ledger = _Ledger(recorder)
    synchronous = engine if isinstance(engine, Engine) else engine.sync_engine
    listeners: dict[str, Callable[..., None]] = {
        "begin": ledger.begun,
        "commit": ledger.committing,
        "rollback": ledger.rolling_back,
        "rollback_savepoint": ledger.healed,
        "handle_error": ledger.failed,
        "reset": ledger.returned,
    }
    for name, listener in listeners.items():
        event.listen(synchronous, name, _harmless(listener, recorder))
    if sessions is not None:
        event.listen(_session_class(sessions), "after_begin", _harmless(ledger.named_by_session, recorder))


def _session_class(sessions: "Sessions") -> type[Session] | sessionmaker[Any]:
    if isinstance(sessions, sessionmaker):
        return sessions
    base = sessions.kw.get("sync_session_class", sessions.class_.sync_session_class)
    if isinstance(base, sessionmaker):
        return base
    # A class of this maker's own, or every session of the process would be listened to.
    own: type[Session] = type("ObservedSession", (base,), {})
    sessions.configure(sync_session_class=own)
    return own


def _harmless(listener: Callable[..., None], recorder: Recorder) -> Callable[..., None]:
    """Keep what goes wrong in a listener from the payment whose transaction it watches."""

    def listen(*arguments: Any) -> None:
        try:
            listener(*arguments)
        except Exception:  # noqa: BLE001 - whatever it is, a ledger write comes first
            recorder.count_drop(DropReason.UNFINISHED)

    return listen


class _Open:
    """A transaction under way, and who may name its kind: its connection, or its session."""

    __slots__ = ("info", "options", "spoiled", "write")

    def __init__(self, write: LedgerWrite, options: Mapping[str, Any]) -> None:
        self.write = write
        self.options = options
        self.info: Mapping[Any, Any] = {}
        # By an error that the server answered: until a savepoint is rolled back to, COMMIT means ROLLBACK.
        self.spoiled: BaseException | None = None


class _Ledger:
    """Follow transactions from event to event. SQLAlchemy tells of each step before it takes it."""

    __slots__ = ("_recorder",)

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def begun(self, connection: Connection) -> None:
        """Time a transaction from here; one before it on the same connection was committed."""
        _end(connection.info, timed=False)
        write = LedgerWrite(self._recorder, kind=None).__enter__()
        connection.info[_KEY] = _Open(write, connection.get_execution_options())

    def named_by_session(
        self, session: Session, _transaction: SessionTransaction, connection: Connection
    ) -> None:
        """Let the session name the kind, until the transaction ends."""
        known = _open(connection)
        if known is not None:
            known.info = session.info

    def committing(self, connection: Connection) -> None:
        """Take errors from here on for those of COMMIT, unless it can but be answered with ROLLBACK."""
        known = _open(connection)
        if known is not None and known.spoiled is None:
            known.write.committing()

    def rolling_back(self, connection: Connection) -> None:
        """End a transaction that was given up, by the error that spoiled it if there is one."""
        known = _open(connection)
        if known is not None:
            _end(connection.info, known.spoiled)

    def healed(self, connection: Connection, _name: str, _context: None) -> None:
        """Forget an error that was rolled back to a savepoint."""
        known = _open(connection)
        if known is not None:
            known.spoiled = None

    def failed(self, context: ExceptionContext) -> None:
        """Note what spoils a transaction, or end it if the error came from COMMIT or ended the session."""
        connection = context.connection
        known = None if connection is None else _open(connection)
        if connection is None or known is None:
            return
        error = context.original_exception
        if context.is_disconnect or known.write.is_committing:
            _end(connection.info, error)
        elif getattr(error, "sqlstate", None) or getattr(error, "pgcode", None):
            known.spoiled = error

    def returned(self, _dbapi: object, record: ConnectionPoolEntry | None, _state: object) -> None:
        """End a transaction whose connection comes back: no error was told, so it was committed."""
        if record is not None:
            _end(record.info)


def _open(connection: Connection) -> _Open | None:
    # Asked for its `info`, a connection that was lost would connect anew.
    if connection.closed or connection.invalidated:
        return None
    known: _Open | None = connection.info.get(_KEY)
    if known is not None:
        # They may have been set since.
        known.options = connection.get_execution_options()
    return known


def _end(info: dict[Any, Any], error: BaseException | None = None, *, timed: bool = True) -> None:
    known: _Open | None = info.pop(_KEY, None)
    if known is None:
        return
    known.write.kind = known.options.get(OPTION) or known.info.get(OPTION)
    if not known.write.is_committing:
        known.write.rolled_back()
    known.write.end(error, timed=timed)
