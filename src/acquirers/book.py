"""The book of truth: an append-only SQLite table.

A committed entry survives the kill of this process, because the operating system then holds its bytes.
It may not survive a power cut: the log is only forced to disk when it is folded into the file.
"""

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from acquirers.book_file import COLUMNS, MOVED, connect, open_book
from acquirers.errors import KeyReused, TemporarilyUnavailable
from acquirers.operations import Entry, Instruction, Kind, Refusal, Status, card_range_of

PAGE_ROWS_MAX: Final = 5000
# How long after its end a report stays open for what is being committed.
GRACE_SECONDS: Final = 1
_DAY_SECONDS: Final = 86_400
_PREFIXES: Final = {Kind.AUTHORIZE: "auth", Kind.CAPTURE: "cap", Kind.REFUND: "ref"}
_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM operation"  # noqa: S608 - our own constant, no input
# The second condition is the partial index's own: without it SQLite reads the whole book.
_MOVED: Final = (
    "SELECT coalesce(sum(amount_minor), 0) FROM operation "
    "WHERE parent = ? AND parent <> '' AND status <> 'refused'"
)
_INSERT: Final = (
    f"INSERT INTO operation ({', '.join(COLUMNS)}) "  # noqa: S608 - our own constant, no input
    f"VALUES ({', '.join('?' * len(COLUMNS))}) RETURNING seq"
)


@dataclass(frozen=True, slots=True)
class Order:
    """An instruction, why the issuer would decline it (None: it approves), and the time (Unix seconds).

    `forgetful`: a capture whose key is known is booked once more, as a second movement.
    """

    instruction: Instruction
    declined: str | None
    at: float
    forgetful: bool = False


@dataclass(frozen=True, slots=True)
class Applied:
    """The entry of an instruction, and whether it stood in the book before."""

    entry: Entry
    replayed: bool


@dataclass(frozen=True, slots=True)
class ReportNumbers:
    """The first report, the first that is still open, and the one that could be the first open by now."""

    first: int
    following: int
    due: int


@dataclass(frozen=True, slots=True)
class _Verdict:
    status: Status
    reason: str | None
    card_range: str


class Book:
    """One acquirer's operations. `apply` belongs to one thread at a time; `find*` to the opening thread.

    Every decision is taken inside the writing transaction, so even two processes on one file charge once.
    """

    def __init__(
        self,
        file: Path,
        *,
        name: str,
        dialect: str,
        period_seconds: int = _DAY_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Open or create the book; raises BookUnwritable or BookForeign."""
        self._file = file
        self._name = name
        self._period = period_seconds
        self._writer = open_book(file, name=name, dialect=dialect, period_seconds=period_seconds, at=now())
        self._reader = connect(file)

    def close(self) -> None:
        """Close both connections, folding the log into the file."""
        self._reader.close()
        self._writer.close()

    def apply(self, orders: Sequence[Order]) -> list[Applied | KeyReused]:
        """Apply orders one after the other and commit them together, one result per order.

        Raises TemporarilyUnavailable when nothing could be committed: then no order had an effect.
        """
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            # What comes too late for a closed report is booked at the beginning of the first open one.
            (report,) = self._writer.execute("SELECT next_report FROM book").fetchone()
            earliest = float(report * self._period)
            results = [self._apply_one(replace(one, at=max(one.at, earliest))) for one in orders]
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise TemporarilyUnavailable(f"the book cannot be written: {error}") from error
        return results

    def probe(self, at: float) -> None:
        """Write a time stamp, to prove that the book can be written."""
        try:
            self._writer.execute("UPDATE book SET probed_at = ?", (at,))
        except sqlite3.Error as error:
            raise TemporarilyUnavailable(f"the book cannot be written: {error}") from error

    def close_reports(self, at: float) -> None:
        """Close every report that is due at the time `at`, for good; belongs to the thread of `apply`."""
        try:
            self._writer.execute("UPDATE book SET next_report = max(next_report, ?)", (self._due(at),))
        except sqlite3.Error as error:
            raise TemporarilyUnavailable(f"the book cannot be written: {error}") from error

    def reports(self, at: float) -> ReportNumbers:
        """Return the numbers of reports as they are at the time `at`."""
        first, following = self._reader.execute("SELECT first_report, next_report FROM book").fetchone()
        return ReportNumbers(first, following, self._due(at))

    def moved(self, reports: Iterable[int]) -> Iterator[tuple[int, list[Entry]]]:
        """Yield each report's number and captured or refunded entries; callable from any thread."""
        query = f"{_SELECT} WHERE {MOVED} AND at >= ? AND at < ? ORDER BY seq"
        with closing(connect(self._file)) as connection:
            for report in reports:
                bounds = (report * self._period, (report + 1) * self._period)
                yield report, [_entry(row) for row in connection.execute(query, bounds)]

    def find(self, key: str) -> Entry | None:
        """Return the newest committed entry of a provider key."""
        return _one(self._reader, "key", key)

    def find_reference(self, provider_reference: str) -> Entry | None:
        """Return the committed entry of a provider reference."""
        return _one(self._reader, "provider_reference", provider_reference)

    def page(self, after: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries with a sequence number over `after`; callable from any thread."""
        with closing(connect(self._file)) as connection:
            rows = connection.execute(f"{_SELECT} WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
            return [_entry(row) for row in rows]

    def _due(self, at: float) -> int:
        return int((at - GRACE_SECONDS) // self._period)

    def _apply_one(self, order: Order) -> Applied | KeyReused:
        instruction = order.instruction
        fingerprint = instruction.fingerprint()
        known = _one(self._writer, "key", instruction.key)
        if known is not None:
            if known.fingerprint != fingerprint:
                return KeyReused(f"the key was used before for another {known.kind}: mint a new key")
            if not order.forgetful or known.status is not Status.CAPTURED or known.movement == 2:
                return Applied(known, replayed=True)
            verdict, movement = _Verdict(known.status, None, known.card_range), 2
        else:
            verdict, movement = self._judge(order), 1
        # No key holds a blank, so no key's first reference is another one's second.
        again = "" if movement == 1 else " 2"
        digest = hashlib.sha256(f"{self._name}/{instruction.key}{again}".encode()).hexdigest()
        values = (
            None, instruction.key, fingerprint, instruction.kind, instruction.reference,
            instruction.amount_minor, instruction.currency, verdict.card_range, verdict.status,
            f"{_PREFIXES[instruction.kind]}_{digest[:24]}", instruction.parent, verdict.reason, order.at,
            movement,
        )  # fmt: skip
        (seq,) = self._writer.execute(_INSERT, values).fetchone()
        return Applied(_entry((seq, *values[1:])), replayed=False)

    def _judge(self, order: Order) -> _Verdict:
        instruction = order.instruction
        if instruction.kind is Kind.AUTHORIZE:
            status = Status.APPROVED if order.declined is None else Status.DECLINED
            return _Verdict(status, order.declined, card_range_of(instruction.card_token))
        parent = _one(self._writer, "provider_reference", instruction.parent)
        judge = self._refuse_capture if instruction.kind is Kind.CAPTURE else self._refuse_refund
        refusal = judge(instruction, parent)
        card_range = parent.card_range if parent else ""
        if refusal is not None:
            return _Verdict(Status.REFUSED, refusal, card_range)
        done = Status.CAPTURED if instruction.kind is Kind.CAPTURE else Status.REFUNDED
        return _Verdict(done, None, card_range)

    def _refuse_capture(self, instruction: Instruction, parent: Entry | None) -> Refusal | None:
        if parent is None or parent.kind is not Kind.AUTHORIZE:
            return Refusal.UNKNOWN_AUTHORIZATION
        if parent.status is not Status.APPROVED:
            return Refusal.AUTHORIZATION_NOT_APPROVED
        if instruction.currency != parent.currency:
            return Refusal.CURRENCY_DIFFERS
        if instruction.amount_minor > parent.amount_minor:
            return Refusal.EXCEEDS_AUTHORIZATION
        if self._moved_minor(instruction.parent):
            return Refusal.ALREADY_CAPTURED
        return None

    def _refuse_refund(self, instruction: Instruction, parent: Entry | None) -> Refusal | None:
        if parent is None or parent.kind is not Kind.CAPTURE:
            return Refusal.UNKNOWN_CAPTURE
        if parent.status is not Status.CAPTURED:
            return Refusal.CAPTURE_NOT_CAPTURED
        if instruction.currency != parent.currency:
            return Refusal.CURRENCY_DIFFERS
        if self._moved_minor(instruction.parent) + instruction.amount_minor > parent.amount_minor:
            return Refusal.EXCEEDS_CAPTURE
        return None

    def _moved_minor(self, parent: str) -> int:
        """Return the minor units already captured of an authorization, or refunded of a capture."""
        (moved,) = self._writer.execute(_MOVED, (parent,)).fetchone()
        return int(moved)


def _one(connection: sqlite3.Connection, column: str, value: str) -> Entry | None:
    query = f"{_SELECT} WHERE {column} = ? ORDER BY movement DESC LIMIT 1"
    row = connection.execute(query, (value,)).fetchone()
    return None if row is None else _entry(row)


def _entry(row: tuple[object, ...]) -> Entry:
    values = dict(zip(COLUMNS, row, strict=True))
    values["kind"] = Kind(str(values["kind"]))
    values["status"] = Status(str(values["status"]))
    return Entry(**values)  # type: ignore[arg-type]  # the table's own CHECKs and types guarantee them
