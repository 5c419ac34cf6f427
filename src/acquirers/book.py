"""The book of truth: an append-only SQLite table.

A committed entry survives the kill of this process, because the operating system then holds its bytes.
It may not survive a power cut: the log is only forced to disk when it is folded into the file.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from acquirers.book_file import COLUMNS, MOVED, connect, open_book
from acquirers.cases import Applied, ChargebackOrder, identify, open_case, win_case
from acquirers.errors import AcquirerError, KeyReused, TemporarilyUnavailable
from acquirers.judge import SELECT, Order, Verdict, find_one, judge, read_entry
from acquirers.operations import Entry, Kind, Status

PAGE_ROWS_MAX: Final = 5000
# How long after its end a report stays open for what is being committed.
GRACE_SECONDS: Final = 1
_DAY_SECONDS: Final = 86_400
LIFETIME_SECONDS: Final = 604_800
_PREFIXES: Final = {
    Kind.AUTHORIZE: "auth", Kind.CAPTURE: "cap", Kind.REFUND: "ref", Kind.VOID: "void", Kind.PAYOUT: "pay",
}  # fmt: skip
_INSERT: Final = (
    f"INSERT INTO operation ({', '.join(COLUMNS)}) "  # noqa: S608 - our own constant, no input
    f"VALUES ({', '.join('?' * len(COLUMNS))}) RETURNING seq"
)

Written = TypeVar("Written")


@dataclass(frozen=True, slots=True)
class ReportNumbers:
    """The first report, the first that is still open, and the one that could be the first open by now."""

    first: int
    following: int
    due: int


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
        lifetime_seconds: int = LIFETIME_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Open or create the book; raises BookUnwritable or BookForeign.

        `lifetime_seconds` is how long an authorization can be captured.
        """
        self._file = file
        self._name = name
        self._period = period_seconds
        self._lifetime_seconds = lifetime_seconds
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
        return self._write(
            lambda earliest: [self._apply_one(replace(one, at=max(one.at, earliest))) for one in orders]
        )

    def open_chargeback(self, order: ChargebackOrder, at: float) -> Applied:
        """Book that a card holder takes a capture back; raises as `apply`, and what `open_case` raises."""
        return self._write(
            lambda earliest: open_case(self._writer, order, self._name, max(at, earliest), self._insert)
        )

    def win_chargeback(self, movement: str, at: float) -> Applied:
        """Book that the merchant has won the case; raises as `apply`, and ChargebackUnknown."""
        return self._write(lambda earliest: win_case(self._writer, movement, max(at, earliest), self._insert))

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
        query = f"{SELECT} WHERE {MOVED} AND at >= ? AND at < ? ORDER BY seq"
        with closing(connect(self._file)) as connection:
            for report in reports:
                bounds = (report * self._period, (report + 1) * self._period)
                yield report, [read_entry(row) for row in connection.execute(query, bounds)]

    def begin_telling(self) -> int:
        """Return the sequence number up to which the merchant was told; at first that of the last entry."""
        self._write(
            lambda _: self._writer.execute(
                "UPDATE book SET told_seq = coalesce(told_seq, (SELECT max(seq) FROM operation), 0)"
            )
        )
        (told,) = self._reader.execute("SELECT told_seq FROM book").fetchone()
        return int(told)

    def note_told(self, seq: int) -> None:
        """Keep that the merchant was told of everything up to `seq`."""
        self._write(lambda _: self._writer.execute("UPDATE book SET told_seq = max(told_seq, ?)", (seq,)))

    def find(self, key: str) -> Entry | None:
        """Return the newest committed entry of a provider key."""
        return find_one(self._reader, "key = ?", [key])

    def find_reference(self, provider_reference: str) -> Entry | None:
        """Return the committed entry of a provider reference."""
        return find_one(self._reader, "provider_reference = ?", [provider_reference])

    def page(self, after: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries with a sequence number over `after`; callable from any thread.

        Raises TemporarilyUnavailable.
        """
        try:
            with closing(connect(self._file)) as connection:
                rows = connection.execute(f"{SELECT} WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
                return [read_entry(row) for row in rows]
        except sqlite3.Error as error:
            raise TemporarilyUnavailable(f"the book cannot be read: {error}") from error

    def _due(self, at: float) -> int:
        return int((at - GRACE_SECONDS) // self._period)

    def _write(self, work: Callable[[float], Written]) -> Written:
        """Do the work in one transaction; it is given the earliest time that may still be booked.

        What comes too late for a closed report is booked at the beginning of the first open one.
        """
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            (report,) = self._writer.execute("SELECT next_report FROM book").fetchone()
            written = work(float(report * self._period))
            self._writer.execute("COMMIT")
        except (sqlite3.Error, AcquirerError) as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            if isinstance(error, AcquirerError):
                raise
            raise TemporarilyUnavailable(f"the book cannot be written: {error}") from error
        return written

    def _apply_one(self, order: Order) -> Applied | KeyReused:
        instruction = order.instruction
        fingerprint = instruction.fingerprint()
        known = find_one(self._writer, "key = ?", [instruction.key])
        if known is None:
            verdict, movement = judge(self._writer, order, lifetime_seconds=self._lifetime_seconds), 1
        elif known.fingerprint != fingerprint:
            return KeyReused(f"the key was used before for another {known.kind}: mint a new key")
        elif order.forgetful and known.status in (Status.CAPTURED, Status.PAID) and known.movement == 1:
            verdict, movement = Verdict(known.status, None, known.card_range), 2
        else:
            return Applied(known, replayed=True)
        entry = Entry(
            seq=0,
            key=instruction.key,
            fingerprint=fingerprint,
            kind=instruction.kind,
            reference=instruction.reference,
            amount_minor=instruction.amount_minor,
            currency=instruction.currency,
            card_range=verdict.card_range,
            status=verdict.status,
            provider_reference=identify(
                _PREFIXES[instruction.kind], self._name, instruction.key, movement=movement
            ),
            parent=instruction.parent,
            reason=verdict.reason,
            at=order.at,
            movement=movement,
            beneficiary=instruction.beneficiary,
        )
        return Applied(self._insert(entry), replayed=False)

    def _insert(self, entry: Entry) -> Entry:
        values = [None if name == "seq" else getattr(entry, name) for name in COLUMNS]
        (seq,) = self._writer.execute(_INSERT, values).fetchone()
        return replace(entry, seq=seq)
