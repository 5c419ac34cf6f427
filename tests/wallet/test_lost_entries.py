"""The fault that loses ledger entries: a command with a lease, which ends when nobody renews it."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from wallet.booking import Books

from .test_books import rows, top_up

PROGRAM = Path(__file__).parents[2] / "examples" / "wallet" / "faults" / "lose_entry.py"
COUNT = "SELECT count(*) FROM movement"
BOOK_AGAIN = """
INSERT INTO movement
SELECT gen_random_uuid(), 'TOP_UP', 'bank/giro', purse_id, amount, currency, id, request_key, decided_at
FROM bank_order WHERE id NOT IN (SELECT order_id FROM movement) RETURNING id
"""


@pytest.fixture
async def dsn_file(books: Books, database: str, tmp_path: Path) -> Path:
    """Return the file of a database with three movements."""
    purse = await books.open_purse("ada", "EUR")
    for number in range(3):
        await top_up(books, f"key-{number}", purse, 100 + number)
    file = tmp_path / "owner_dsn"
    file.write_text(database.replace("+psycopg", ""))
    return file


def run(*words: object) -> Any:
    """Run the program and return what it printed."""
    command = [sys.executable, str(PROGRAM), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_entries_are_lost_until_the_end(dsn_file: Path, database: str, tmp_path: Path) -> None:
    """They are gone, are counted, and come back as they were; the end may be called twice."""
    before = rows(database, "SELECT * FROM movement ORDER BY id")
    begun = run("begin", dsn_file, tmp_path / "lost", 2, 600)
    assert begun["lost"] == 2
    assert rows(database, COUNT) == [(1,)]
    assert run("hits", tmp_path / "lost", begun["id"])["faults"] == [{"id": begun["id"], "hits": 2}]
    run("renew", tmp_path / "lost", begun["id"], 600)
    assert rows(database, COUNT) == [(1,)]
    run("end", tmp_path / "lost", begun["id"])
    run("end", tmp_path / "lost", begun["id"])
    assert rows(database, "SELECT * FROM movement ORDER BY id") == before
    assert run("hits", tmp_path / "lost", begun["id"])["faults"] == []


def test_they_come_back_when_nobody_renews(dsn_file: Path, database: str, tmp_path: Path) -> None:
    """Whoever began it is gone: `begin` has ended, and nobody calls `end`."""
    run("begin", dsn_file, tmp_path / "lost", 2, 0.1)
    until = time.monotonic() + 60
    while rows(database, COUNT) != [(3,)]:
        assert time.monotonic() < until, "the entries did not come back"


def test_what_was_booked_again_stays_single(dsn_file: Path, database: str, tmp_path: Path) -> None:
    """An operator was faster than the end: the order has one movement, the operator's."""
    begun = run("begin", dsn_file, tmp_path / "lost", 1, 600)
    engine = create_engine(database)
    with engine.begin() as connection:
        (made,) = connection.execute(text(BOOK_AGAIN)).one()
    engine.dispose()
    run("end", tmp_path / "lost", begun["id"])
    assert rows(database, COUNT) == [(3,)]
    assert (made,) in rows(database, "SELECT id FROM movement")
