"""The book of truth: an append-only SQLite table.

A committed entry survives the kill of this process, because the operating system then holds its bytes.
It may not survive a power cut: the log is only forced to disk when it is folded into the file.
"""

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acquirers.book_file import COLUMNS, connect, open_book
from acquirers.errors import KeyReused, TemporarilyUnavailable
from acquirers.operations import Entry, Instruction, Kind, Refusal, Status, card_range_of

PAGE_ROWS_MAX: Final = 5000
_PREFIXES: Final = {Kind.AUTHORIZE: "auth", Kind.CAPTURE: "cap", Kind.REFUND: "ref"}
_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM operation"  # noqa: S608 - our own constant, no input
_MOVED: Final = (
    "SELECT coalesce(sum(amount_minor), 0) FROM operation WHERE parent = ? AND status <> 'refused'"
)
_INSERT: Final = (
    f"INSERT INTO operation ({', '.join(COLUMNS)}) "  # noqa: S608 - our own constant, no input
    f"VALUES ({', '.join('?' * len(COLUMNS))}) RETURNING seq"
)


@dataclass(frozen=True, slots=True)
class Order:
    """An instruction, why the issuer would decline it (None: it approves), and the time (Unix seconds)."""

    instruction: Instruction
    declined: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Applied:
    """The entry of an instruction, and whether it stood in the book before."""

    entry: Entry
    replayed: bool


@dataclass(frozen=True, slots=True)
class _Verdict:
    status: Status
    reason: str | None
    card_range: str


class Book:
    """One acquirer's operations. `apply` belongs to one thread at a time; `find*` to the opening thread.

    Every decision is taken inside the writing transaction, so even two processes on one file charge once.
    """

    def __init__(self, file: Path, *, name: str, dialect: str) -> None:
        """Open or create the book; raises BookUnwritable or BookForeign."""
        self._file = file
        self._name = name
        self._writer = open_book(file, name=name, dialect=dialect)
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
            results = [self._apply_one(order) for order in orders]
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

    def find(self, key: str) -> Entry | None:
        """Return the committed entry of a provider key."""
        return _one(self._reader, "key", key)

    def find_reference(self, provider_reference: str) -> Entry | None:
        """Return the committed entry of a provider reference."""
        return _one(self._reader, "provider_reference", provider_reference)

    def page(self, after: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries with a sequence number over `after`; callable from any thread."""
        connection = connect(self._file)
        try:
            rows = connection.execute(f"{_SELECT} WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
            return [_entry(row) for row in rows]
        finally:
            connection.close()

    def _apply_one(self, order: Order) -> Applied | KeyReused:
        instruction = order.instruction
        fingerprint = instruction.fingerprint()
        known = _one(self._writer, "key", instruction.key)
        if known is not None:
            if known.fingerprint != fingerprint:
                return KeyReused(f"the key was used before for another {known.kind}: mint a new key")
            return Applied(known, replayed=True)
        verdict = self._judge(order)
        digest = hashlib.sha256(f"{self._name}/{instruction.key}".encode()).hexdigest()
        values = (
            None, instruction.key, fingerprint, instruction.kind, instruction.reference,
            instruction.amount_minor, instruction.currency, verdict.card_range, verdict.status,
            f"{_PREFIXES[instruction.kind]}_{digest[:24]}", instruction.parent, verdict.reason, order.at,
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
    row = connection.execute(f"{_SELECT} WHERE {column} = ?", (value,)).fetchone()
    return None if row is None else _entry(row)


def _entry(row: tuple[object, ...]) -> Entry:
    values = dict(zip(COLUMNS, row, strict=True))
    values["kind"] = Kind(str(values["kind"]))
    values["status"] = Status(str(values["status"]))
    return Entry(**values)  # type: ignore[arg-type]  # the table's own CHECKs and types guarantee them
