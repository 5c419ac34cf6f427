"""The bookkeeper commits before it answers, charges a key once, and leaves nobody waiting."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from acquirers.book import Book
from acquirers.bookkeeper import Bookkeeper
from acquirers.errors import KeyReused, TemporarilyUnavailable
from acquirers.operations import Instruction, Kind


def instruction(key: str, amount: int = 1000) -> Instruction:
    """Return an authorization."""
    return Instruction(key, Kind.AUTHORIZE, f"order-{key}", amount, "EUR", card_token="tok_411111_ab")


async def test_what_is_answered_is_committed(tmp_path: Path) -> None:
    """Another connection sees the entry as soon as the answer is there."""
    book = Book(tmp_path / "book.db", name="north", dialect="north", now=lambda: 7.25)
    bookkeeper = Bookkeeper(book, now=lambda: 7.25)
    applied = await bookkeeper.apply(instruction("a"), None)
    connection = sqlite3.connect(tmp_path / "book.db")
    assert connection.execute("SELECT key, at FROM operation").fetchall() == [("a", 7.25)]
    connection.close()
    assert bookkeeper.find("a") == applied.entry
    await bookkeeper.close()


async def test_concurrent_requests_of_one_key_charge_once(tmp_path: Path) -> None:
    """Of many at once exactly one is new, the same bodies are replays, other bodies are refused."""
    bookkeeper = Bookkeeper(Book(tmp_path / "book.db", name="north", dialect="north"))
    calls = [bookkeeper.apply(instruction("a", 1000 + (number % 10 == 9)), None) for number in range(600)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    refused = [result for result in results if isinstance(result, KeyReused)]
    assert len(refused) == 60
    assert len(await bookkeeper.page(0, 10)) == 1
    await bookkeeper.close()


async def test_a_caller_that_leaves_does_not_undo_its_instruction(tmp_path: Path) -> None:
    """A cancelled caller's entry is booked, and the others of its batch get their answers."""
    bookkeeper = Bookkeeper(Book(tmp_path / "book.db", name="north", dialect="north"))
    leaving = asyncio.create_task(bookkeeper.apply(instruction("a"), None))
    staying = asyncio.create_task(bookkeeper.apply(instruction("b"), None))
    await asyncio.sleep(0)  # both are in the queue now
    leaving.cancel()
    assert (await staying).entry.key == "b"
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert [entry.key for entry in await bookkeeper.page(0, 10)] == ["a", "b"]
    await bookkeeper.close()


async def test_a_write_that_fails_is_told_to_all_who_waited(tmp_path: Path) -> None:
    """They get one error each, nothing is booked, and the next instruction goes through."""
    bookkeeper = Bookkeeper(Book(tmp_path / "book.db", name="north", dialect="north"))
    blocker = sqlite3.connect(tmp_path / "book.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    calls = [bookkeeper.apply(instruction(key), None) for key in "abc"]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [TemporarilyUnavailable] * 3
    with pytest.raises(TemporarilyUnavailable):
        await bookkeeper.probe()
    blocker.execute("ROLLBACK")
    blocker.close()
    await bookkeeper.probe()
    assert (await bookkeeper.apply(instruction("a"), None)).replayed is False
    await bookkeeper.close()


async def test_closing_finishes_what_waits(tmp_path: Path) -> None:
    """An instruction taken before the close is booked and answered."""
    bookkeeper = Bookkeeper(Book(tmp_path / "book.db", name="north", dialect="north"))
    waiting = asyncio.create_task(bookkeeper.apply(instruction("a"), None))
    await asyncio.sleep(0)  # it is in the queue now
    await bookkeeper.close()
    assert (await waiting).entry.key == "a"
