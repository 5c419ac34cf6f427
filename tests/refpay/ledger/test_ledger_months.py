"""Months: made ahead, closed to change one by one, never in the way of a payment; and the way from 0005."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from refpay.db.upgrade import upgrade_schema
from refpay.errors import StartRefused
from refpay.ids import mint_id
from refpay.ledger.entries import EntryKind
from refpay.settings import DatabaseSettings

from .books import Ledger, at, capture, open_ledger

if TYPE_CHECKING:
    from tests.refpay.conftest import Book

    from moneypath.stack.postgres import Postgres


async def test_an_entry_lies_in_its_month(ledger: Ledger) -> None:
    """To the millisecond at the border; without a month it is taken all the same, and counted."""
    await ledger.post(capture(1, 0))
    assert await ledger.partitions() == {"entry_default": 1}
    # March cannot be made over what lies in default; April can.
    assert await ledger.make_partitions(at(0), 1) == 1
    await ledger.post(capture(1, 59.9999), capture(1, 60))
    assert await ledger.partitions() == {"entry_default": 2, "entry_2024_04": 1}
    assert await ledger.make_partitions(at(90), 2) == 2
    await ledger.post(capture(1, 60 * 24 * 31))
    assert (await ledger.partitions())["entry_2024_05"] == 1
    assert await ledger.seal() == 4
    assert await ledger.found() == []


@pytest.mark.parametrize("later", [1, 60 * 24 * 31, 60 * 24 * 400])
async def test_an_operation_is_entered_once_in_whatever_month(ledger: Ledger, later: int) -> None:
    """In the same one, in the next, and in default: what was posted is one table with one key."""
    await ledger.make_partitions(at(0), 1)
    first = capture(1, 0)
    await ledger.post(first)
    with pytest.raises(asyncpg.UniqueViolationError, match="posted_pkey"):
        await ledger.post(replace(capture(1, later), operation_id=first.operation_id))
    assert sum((await ledger.partitions()).values()) == 1


async def test_months_are_made_once_and_ahead_within_bounds(ledger: Ledger) -> None:
    """Again and again, and no more than a year ahead."""
    for _ in range(2):
        assert await ledger.make_partitions(at(0), 12) == 0
    for ahead in (-1, 13):
        with pytest.raises(asyncpg.InvalidParameterValueError, match="allowed: 0 to 12"):
            await ledger.make_partitions(at(0), ahead)


@pytest.mark.parametrize("role", ["refpay_owner", "postgres"])
async def test_a_partition_refuses_what_the_ledger_refuses(ledger: Ledger, role: str) -> None:
    """Named directly: change, deletion, and what does not balance; in replication mode too."""
    await ledger.make_partitions(at(0))
    await ledger.post(capture(1, 0))
    connection = await ledger.book.connect(role)
    try:
        if role == "postgres":
            await connection.execute("SET session_replication_role = replica")
        for statement in (
            "UPDATE ledger.entry_2024_03 SET kind = kind",
            "DELETE FROM ledger.entry_2024_03",
            "TRUNCATE ledger.entry_2024_03",
            "TRUNCATE ledger.entry",
        ):
            with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
                await connection.execute(statement)
        columns = "id, kind, operation_id, payment_id, posted_at, accounts, currencies, amounts_minor"
        insert = f"INSERT INTO ledger.entry_2024_03 ({columns}) SELECT $1, kind, $2, payment_id, posted_at,"
        with pytest.raises(asyncpg.CheckViolationError, match="is unbalanced"):
            await connection.execute(
                f"{insert} accounts, currencies, '{{1,-2}}' FROM ledger.entry", mint_id(at(0)), uuid4()
            )
        # What balances is registered there as anywhere.
        await connection.execute(
            f"{insert} accounts, currencies, amounts_minor FROM ledger.entry", mint_id(at(0)), uuid4()
        )
        assert await connection.fetchval("SELECT count(*) FROM ledger.posted") == 2
    finally:
        await connection.close()
    assert await ledger.seal() == 2
    assert await ledger.found() == []


async def test_the_service_reaches_no_partition_and_makes_none_itself(ledger: Ledger) -> None:
    """Not by its name, and by no statement but the one that is meant for it."""
    await ledger.make_partitions(at(0))
    for statement in (
        "SELECT * FROM ledger.entry_2024_03",
        "INSERT INTO ledger.entry_2024_03 SELECT * FROM ledger.entry",
        "CREATE TABLE ledger.mine PARTITION OF ledger.entry DEFAULT",
        "ALTER TABLE ledger.entry DETACH PARTITION ledger.entry_2024_03",
        "DROP TABLE ledger.entry_2024_03",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ledger.book.rows(statement)


async def test_the_oracle_sees_postings_and_no_holds(ledger: Ledger) -> None:
    """A hold and its release are invisible, and what a capture releases is not among its lines."""
    posting = capture(700)
    hold = replace(posting, id=mint_id(at(0)), kind=EntryKind.HOLD, operation_id=uuid4(), lines=_held(700, 1))
    released = replace(posting, lines=(*posting.lines, *_held(700, -1)))
    await ledger.post(hold, released)
    rows = await ledger.book.rows(
        "SELECT entry_id, account, amount_minor FROM oracle.ledger_lines ORDER BY amount_minor",
        role="refpay_oracle",
    )
    assert [(row["entry_id"], row["account"], row["amount_minor"]) for row in rows] == [
        (posting.id, "merchant_payable:shop", -700),
        (posting.id, "provider_receivable:north", 700),
    ]
    # An entry that lost its lines shows, as it always did.
    await ledger.book.tamper(
        "UPDATE ledger.entry SET accounts = '{}', currencies = '{}', amounts_minor = '{}'"
    )
    rows = await ledger.book.rows("SELECT entry_id, account FROM oracle.ledger_lines", role="refpay_oracle")
    assert [(row["entry_id"], row["account"]) for row in rows] == [(posting.id, None)]


def _held(amount: int, sign: int) -> tuple[Any, ...]:
    lines = capture(amount).lines
    accounts = ("hold_receivable:north", "hold_payable:shop")
    return tuple(
        replace(line, account=account, amount_minor=sign * line.amount_minor)
        for line, account in zip(lines, accounts, strict=True)
    )


@asynccontextmanager
async def _at_0005(server: "Postgres", secrets_folder: Path, book_type: Any) -> AsyncIterator[Any]:
    name = f"refpay_before_{uuid4().hex[:8]}"
    await _administer(server, f"CREATE DATABASE {name} OWNER refpay_owner")
    book = book_type(server, name)
    password = (secrets_folder / "refpay_owner_password").read_text().strip()
    settings = DatabaseSettings(book.url("refpay_owner"), "refpay_owner", password)
    try:
        await upgrade_schema(settings, "0005")
        yield book, settings
    finally:
        await _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


_UNDER_WAY = """
    WITH paid AS (
        INSERT INTO payments.payment (
            id, merchant, merchant_reference, status, amount_minor, currency, card_range, provider,
            created_at)
        VALUES (gen_random_uuid(), 'shop', 'order', 'authorized', 1000, 'EUR', '411111', 'north', $1)
        RETURNING id)
    INSERT INTO payments.operation (
        id, payment_id, kind, status, amount_minor, provider_key, provider_reference, principal,
        idempotency_key, correlation_id, created_at, call_deadline, settle_after, next_query_at, settled_at,
        settled_by)
    SELECT gen_random_uuid(), paid.id, kind, status, amount, gen_random_uuid(), reference, 'shop', kind, 'c',
           $1, $1, $1 + interval '1 s', $1, CASE WHEN reference IS NOT NULL THEN $1 END,
           CASE WHEN reference IS NOT NULL THEN 'shop' END
    FROM paid, (VALUES ('authorize', 'succeeded', 1000, 'ref-1'), ('capture', 'started', 400, NULL))
               AS given (kind, status, amount, reference)
"""


async def _administer(server: "Postgres", statement: str) -> None:
    admin = await asyncpg.connect(server.admin_dsn, timeout=30)
    try:
        await admin.execute(statement)
    finally:
        await admin.close()


async def _post_as_before(book: "Book", minutes: float, amount: int) -> tuple[object, ...]:
    connection = await book.connect()
    ids = (mint_id(at(minutes)), uuid4(), uuid4())
    try:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO ledger.entry (id, kind, operation_id, payment_id, posted_at)"
                " VALUES ($1, 'posting', $2, $3, $4)",
                *ids,
                at(minutes),
            )
            await connection.execute(
                "INSERT INTO ledger.line VALUES ($1, 'provider_receivable:north', 'EUR', $2),"
                " ($1, 'merchant_payable:shop', 'EUR', -$2)",
                ids[0],
                amount,
            )
    finally:
        await connection.close()
    return (*ids, at(minutes))


async def test_a_database_with_entries_is_upgraded(
    server: "Postgres", secrets_folder: Path, book: "Book"
) -> None:
    """Every entry with its lines, its transaction and its month; sealed, verified, and seen as before."""
    async with _at_0005(server, secrets_folder, type(book)) as (old, settings):
        posted = [await _post_as_before(old, minutes, 10 + n) for n, minutes in enumerate((0, 61, 5))]
        seen = "SELECT * FROM oracle.ledger_lines ORDER BY entry_id, account"
        written = (
            "SELECT id, operation_id, payment_id, posted_at, written_in FROM ledger.entry ORDER BY written_in"
        )
        before = await old.rows(seen, role="refpay_oracle"), await old.rows(written)
        assert [tuple(row.values())[:4] for row in before[1]] == posted
        await upgrade_schema(settings)
        assert (await old.rows(seen, role="refpay_oracle"), await old.rows(written)) == before
        async with open_ledger(old, secrets_folder) as ledger:
            assert await ledger.partitions() == {"entry_2024_03": 2, "entry_2024_04": 1}
            assert await ledger.seal() == 3
            assert await ledger.found() == []
            assert await ledger.balances("merchant_payable:shop") == {("merchant_payable:shop", "EUR"): -33}
            with pytest.raises(asyncpg.UniqueViolationError):
                await ledger.post(replace(capture(1, 1), operation_id=posted[0][1]))  # type: ignore[arg-type]
            await ledger.post(capture(1, 1))
            assert await ledger.seal() == 1
            assert await ledger.found() == []


async def test_what_is_under_way_goes_on_after_the_upgrade(
    server: "Postgres", secrets_folder: Path, book: "Book"
) -> None:
    """What is held is held in the ledger too, and a capture on its way has its part set aside."""
    async with _at_0005(server, secrets_folder, type(book)) as (old, settings):
        connection = await old.connect("postgres")
        try:
            await connection.execute(_UNDER_WAY, at(0))
        finally:
            await connection.close()
        await upgrade_schema(settings)
        held = "SELECT account, sum(amount_minor)::bigint AS minor FROM ledger.line GROUP BY 1 ORDER BY 1"
        assert [tuple(row.values()) for row in await old.rows(held)] == [
            ("hold_payable:shop", -1000),
            ("hold_receivable:north", 1000),
        ]
        assert await old.rows("SELECT capture_reserved_minor FROM payments.payment") == [
            {"capture_reserved_minor": 400}
        ]
        async with open_ledger(old, secrets_folder) as ledger:
            assert await ledger.seal() == 1
            assert await ledger.found() == []


async def test_what_was_tampered_with_is_not_carried_over(
    server: "Postgres", secrets_folder: Path, book: "Book"
) -> None:
    """It would be sealed as if it were right; the upgrade names the entry, and nothing has changed."""
    async with _at_0005(server, secrets_folder, type(book)) as (old, settings):
        entry_id, *_ = await _post_as_before(old, 0, 10)
        connection = await old.connect("postgres")
        try:
            await connection.execute("ALTER TABLE ledger.line DISABLE TRIGGER ALL")
            await connection.execute("UPDATE ledger.line SET amount_minor = 11 WHERE amount_minor = 10")
        finally:
            await connection.close()
        with pytest.raises(StartRefused, match=f"{entry_id} is unbalanced"):
            await upgrade_schema(settings)
        assert len(await old.rows("SELECT 1 FROM ledger.line")) == 2
