"""The wallet's books on a real PostgreSQL: once a key, whole after every history."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from wallet.banks import Said
from wallet.booking import Books, Instruction, Refused
from wallet.measures import API, Measures

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
WRONG = """
SELECT purse.id FROM purse LEFT JOIN purse_line ON purse_line.purse = purse.id
GROUP BY purse.id HAVING purse.balance <> coalesce(sum(amount), 0)
"""
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["TOP_UP", "WITHDRAWAL", "TRANSFER"]),
        st.integers(0, 2),
        st.integers(0, 2),
        st.integers(1, 500),
        st.sampled_from(list(Said)),
    ),
    max_size=25,
)


def instruction(kind: str, key: str, purse: str, amount: int, **more: str) -> Instruction:
    """Return an instruction in euros."""
    return Instruction(kind, key, purse, f"ref-{key}", amount, "EUR", **more)


async def top_up(books: Books, key: str, purse: str, amount: int) -> None:
    """Top a purse up."""
    order = await books.take(instruction("TOP_UP", key, purse, amount), "giro", NOW)
    assert order is not None
    await books.decide(order.id, Said.MOVED, NOW)


def rows(database: str, query: str) -> list[Any]:
    """Return the rows of a query."""
    engine = create_engine(database)
    with engine.connect() as connection:
        found = list(connection.execute(text(query)))
    engine.dispose()
    return found


async def test_a_key_counts_once_however_often_it_comes(books: Books, database: str) -> None:
    """Ten at once are one order; another instruction under the key is refused; the answer is kept."""
    purse = await books.open_purse("ada", "EUR")
    asked = instruction("TOP_UP", "key-1", purse, 700)
    taken = await asyncio.gather(*(books.take(asked, "giro", NOW) for _ in range(10)))
    (order,) = [one for one in taken if one is not None]
    assert await books.known_answer(asked) == {}
    answers = await asyncio.gather(*(books.decide(order.id, Said.MOVED, NOW) for _ in range(5)))
    assert [await books.known_answer(asked)] * 5 == answers
    with pytest.raises(Refused, match="another request"):
        await books.known_answer(instruction("TOP_UP", "key-1", purse, 701))
    assert rows(database, "SELECT amount FROM movement") == [(700,)]
    assert rows(database, f"SELECT balance FROM purse WHERE id = '{purse}'") == [(700,)]


async def test_what_a_bank_says_later_changes_nothing(books: Books, database: str) -> None:
    """A decided order stays as it is; silence decides nothing."""
    purse = await books.open_purse("ada", "EUR")
    order = await books.take(instruction("TOP_UP", "key-1", purse, 700), "giro", NOW)
    assert order is not None
    assert await books.decide(order.id, Said.SILENT, NOW) == {}
    assert [one.id for one in await books.unanswered(NOW + timedelta(seconds=1), 10)] == [order.id]
    assert await books.waiting(NOW + timedelta(seconds=9), timedelta(seconds=5)) == [("giro", "EUR", 1, 700)]
    assert (await books.decide(order.id, Said.FAILED, NOW))["state"] == "FAILED"
    assert (await books.decide(order.id, Said.MOVED, NOW))["state"] == "FAILED"
    assert rows(database, "SELECT * FROM movement") == []


async def test_a_withdrawal_holds_its_money_until_it_is_decided(books: Books) -> None:
    """So it cannot be spent twice; a refusal frees it, and so does a failure."""
    purse = await books.open_purse("ada", "EUR")
    await top_up(books, "key-1", purse, 1000)
    first = await books.take(instruction("WITHDRAWAL", "key-2", purse, 800), "giro", NOW)
    assert first is not None
    with pytest.raises(Refused, match="not enough"):
        await books.take(instruction("WITHDRAWAL", "key-3", purse, 300), "giro", NOW)
    with pytest.raises(Refused, match="not enough"):
        await books.transfer(instruction("TRANSFER", "key-4", purse, 300, other=purse), NOW)
    await books.decide(first.id, Said.REFUSED, NOW)
    assert await books.take(instruction("WITHDRAWAL", "key-5", purse, 1000), "giro", NOW) is not None


async def test_transfers_in_both_directions_do_not_wait_for_each_other(books: Books, database: str) -> None:
    """And no cent is made or lost."""
    one, two = await books.open_purse("ada", "EUR"), await books.open_purse("bob", "EUR")
    await top_up(books, "key-1", one, 5000)
    await top_up(books, "key-2", two, 5000)
    pairs = [(one, two), (two, one)] * 15
    async with asyncio.timeout(30):
        await asyncio.gather(
            *(
                books.transfer(instruction("TRANSFER", f"t-{n}", giver, 10 + n, other=taker), NOW)
                for n, (giver, taker) in enumerate(pairs)
            )
        )
    assert rows(database, "SELECT sum(balance), count(*) FROM purse WHERE balance > 0") == [(10_000, 2)]
    assert rows(database, WRONG) == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_every_purse_is_the_sum_of_its_movements(
    database: str, steps: list[tuple[str, int, int, int, Said]]
) -> None:
    """After every history, whatever banks said; nothing is below zero, and nothing decided is held."""
    asyncio.run(_play(database, steps))
    assert rows(database, WRONG) == []
    assert rows(database, "SELECT id FROM purse WHERE balance < held OR held < 0") == []
    held = "SELECT coalesce(sum(amount), 0) FROM bank_order WHERE kind = 'WITHDRAWAL' AND state = 'SENT'"
    assert rows(database, "SELECT coalesce(sum(held), 0) FROM purse") == rows(database, held)


async def _play(database: str, steps: list[tuple[str, int, int, int, Said]]) -> None:
    engine = create_async_engine(database)
    books = Books(async_sessionmaker(engine, expire_on_commit=False), Measures("wallet-api", ("giro",), API))
    async with engine.begin() as connection:
        await connection.execute(text("TRUNCATE movement, bank_order, purse, request_key"))
    purses = [await books.open_purse(name, "EUR") for name in ("ada", "bob", "cleo")]
    for number, (kind, purse, other, amount, said) in enumerate(steps):
        asked = instruction(kind, f"step-{number}", purses[purse], amount, other=purses[other])
        try:
            if kind == "TRANSFER":
                await books.transfer(asked, NOW)
            elif (order := await books.take(asked, "giro", NOW)) is not None:
                await books.decide(order.id, said, NOW)
        except Refused:
            continue
    await engine.dispose()
