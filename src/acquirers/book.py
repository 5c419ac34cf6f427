"""An acquirer's book of record: an append-only SQLite table.

A committed entry survives the kill of this process, because the operating system has its bytes then. It may
not survive a power cut: the write-ahead log is synced only at a checkpoint.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from acquirers.book_file import COLUMNS, MOVED, connect, open_book
from acquirers.chargebacks import BookingResult, ChargebackRequest, identify, open_case, win_case
from acquirers.decisions import SELECT, BookingRequest, Decision, decide, find_one, read_entry
from acquirers.errors import AcquirerError, KeyReused, TemporarilyUnavailable
from acquirers.operations import Entry, Kind, Status

PAGE_ROWS_MAX: Final = 5000
# A report stays open for this long after its end, for entries that are being committed.
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
    """The numbers of the first report, of the first open report, and of the first that need not be closed
    yet.
    """

    first: int
    following: int
    due: int


class Book:
    """One acquirer's operations. Call `apply` from one thread at a time, `find*` from the thread that opened
    it.

    Every decision is taken inside the writing transaction, so that even two processes on one file charge
    once.
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

        An authorization can be captured for `lifetime_seconds`.
        """
        self._file = file
        self._name = name
        self._period = period_seconds
        self._lifetime_seconds = lifetime_seconds
        self._writer = open_book(file, name=name, dialect=dialect, period_seconds=period_seconds, at=now())
        self._reader = connect(file)

    def close(self) -> None:
        """Close both connections, which writes the log into the file."""
        self._reader.close()
        self._writer.close()

    def apply(self, orders: Sequence[BookingRequest]) -> list[BookingResult | KeyReused]:
        """Apply requests one after the other and commit them together; return one result per request.

        Raises TemporarilyUnavailable if nothing could be committed; then no request had an effect.
        """
        return self._write(
            lambda earliest: [self._apply_one(replace(one, at=max(one.at, earliest))) for one in orders]
        )

    def open_chargeback(self, order: ChargebackRequest, at: float) -> BookingResult:
        """Book a chargeback; raises the errors of `apply` and of `open_case`."""
        return self._write(
            lambda earliest: open_case(self._writer, order, self._name, max(at, earliest), self._insert)
        )

    def win_chargeback(self, movement: str, at: float) -> BookingResult:
        """Book the reversal of a chargeback; raises the errors of `apply`, and ChargebackUnknown."""
        return self._write(lambda earliest: win_case(self._writer, movement, max(at, earliest), self._insert))

    def probe(self, at: float) -> None:
        """Write a time stamp to prove that the book can be written."""
        try:
            self._writer.execute("UPDATE book SET probed_at = ?", (at,))
        except sqlite3.Error as error:
            raise TemporarilyUnavailable(f"the book cannot be written: {error}") from error

    def close_reports(self, at: float) -> None:
        """Close every report that is due at `at`, for good; call it from the thread of `apply`."""
        try:
            self._writer.execute("UPDATE book SET next_report = max(next_report, ?)", (self._due(at),))
        except sqlite3.Error as error:
            raise TemporarilyUnavailable(f"the book cannot be written: {error}") from error

    def reports(self, at: float) -> ReportNumbers:
        """Return the report numbers at the time `at`."""
        first, following = self._reader.execute("SELECT first_report, next_report FROM book").fetchone()
        return ReportNumbers(first, following, self._due(at))

    def moved(self, reports: Iterable[int]) -> Iterator[tuple[int, list[Entry]]]:
        """Yield each report's number with its entries that moved money; callable from any thread."""
        query = f"{SELECT} WHERE {MOVED} AND at >= ? AND at < ? ORDER BY seq"
        with closing(connect(self._file)) as connection:
            for report in reports:
                bounds = (report * self._period, (report + 1) * self._period)
                yield report, [read_entry(row) for row in connection.execute(query, bounds)]

    def begin_delivery(self) -> int:
        """Return the sequence number up to which events were delivered; that of the last entry at the first
        call.
        """
        self._write(
            lambda _: self._writer.execute(
                "UPDATE book SET sent_seq = coalesce(sent_seq, (SELECT max(seq) FROM operation), 0)"
            )
        )
        (told,) = self._reader.execute("SELECT sent_seq FROM book").fetchone()
        return int(told)

    def record_delivered(self, seq: int) -> None:
        """Store that the events of all entries up to `seq` are delivered."""
        self._write(lambda _: self._writer.execute("UPDATE book SET sent_seq = max(sent_seq, ?)", (seq,)))

    def find(self, key: str) -> Entry | None:
        """Return the newest committed entry of a provider key."""
        return find_one(self._reader, "key = ?", [key])

    def find_reference(self, provider_reference: str) -> Entry | None:
        """Return the committed entry of a provider reference."""
        return find_one(self._reader, "provider_reference = ?", [provider_reference])

    def page(self, after: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries with a sequence number above `after`; callable from any thread.

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
        """Run `work` in one transaction; it gets the earliest time at which an entry may be booked.

        An entry that is too late for a closed report is booked at the beginning of the first open one.
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

    def _apply_one(self, order: BookingRequest) -> BookingResult | KeyReused:
        instruction = order.instruction
        fingerprint = instruction.fingerprint()
        known = find_one(self._writer, "key = ?", [instruction.key])
        if known is None:
            decision, movement = decide(self._writer, order, lifetime_seconds=self._lifetime_seconds), 1
        elif known.fingerprint != fingerprint:
            return KeyReused(f"the key was used before for another {known.kind}: mint a new key")
        elif order.forgets_key and known.status in (Status.CAPTURED, Status.PAID) and known.movement == 1:
            decision, movement = Decision(known.status, None, known.card_range), 2
        else:
            return BookingResult(known, replayed=True)
        entry = Entry(
            seq=0,
            key=instruction.key,
            fingerprint=fingerprint,
            kind=instruction.kind,
            reference=instruction.reference,
            amount_minor=instruction.amount_minor,
            currency=instruction.currency,
            card_range=decision.card_range,
            status=decision.status,
            provider_reference=identify(
                _PREFIXES[instruction.kind], self._name, instruction.key, movement=movement
            ),
            parent=instruction.parent,
            reason=decision.reason,
            at=order.at,
            movement=movement,
            beneficiary=instruction.beneficiary,
        )
        return BookingResult(self._insert(entry), replayed=False)

    def _insert(self, entry: Entry) -> Entry:
        values = [None if name == "seq" else getattr(entry, name) for name in COLUMNS]
        (seq,) = self._writer.execute(_INSERT, values).fetchone()
        return replace(entry, seq=seq)
