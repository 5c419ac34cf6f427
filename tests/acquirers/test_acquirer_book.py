"""The book's file: whose it is, that it is append-only, and that a failed write has no effect."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from acquirers.book import Book
from acquirers.book_file import connect
from acquirers.chargebacks import BookingResult, ChargebackRequest
from acquirers.decisions import BookingRequest
from acquirers.errors import BookForeign, BookUnwritable, KeyReused, TemporarilyUnavailable
from acquirers.operations import Instruction, Kind, Status

AUTHORIZATION = Instruction("key-1", Kind.AUTHORIZE, "order-1", 1000, "EUR", card_token="tok_411111_ab")


def booking(instruction: Instruction, declined: str | None = None) -> BookingRequest:
    """Return an order at a fixed time."""
    return BookingRequest(instruction, declined, 1.5)


def test_a_reopened_book_still_knows_its_entries(tmp_path: Path) -> None:
    """What was applied is there for the next process, which replays it."""
    book = Book(tmp_path / "ä b.db", name="north", dialect="north")
    (first,) = book.apply([booking(AUTHORIZATION)])
    book.close()
    again = Book(tmp_path / "ä b.db", name="north", dialect="north")
    (second,) = again.apply([booking(AUTHORIZATION, "do_not_honor")])
    assert isinstance(first, BookingResult)
    assert second == BookingResult(first.entry, replayed=True)
    assert again.find("key-1") == again.find_reference(first.entry.provider_reference) == first.entry
    assert again.find("key-2") is None
    again.close()


@pytest.mark.parametrize(("name", "dialect"), [("south", "north"), ("north", "south")])
def test_a_book_of_another_acquirer_is_refused(tmp_path: Path, name: str, dialect: str) -> None:
    """Neither another name nor another dialect may write into a book."""
    file = tmp_path / "book.db"
    Book(file, name="north", dialect="north").close()
    with pytest.raises(BookForeign, match="belongs to acquirer north"):
        Book(file, name=name, dialect=dialect)
    Book(file, name="north", dialect="north").close()


def test_other_files_are_never_taken_for_a_book(tmp_path: Path) -> None:
    """A text file and another program's database are refused and left as they were."""
    text, database = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("not a database, but long enough to be read as a header of one" * 20)
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = text.read_bytes(), database.read_bytes()
    for file in (text, database):
        with pytest.raises(BookForeign, match="is not an acquirer's book"):
            Book(file, name="north", dialect="north")
    assert (text.read_bytes(), database.read_bytes()) == before


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """A book written by a later version is not guessed at."""
    file = tmp_path / "book.db"
    Book(file, name="north", dialect="north").close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 4")
    connection.close()
    with pytest.raises(BookForeign, match="has format 4"):
        Book(file, name="north", dialect="north")


def test_a_book_that_cannot_be_created_is_said(tmp_path: Path) -> None:
    """A missing folder and a folder in the file's place are both named."""
    for file in (tmp_path / "missing" / "book.db", tmp_path):
        with pytest.raises(BookUnwritable, match="cannot be written") as caught:
            Book(file, name="north", dialect="north")
        assert str(file) in str(caught.value)


def test_entries_cannot_be_changed_or_deleted(tmp_path: Path) -> None:
    """The file itself refuses it, whoever asks."""
    file = tmp_path / "book.db"
    book = Book(file, name="north", dialect="north")
    book.apply([booking(AUTHORIZATION)])
    connection = sqlite3.connect(file)
    for statement in ("UPDATE operation SET amount_minor = 1", "DELETE FROM operation"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()
    assert [entry.amount_minor for entry in book.page(0, 10)] == [1000]
    book.close()


@pytest.mark.parametrize("status", ["captured", "voided"])
def test_more_than_was_authorized_is_impossible_for_the_file_itself(tmp_path: Path, status: str) -> None:
    """Even with the judge gone, a trigger keeps an authorization from being used beyond its amount."""
    file = tmp_path / "book.db"
    book = Book(file, name="north", dialect="north")
    (first,) = book.apply([booking(AUTHORIZATION)])
    assert isinstance(first, BookingResult)
    capture = Instruction("key-2", Kind.CAPTURE, "order-1", 10, "EUR", parent=first.entry.provider_reference)
    book.apply([booking(capture)])
    connection = sqlite3.connect(file)
    insert = (
        "INSERT INTO operation SELECT ?, ?, fingerprint, ?, reference, ?, currency, card_range, ?, ?, "
        "parent, reason, at, 1, '' FROM operation WHERE key = 'key-2'"
    )
    kind = {"captured": "capture", "voided": "void"}[status]
    with pytest.raises(sqlite3.IntegrityError, match="more than was authorized"):
        connection.execute(insert, (9, "key-9", kind, 991, status, "cap_9"))
    connection.execute(insert, (9, "key-9", kind, 990, status, "cap_9"))
    connection.close()
    book.close()


def test_two_openers_of_one_book_charge_once(tmp_path: Path) -> None:
    """The decision is taken inside the write, so an old and a new process cannot both charge a key."""
    file = tmp_path / "book.db"
    one, two = (Book(file, name="north", dialect="north") for _ in range(2))
    results = [book.apply([booking(AUTHORIZATION)])[0] for book in (one, two, one)]
    assert [result.replayed for result in results if isinstance(result, BookingResult)] == [False, True, True]
    assert len(two.page(0, 10)) == 1
    one.close()
    two.close()


def test_two_writers_wait_for_each_other(tmp_path: Path) -> None:
    """Two openers racing for the same keys both get every answer, and each key is charged once."""
    file = tmp_path / "book.db"
    books = [Book(file, name="north", dialect="north") for _ in range(2)]
    orders = [booking(replace(AUTHORIZATION, key=f"key-{number}")) for number in range(200)]
    begin = threading.Barrier(2)

    def race(book: Book) -> list[BookingResult | KeyReused]:
        begin.wait(30)
        return [book.apply([one])[0] for one in orders]

    with ThreadPoolExecutor(2) as threads:
        results = [result for results in threads.map(race, books) for result in results]
    new = [result for result in results if isinstance(result, BookingResult) and not result.replayed]
    assert (len(results), len(new), len(books[0].page(0, 1000))) == (400, 200, 200)
    for book in books:
        book.close()


def test_a_failed_write_leaves_nothing_of_its_batch(tmp_path: Path) -> None:
    """While another writer holds the file the batch is refused whole; afterwards it goes through."""
    file = tmp_path / "book.db"
    book = Book(file, name="north", dialect="north")
    blocker = sqlite3.connect(file, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(TemporarilyUnavailable, match="locked"):
        book.apply([booking(AUTHORIZATION)])
    with pytest.raises(TemporarilyUnavailable, match="locked"):
        book.probe(1.0)
    blocker.execute("ROLLBACK")
    assert book.page(0, 10) == []
    blocker.execute("CREATE TRIGGER late BEFORE INSERT ON operation WHEN new.key = 'key-2' "
                    "BEGIN SELECT RAISE(ABORT, 'disk on fire'); END")  # fmt: skip
    second = Instruction("key-2", Kind.AUTHORIZE, "order-2", 1, "EUR", card_token="tok_411111_ab")
    with pytest.raises(TemporarilyUnavailable, match="disk on fire"):
        book.apply([booking(AUTHORIZATION), booking(second)])
    assert book.page(0, 10) == []
    book.apply([booking(AUTHORIZATION)])
    book.probe(1.0)
    assert len(book.page(0, 10)) == 1
    blocker.close()
    book.close()


def test_no_statement_reads_the_whole_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Booking, finding and reporting search by an index, so that they stay quick in a long book."""
    statements: list[str] = []

    def connect_traced(file: Path) -> sqlite3.Connection:
        connection = connect(file)
        connection.set_trace_callback(statements.append)
        return connection

    file = tmp_path / "book.db"
    monkeypatch.setattr("acquirers.book_file.connect", connect_traced)
    monkeypatch.setattr("acquirers.book.connect", connect_traced)
    book = Book(file, name="north", dialect="north", now=lambda: 1.0)
    (first,) = book.apply([booking(AUTHORIZATION)])
    assert isinstance(first, BookingResult)
    capture = Instruction("key-2", Kind.CAPTURE, "order-1", 10, "EUR", parent=first.entry.provider_reference)
    (second,) = book.apply([booking(capture)])
    assert isinstance(second, BookingResult)
    refund = Instruction("key-3", Kind.REFUND, "order-1", 10, "EUR", parent=second.entry.provider_reference)
    book.apply([booking(refund)])
    book.find("key-2")
    payout = Instruction("key-4", Kind.PAYOUT, "payout-1", 10, "EUR", beneficiary="shop")
    void = Instruction("key-5", Kind.VOID, "order-1", 990, "EUR", parent=first.entry.provider_reference)
    third = replace(capture, key="key-6", amount_minor=5)
    assert [type(one) for one in book.apply([booking(third), booking(payout), booking(void)])] == [
        BookingResult
    ] * 3
    for meant in (ChargebackRequest("key-6", "", None), ChargebackRequest("", "order-1", None)):
        case = book.open_chargeback(meant, 1.5)
    book.win_chargeback(case.entry.provider_reference, 1.5)
    assert [len(entries) for _, entries in book.moved([0])] == [5]
    book.close()
    read = [text for text in statements if text.startswith("SELECT") and "FROM operation" in text]
    assert len(read) >= 8
    with sqlite3.connect(file) as connection:
        for text in read:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()
            assert not any(step[3].startswith("SCAN") for step in plan), text
    connection.close()


def test_one_batch_decides_in_order(tmp_path: Path) -> None:
    """Within a batch a replay, a reused key and a decline are told apart."""
    book = Book(tmp_path / "book.db", name="north", dialect="north")
    other = Instruction("key-1", Kind.AUTHORIZE, "order-1", 1001, "EUR", card_token="tok_411111_ab")
    declined = Instruction("key-2", Kind.AUTHORIZE, "order-2", 1, "EUR", card_token="tok_411111_ab")
    results = book.apply(
        [booking(AUTHORIZATION), booking(AUTHORIZATION), booking(other), booking(declined, "do_not_honor")]
    )
    assert isinstance(results[2], KeyReused)
    applied = [result for result in results if isinstance(result, BookingResult)]
    assert [(item.replayed, item.entry.status) for item in applied] == [
        (False, Status.APPROVED), (True, Status.APPROVED), (False, Status.DECLINED),
    ]  # fmt: skip
    book.close()
