"""Balances are derived from the lines, as of any instant, sealed or not."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refpay.ledger.entries import Entry, capture_entry, hold_entry
from refpay.ledger.errors import HistoryArchived
from refpay.money import MAXIMUM_MINOR, Currency

from .ledgers import Ledger, at, capture, movement

EXAMPLES = settings().max_examples // 12
SLOW = settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
SHOP, NORTH = "merchant_payable:shop", "provider_receivable:north"


def expected(entries: list[Entry], minutes: float) -> dict[tuple[str, str], int]:
    """Add up what was posted up to an instant."""
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        if entry.posted_at <= at(minutes):
            for line in entry.lines:
                totals[line.account, line.currency] += line.amount_minor
    return {key: total for key, total in totals.items() if total}


async def test_balances_are_what_the_lines_come_to(ledger: Ledger) -> None:
    """Per currency, before and after sealing, and beyond what 64 bits can count."""
    await ledger.post(capture(MAXIMUM_MINOR), capture(MAXIMUM_MINOR, 1), capture(5, 2, currency=Currency.JPY))
    wanted = {(SHOP, "EUR"): -2 * MAXIMUM_MINOR, (SHOP, "JPY"): -5}
    assert await ledger.balances(SHOP) == wanted
    await ledger.seal(2)
    await ledger.seal(2)
    assert await ledger.balances(SHOP) == wanted
    assert await ledger.balances("merchant_payable:nobody") == {}
    assert await ledger.balances() == {}


async def test_entries_of_any_length_are_written_together(ledger: Ledger) -> None:
    """Two lines and four in one statement: each line stays with its entry. No entry at all is allowed."""
    entries = [
        hold_entry(movement(7), at(0)),
        capture_entry(movement(7), at(1), release_minor=7),
        capture(5, 2),
    ]
    await ledger.post(*entries)
    await ledger.post()
    accounts = {line.account for entry in entries for line in entry.lines}
    assert await ledger.balances(*accounts) == expected(entries, 120)
    async with ledger.database.transaction() as connection:
        rows = await connection.fetch("SELECT id, accounts, currencies, amounts_minor FROM ledger.entry")
    assert {row["id"]: list(zip(*list(row)[1:], strict=True)) for row in rows} == {
        entry.id: [(line.account, line.currency, line.amount_minor) for line in entry.lines]
        for entry in entries
    }


async def test_a_name_that_would_be_two_is_refused(ledger: Ledger) -> None:
    """A name that contains the separator of lines is refused, not read as two names."""
    with pytest.raises(asyncpg.CheckViolationError):
        await ledger.post(capture(merchant="shop\x1fmerchant_payable:rival"))


@SLOW
@given(data=st.data())
async def test_history_is_exact_as_of_any_instant(
    make_ledger: Callable[[], AbstractAsyncContextManager[Ledger]], data: st.DataObject
) -> None:
    """In any order of writing and of clocks, across the end of a month, and partly sealed."""
    minutes = st.integers(0, 120)
    entries = [
        capture(amount, when, merchant=merchant)
        for amount, when, merchant in data.draw(
            st.lists(st.tuples(st.integers(1, 9), minutes, st.sampled_from(("shop", "rival"))), max_size=12)
        )
    ]
    async with make_ledger() as ledger:
        await ledger.make_partitions(at(0))
        for entry in entries:
            await ledger.post(entry)
            if data.draw(st.booleans()):
                await ledger.seal(data.draw(st.integers(1, 3)))
        accounts = (SHOP, "merchant_payable:rival", NORTH)
        for asked in data.draw(st.lists(minutes, min_size=1, max_size=5)):
            assert await ledger.balances(*accounts, as_of=at(asked)) == expected(entries, asked)
        assert await ledger.balances(*accounts) == expected(entries, 120)


async def test_holds_stand_apart_from_what_is_posted(ledger: Ledger) -> None:
    """A hold changes no posted balance, and the capture that releases it ends it."""
    await ledger.post(hold_entry(movement(900), at(0)))
    assert await ledger.balances(SHOP, NORTH) == {}
    assert await ledger.balances("hold_payable:shop", "hold_receivable:north") == {
        ("hold_payable:shop", "EUR"): -900,
        ("hold_receivable:north", "EUR"): 900,
    }
    await ledger.post(capture_entry(movement(900), at(1), release_minor=900))
    assert await ledger.balances("hold_payable:shop", "hold_receivable:north") == {}
    assert await ledger.balances(SHOP, NORTH) == {(SHOP, "EUR"): -900, (NORTH, "EUR"): 900}


async def test_an_instant_in_cold_storage_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    """Archived history is not taken for an empty one; later instants stay exact."""
    await ledger.make_partitions(at(0))
    await ledger.post(capture(1, 0), capture(2, 61))
    await ledger.seal()
    await ledger.archive(tmp_path, at(60 * 24 * 40))
    with pytest.raises(HistoryArchived, match="entry_2024_03"):
        await ledger.balances(SHOP, as_of=at(30))
    assert await ledger.balances(SHOP, as_of=at(60)) == {(SHOP, "EUR"): -1}
    assert await ledger.balances(SHOP) == {(SHOP, "EUR"): -3}


@pytest.mark.parametrize("year", [1, 1960, 1969, 1970])
async def test_before_there_was_a_ledger_nothing_had_moved(ledger: Ledger, year: int) -> None:
    """An instant before the first possible id has no balances, and not those of now."""
    await ledger.post(capture(1, 0))
    await ledger.seal()
    await ledger.post(capture(2, 1))
    assert await ledger.balances(SHOP, as_of=datetime(year, 1, 1, tzinfo=UTC)) == {}
    assert await ledger.balances(SHOP, as_of=datetime.max.replace(tzinfo=UTC)) == {(SHOP, "EUR"): -3}
