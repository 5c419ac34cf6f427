"""Months are created ahead and closed to change one by one, and never stop a payment."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from refpay.ids import mint_id
from refpay.ledger.entries import EntryKind

from .ledgers import Ledger, at, capture

if TYPE_CHECKING:
    pass


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
    connection = await ledger.db.connect(role)
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
            await ledger.db.rows(statement)


async def test_the_oracle_sees_postings_and_no_holds(ledger: Ledger) -> None:
    """A hold and its release are invisible, and what a capture releases is not among its lines."""
    posting = capture(700)
    hold = replace(posting, id=mint_id(at(0)), kind=EntryKind.HOLD, operation_id=uuid4(), lines=_held(700, 1))
    released = replace(posting, lines=(*posting.lines, *_held(700, -1)))
    await ledger.post(hold, released)
    rows = await ledger.db.rows(
        "SELECT entry_id, account, amount_minor FROM oracle.ledger_lines ORDER BY amount_minor",
        role="refpay_oracle",
    )
    assert [(row["entry_id"], row["account"], row["amount_minor"]) for row in rows] == [
        (posting.id, "merchant_payable:shop", -700),
        (posting.id, "provider_receivable:north", 700),
    ]
    # An entry that lost its lines shows, as it always did.
    await ledger.db.tamper("UPDATE ledger.entry SET accounts = '{}', currencies = '{}', amounts_minor = '{}'")
    rows = await ledger.db.rows("SELECT entry_id, account FROM oracle.ledger_lines", role="refpay_oracle")
    assert [(row["entry_id"], row["account"]) for row in rows] == [(posting.id, None)]


def _held(amount: int, sign: int) -> tuple[Any, ...]:
    lines = capture(amount).lines
    accounts = ("hold_receivable:north", "hold_payable:shop")
    return tuple(
        replace(line, account=account, amount_minor=sign * line.amount_minor)
        for line, account in zip(lines, accounts, strict=True)
    )
