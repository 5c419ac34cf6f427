"""The book's file: its schema, its owner, and the settings of a connection."""

import sqlite3
from enum import StrEnum
from pathlib import Path
from typing import Final

from acquirers.errors import BookForeign, BookUnwritable
from acquirers.operations import Kind, Status

COLUMNS: Final = (
    "seq", "key", "fingerprint", "kind", "reference", "amount_minor", "currency", "card_range", "status",
    "provider_reference", "parent", "reason", "at", "movement", "beneficiary",
)  # fmt: skip
# The entries that a settlement report lists.
MOVED: Final = "status IN ('captured', 'refunded', 'charged_back', 'reversed')"
# The operations that merchants order. A chargeback has the key of its capture.
ORDERED: Final = "kind NOT IN ('chargeback', 'chargeback_reversal')"
# Marks the file as a book, so that no other SQLite file is mistaken for one.
_APPLICATION_ID: Final = 0x41435142
_VERSION: Final = 3
_BUSY_SECONDS: Final = 1.0


def _list(choices: type[StrEnum]) -> str:
    return ", ".join(f"'{choice}'" for choice in choices)


_SCHEMA: Final = (
    # Reports from first_report up to next_report are closed: nothing more is booked into them.
    # Events are delivered up to sent_seq; NULL until webhooks are switched on.
    """CREATE TABLE book (
        name TEXT NOT NULL, dialect TEXT NOT NULL, period_seconds INTEGER NOT NULL,
        first_report INTEGER NOT NULL, next_report INTEGER NOT NULL, probed_at REAL,
        sent_seq INTEGER
    )""",
    f"""CREATE TABLE operation (
        seq INTEGER PRIMARY KEY,
        key TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ({_list(Kind)})),
        reference TEXT NOT NULL,
        amount_minor INTEGER NOT NULL CHECK (typeof(amount_minor) = 'integer' AND amount_minor > 0),
        currency TEXT NOT NULL,
        card_range TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ({_list(Status)})),
        provider_reference TEXT NOT NULL,
        parent TEXT NOT NULL,
        reason TEXT,
        at REAL NOT NULL,
        movement INTEGER NOT NULL CHECK (movement IN (1, 2)),
        beneficiary TEXT NOT NULL,
        UNIQUE (provider_reference, kind)
    )""",
    "CREATE INDEX operation_parent ON operation (parent) WHERE parent <> ''",
    # One key is one operation, of whatever kind. A capture has one chargeback, which is won at most once.
    f"CREATE UNIQUE INDEX one_operation ON operation (key, movement) WHERE {ORDERED}",
    # A second line of defence: captures and voids never exceed the authorized amount.
    """CREATE TRIGGER operation_covered BEFORE INSERT ON operation
        WHEN new.status IN ('captured', 'voided') AND new.movement = 1 AND new.amount_minor > (
            SELECT amount_minor FROM operation
            WHERE provider_reference = new.parent AND kind = 'authorize' AND status = 'approved'
        ) - (
            SELECT coalesce(sum(amount_minor), 0) FROM operation
            WHERE parent = new.parent AND parent <> '' AND status IN ('captured', 'voided') AND movement = 1
        )
        BEGIN SELECT RAISE(ABORT, 'more than was authorized'); END""",
    "CREATE UNIQUE INDEX one_void ON operation (parent) WHERE status = 'voided'",
    "CREATE UNIQUE INDEX one_case ON operation (parent, kind) WHERE status IN ('charged_back', 'reversed')",
    "CREATE INDEX operation_captured ON operation (reference) WHERE status = 'captured'",
    f"CREATE INDEX operation_moved ON operation (at) WHERE {MOVED}",
    """CREATE TRIGGER operation_kept BEFORE DELETE ON operation
        BEGIN SELECT RAISE(ABORT, 'the book is append-only'); END""",
    """CREATE TRIGGER operation_unchanged BEFORE UPDATE ON operation
        BEGIN SELECT RAISE(ABORT, 'the book is append-only'); END""",
)


def connect(file: Path) -> sqlite3.Connection:
    """Open a connection in autocommit mode that waits at most one second for another writer."""
    connection = sqlite3.connect(
        str(file.absolute()), timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def open_book(file: Path, *, name: str, dialect: str, period_seconds: int, at: float) -> sqlite3.Connection:
    """Open the book for writing and create it if it does not exist; its first report is that of the time
    `at`.

    Raises BookUnwritable if the file cannot be written, BookForeign if it does not belong to this acquirer.
    """
    try:
        connection = connect(file)
    except sqlite3.Error as error:
        raise _explain(file, error) from error
    try:
        _require_blank_or_book(connection, file)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        _require_blank_or_book(connection, file)
        if _pragma(connection, "application_id") == 0:
            _create(connection, name, dialect, period_seconds, int(at // period_seconds))
        _require_owner(connection, file, name, dialect, period_seconds)
        connection.execute("UPDATE book SET probed_at = NULL")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        connection.close()
        raise _explain(file, error) from error
    except BookForeign:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection, name: str, dialect: str, period: int, report: int) -> None:
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute(
        "INSERT INTO book (name, dialect, period_seconds, first_report, next_report) VALUES (?, ?, ?, ?, ?)",
        (name, dialect, period, report, report),
    )
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def _require_blank_or_book(connection: sqlite3.Connection, file: Path) -> None:
    application_id = _pragma(connection, "application_id")
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application_id != _APPLICATION_ID and (application_id or objects):
        raise _no_book(file)


def _require_owner(
    connection: sqlite3.Connection, file: Path, name: str, dialect: str, period_seconds: int
) -> None:
    version = _pragma(connection, "user_version")
    if version != _VERSION:
        raise BookForeign(f"book {file} has format {version}, not {_VERSION}: give another --book")
    *owner, period = connection.execute("SELECT name, dialect, period_seconds FROM book").fetchone()
    if owner != [name, dialect]:
        raise BookForeign(
            f"book {file} belongs to acquirer {owner[0]} (dialect {owner[1]}), "
            f"not to {name} (dialect {dialect}): give another --book"
        )
    if period != period_seconds:  # or every report would get another number and other lines
        raise BookForeign(
            f"book {file} settles every {period} s, not every {period_seconds} s: "
            f"give --settlement-period-seconds {period}, or another --book"
        )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _no_book(file: Path) -> BookForeign:
    return BookForeign(f"book {file} is not an acquirer's book: give another --book")


def _explain(file: Path, error: sqlite3.Error) -> BookForeign | BookUnwritable:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return _no_book(file)
    return BookUnwritable(f"book {file} cannot be written ({error}): give --book a file in a writable folder")
