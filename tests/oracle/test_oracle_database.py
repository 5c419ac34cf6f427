"""The ledger's reader and the drain, against a real PostgreSQL."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from moneypath.oracle import (
    DrainTimedOut,
    LedgerUnreadable,
    PostingLine,
    await_drained,
    drain,
    read_postings,
    stream_postings,
)
from moneypath.oracle.database import connect, describe
from moneypath.oracle.postings import _line

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SCHEMA = """
DROP SCHEMA IF EXISTS oracle CASCADE;
DROP SCHEMA IF EXISTS inner_tables CASCADE;
CREATE SCHEMA inner_tables;
CREATE TABLE inner_tables.line (
    entry_id uuid, entry_kind text, operation_id uuid, provider text, provider_key uuid, payment_id uuid,
    merchant_reference text, idempotency_key text, account text, currency text, amount_minor numeric,
    posted_at timestamptz, merchant text, report bigint);
CREATE TABLE inner_tables.operation (operation_id uuid, kind text, status text, created_at timestamptz);
CREATE SCHEMA oracle;
CREATE VIEW oracle.ledger_lines AS SELECT * FROM inner_tables.line;
CREATE VIEW oracle.unresolved_operations AS SELECT * FROM inner_tables.operation;
DO $$ BEGIN CREATE ROLE refpay_oracle LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
GRANT USAGE ON SCHEMA oracle TO refpay_oracle;
GRANT SELECT ON ALL TABLES IN SCHEMA oracle TO refpay_oracle;
"""
# A folder for a socket that is none, however long the paths of a test are.
NOWHERE = "/dev/null"
SLOW = """
CREATE OR REPLACE VIEW oracle.{view} AS SELECT one.* FROM inner_tables.{table} AS one
RIGHT JOIN (SELECT pg_sleep(1)) AS asleep ON true
"""
INSERT = """
INSERT INTO inner_tables.line
SELECT gen_random_uuid(), 'posting', gen_random_uuid(), 'north', gen_random_uuid(), gen_random_uuid(), 'ref',
    'key', 'provider_receivable:north', 'KWD', number, to_timestamp(12.5), 'shop', 7
FROM generate_series(1, $1) AS number
"""


@pytest.fixture
async def owner(postgres_socket: Path) -> AsyncIterator[Connection]:
    """Return a fresh schema's owner."""
    connection = await asyncpg.connect(host=str(postgres_socket), user="owner", database="postgres")
    await connection.execute(SCHEMA)
    yield connection
    await connection.close()


@pytest.fixture
def dsn(postgres_socket: Path) -> str:
    """Return the address that the oracle's role uses."""
    return f"postgresql://refpay_oracle@/postgres?host={postgres_socket}"


async def _unresolved(owner: Connection, status: str = "indeterminate") -> uuid.UUID:
    identity = uuid.uuid4()
    statement = "INSERT INTO inner_tables.operation VALUES ($1, 'capture', $2, to_timestamp(1))"
    await owner.execute(statement, identity, status)
    return identity


async def test_every_line_is_read(owner: Connection, dsn: str) -> None:
    """All pages arrive, with ids as text, amounts as integers and times in Unix seconds."""
    await owner.execute(INSERT, 25)
    lines = await read_postings(dsn, page_rows=10)
    assert sorted(line.amount_minor for line in lines) == list(range(1, 26))
    line = lines[0]
    assert (line.account, line.currency, line.entry_kind) == ("provider_receivable:north", "KWD", "posting")
    assert (str(uuid.UUID(line.entry_id)), line.posted_at) == (line.entry_id, 12.5)


async def test_an_entry_without_lines_or_operation_still_shows(owner: Connection, dsn: str) -> None:
    """What an outer join leaves empty becomes empty text and 0, never an error and never nothing."""
    await owner.execute("INSERT INTO inner_tables.line (entry_id) VALUES (gen_random_uuid())")
    (line,) = await read_postings(dsn)
    assert (line.account, line.provider_key, line.amount_minor, line.posted_at) == ("", "", 0, 0.0)


@pytest.mark.parametrize(
    ("stated", "amount_minor", "misstated"),
    [
        ("0.4", 0, "0.4"),
        ("NULL", 0, "null"),
        ("12.00", 12, ""),
        ("-1180591620717411303424", -(2**70), ""),
        ("'NaN'", 0, "NaN"),
    ],
)
async def test_an_amount_is_never_rounded(
    owner: Connection, dsn: str, stated: str, amount_minor: int, misstated: str
) -> None:
    """A fraction and a null are kept as they are, and no amount is too large."""
    await owner.execute(INSERT, 1)
    await owner.execute(f"UPDATE inner_tables.line SET amount_minor = {stated}")  # noqa: S608 - of this test
    (line,) = await read_postings(dsn)
    assert (line.amount_minor, line.misstated) == (amount_minor, misstated)
    assert (line.merchant, line.report) == ("shop", "7")


async def test_all_lines_are_of_one_instant(owner: Connection, dsn: str) -> None:
    """What is committed while the reader is between two pages belongs to the next audit."""
    await owner.execute(INSERT, 10)
    async with aclosing(stream_postings(dsn, page_rows=2)) as lines:
        first = await anext(lines)
        await owner.execute(INSERT, 10)
        rest = [line async for line in lines]
    assert len([first, *rest]) == 10
    assert len(await read_postings(dsn)) == 20


async def test_a_ledger_too_large_is_refused_and_not_cut(owner: Connection, dsn: str) -> None:
    """The bound includes itself; one line more is an error instead of a shorter ledger."""
    await owner.execute(INSERT, 10)
    assert len(await read_postings(dsn, rows_max=10)) == 10
    with pytest.raises(LedgerUnreadable) as caught:
        await read_postings(dsn, rows_max=9)
    said = "database local socket:5432/postgres: more than 9 ledger lines"
    assert str(caught.value) == f"{said}\n  Audit a shorter run."


async def test_a_missing_view_is_said(owner: Connection, dsn: str) -> None:
    """A database without the view is an error, not an empty ledger."""
    await owner.execute("DROP VIEW oracle.ledger_lines")
    with pytest.raises(LedgerUnreadable, match=r"database local socket:5432/postgres: .*UndefinedTable"):
        await read_postings(dsn)


async def test_an_unreachable_ledger_is_said_without_the_password() -> None:
    """The message names the place, what happened and what to do, and never the password."""
    with pytest.raises(LedgerUnreadable) as caught:
        await read_postings(f"postgresql://refpay_oracle:hunter2@/postgres?host={NOWHERE}")
    assert "hunter2" not in str(caught.value)
    said = "database local socket:5432/postgres: the ledger cannot be read: NotADirectoryError: "
    assert caught.value.what.startswith(said)
    assert caught.value.hint == (
        "Check that PostgreSQL runs, that its schema is the newest, and that the role may read it."
    )


async def test_a_ledger_that_answers_too_slowly_is_given_up(owner: Connection, dsn: str) -> None:
    """Each fetch has the time that was asked for."""
    await owner.execute(SLOW.format(view="ledger_lines", table="line"))
    with pytest.raises(LedgerUnreadable, match="the ledger cannot be read: TimeoutError"):
        await read_postings(dsn, timeout_seconds=0.1)


NAMES = ("entry", "posting", "operation", "north", "key", "payment", "order", "idempotency")


@pytest.mark.parametrize(
    ("account", "stated", "amount_minor", "misstated"),
    [
        ("cash", "12", 12, ""),
        ("cash", "-12.000", -12, ""),
        ("cash", "9" * 200, int("9" * 200), ""),
        ("cash", "9" * 201, 0, "9" * 40),
        ("cash", "0.5", 0, "0.5"),
        ("cash", None, 0, "null"),
        ("", None, 0, ""),
        ("", "0.5", 0, "0.5"),
        ("", "7", 7, ""),
    ],
)
def test_a_row_is_a_line_whatever_its_amount(
    account: str, stated: str | None, amount_minor: int, misstated: str
) -> None:
    """An integer of up to 200 digits counts, others are shown; an entry without lines states nothing."""
    line = _line((*NAMES, account, "EUR", stated, 12.5, "shop", "7"))
    expected = PostingLine(*NAMES, account, "EUR", amount_minor, 12.5, "shop", "7", misstated)
    assert line == expected


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("postgresql://me:secret@127.0.0.1:5433/refpay", "database 127.0.0.1:5433/refpay"),
        ("postgresql:///refpay", "database local socket:5432/refpay"),
        ("postgresql://me:secret@[broken/refpay", "database (unreadable address)"),
        ("postgresql://me:secret@127.0.0.1:port/refpay", "database (unreadable address)"),
    ],
)
def test_a_database_is_named_without_its_password(address: str, place: str) -> None:
    """Host, port and database are enough to find it."""
    assert describe(address) == place


@pytest.mark.usefixtures("owner")
async def test_nothing_unresolved_is_drained_at_once(dsn: str) -> None:
    """An idle service needs no waiting."""
    assert await await_drained(dsn, 5) < 5


async def test_the_drain_waits_until_the_last_operation_is_settled(owner: Connection, dsn: str) -> None:
    """It returns after the last one is gone, and not before."""
    identity = await _unresolved(owner)
    loop = asyncio.get_running_loop()
    began = loop.time()
    waiting = asyncio.create_task(await_drained(dsn, 20, poll_seconds=0.01))
    seen = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'moneypath-oracle'"
    while not await owner.fetchval(seen):
        assert not waiting.done()
    await owner.execute("DELETE FROM inner_tables.operation WHERE operation_id = $1", identity)
    assert 0 < await waiting <= loop.time() - began


async def test_what_remains_is_named_when_time_is_up(owner: Connection, dsn: str) -> None:
    """The message counts what is left and names the oldest."""
    identities = [await _unresolved(owner, "started") for _ in range(7)]
    with pytest.raises(DrainTimedOut) as caught:
        await await_drained(dsn, 0.5, poll_seconds=0.05)
    text = caught.value.what
    begins = (
        "database local socket:5432/postgres: not drained within 0.5 s: 7 operations unresolved, the oldest: "
    )
    assert text.startswith(begins)
    named = text.removeprefix(begins).split(", ")
    assert len(set(named)) == 5
    assert set(named) <= {f"capture {identity} (started)" for identity in identities}
    assert caught.value.hint == "Check that the worker runs and that the providers answer its queries."


async def test_a_database_that_stays_away_is_given_up_in_time() -> None:
    """A restart is waited for, but no longer than asked."""
    with pytest.raises(DrainTimedOut, match=r"the database cannot be reached \(NotADirectoryError\)"):
        await await_drained(f"postgresql://refpay_oracle@/postgres?host={NOWHERE}", 0.3)


async def test_a_database_that_stays_away_is_asked_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as fast as it can be refused: a database that starts has other work."""
    asked: list[str] = []

    def refuse(dsn: str, *, command_seconds: float) -> None:
        asked.append(f"{dsn} {command_seconds}")
        raise ConnectionRefusedError

    monkeypatch.setattr(drain, "connect", refuse)
    with pytest.raises(DrainTimedOut, match=r"cannot be reached \(ConnectionRefusedError\)"):
        await await_drained("postgresql:///refpay", 0.3, poll_seconds=0.05)
    assert set(asked) == {"postgresql:///refpay 10.0"}
    assert len(asked) <= 7


async def test_a_database_that_keeps_silent_is_given_up_in_time() -> None:
    """Somebody listens, and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DrainTimedOut, match=r"within 0\.2 s: the database did not answer"):
            await await_drained(f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/postgres", 0.2)


async def test_a_count_that_takes_too_long_is_asked_for_again(
    owner: Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement has its limit too; what happened is said at the end."""
    monkeypatch.setattr(drain, "_COMMAND_SECONDS", 0.1)
    await owner.execute(SLOW.format(view="unresolved_operations", table="operation"))
    with pytest.raises(DrainTimedOut, match=r"the database cannot be reached \(TimeoutError\)"):
        await await_drained(dsn, 0.5)


async def test_the_reader_writes_nothing_and_says_who_it_is(owner: Connection, dsn: str) -> None:
    """A witness cannot change what it is a witness of, whatever its role may do."""
    async with connect(dsn, command_seconds=5.0) as connection:
        assert await connection.fetchval("SHOW application_name") == "moneypath-oracle"
        assert await connection.fetchval("SHOW default_transaction_read_only") == "on"


async def test_a_role_that_may_not_look_is_said_at_once(owner: Connection, dsn: str) -> None:
    """Waiting does not grant a privilege."""
    await owner.execute("REVOKE ALL ON ALL TABLES IN SCHEMA oracle FROM refpay_oracle")
    with pytest.raises(LedgerUnreadable) as caught:
        await await_drained(dsn, 30)
    said = "database local socket:5432/postgres: unresolved operations cannot be read: permission denied"
    assert caught.value.what.startswith(said)
    assert caught.value.hint == "Check that the role may read schema oracle."
