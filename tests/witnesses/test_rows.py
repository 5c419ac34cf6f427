"""A row that says nothing, or what is not declared, is reported with its name and never passes in silence."""

import pytest
from tests.witnesses.conftest import OpenTeam
from tests.witnesses.teams import CLASSIC, EXPORT, WALLETS

LEDGER = {
    "no id": ("SET id = NULL WHERE id = 'txn-t'", "name_missing", "row "),
    "no amount": ("SET amount = NULL WHERE id = 'txn-1'", "amount_invalid", "txn-1"),
    "not a number": ("SET amount = 'NaN' WHERE id = 'txn-1'", "amount_invalid", "txn-1"),
    "below zero": ("SET amount = -amount WHERE id = 'txn-1'", "amount_invalid", "txn-1"),
    "no kind": ("SET kind = NULL WHERE id = 'txn-t'", "entry_kind_unknown", "txn-t"),
    "another kind": ("SET kind = 'gift' WHERE id = 'txn-t'", "entry_kind_unknown", "txn-t"),
    "the oracle's own word": ("SET kind = 'fee' WHERE id = 'txn-t'", "entry_kind_unknown", "txn-t"),
    "no account": ("SET source = NULL WHERE id = 'txn-1'", "account_unexpected", "txn-1"),
    "another account": ("SET source = '@pocket' WHERE id = 'txn-1'", "account_unexpected", "txn-1"),
    "an account of two roles": ("SET source = '@merchant-a-@treasury-b' WHERE id = 'txn-t'", "", ""),
    "no currency": ("SET currency = NULL WHERE id = 'txn-t'", "currency_undeclared", "txn-t"),
    "another currency": ("SET currency = 'DOGE' WHERE id = 'txn-t'", "currency_undeclared", "txn-t"),
    "no time": ("SET created_at = NULL WHERE id = 'txn-t'", "time_invalid", "txn-t"),
    "a time without end": ("SET created_at = 'infinity' WHERE id = 'txn-t'", "time_invalid", "txn-t"),
}


@pytest.mark.parametrize("row", LEDGER)
def test_rows_of_a_ledger(open_team: OpenTeam, row: str) -> None:
    """One row among many, each found under the name of its entry."""
    change, kind, name = LEDGER[row]
    shop = open_team(WALLETS)
    shop.edit("other: '^@treasury-'", "other: '@treasury-'")
    shop.execute(f"UPDATE wallet {change}")
    done = shop.judge()
    assert done.code == 1
    said = [*done.verdict["discrepancies"], *done.verdict["faults"]]
    assert [one for one in said if one["kind"] == (kind or "account_unexpected") and name in str(one)]


BOOK = {
    "no key": ("SET idempotency_key = NULL WHERE id = 'prov-1'", "name_missing"),
    "another kind": ("SET type = 'bonus' WHERE id = 'txfer'", "kind_undeclared"),
    "a charge below zero": ("SET gross = -gross WHERE id = 'prov-1'", "amount_invalid"),
    "no amount": ("SET gross = NULL WHERE id = 'prov-1'", "amount_invalid"),
    "another currency": ("SET currency = 'DOGE' WHERE id = 'prov-1'", "currency_undeclared"),
    "no time": ("SET created = NULL WHERE id = 'prov-1'", "time_invalid"),
    "a dispute without a case": ("SET id = NULL WHERE type = 'adjustment'", "name_missing"),
    "more given back than taken": ("SET gross = -10000000 WHERE type = 'refund'", "refund_exceeds_capture"),
    "more disputed than taken": ("SET gross = -1e7 WHERE type = 'adjustment'", "chargeback_exceeds_capture"),
}


@pytest.mark.parametrize("row", BOOK)
def test_rows_of_a_book(open_team: OpenTeam, row: str) -> None:
    """As for the ledger; what goes back may be written with a minus, what comes in may not."""
    change, kind = BOOK[row]
    shop = open_team(EXPORT)
    shop.execute(f"UPDATE balance_transactions {change}")
    done = shop.judge()
    assert (done.code, kind in done.kinds) == (1, True)


def test_a_status_that_is_not_declared_is_reported(open_team: OpenTeam) -> None:
    """And one that says that nothing moved leaves the entry without a charge."""
    shop = open_team(WALLETS)
    shop.execute("UPDATE book SET status = 'perhaps' WHERE key = 'key-1'")
    assert shop.judge().kinds == {"word_undeclared"}
    shop.execute("UPDATE book SET status = 'no' WHERE key = 'key-1'")
    assert {"posting_without_capture", "acknowledged_lost"} <= shop.judge().kinds


ANSWERS = {
    "no key": ('"idempotency_key": "ask-1", ', "", "name_missing"),
    "another kind": ('"kind": "capture"', '"kind": "gift"', "kind_undeclared"),
    "another outcome": ('"outcome": "succeeded"', '"outcome": "fine"', "word_undeclared"),
    "another currency": ('"currency": "ETH"', '"currency": "DOGE"', "currency_undeclared"),
    "no time": ('"at": "2026-03-01T00:00:00+00:00"', '"at": "today"', "time_invalid"),
    "a time without an offset": (
        '"at": "2026-03-01T00:00:00+00:00"',
        '"at": "2026-03-01T00:00:00"',
        "time_invalid",
    ),
    "a fraction": ('"amount": ', '"amount": 0.4e', "amount_invalid"),
    "below zero": ('"amount": ', '"amount": -', "amount_invalid"),
}


@pytest.mark.parametrize("row", ANSWERS)
def test_rows_of_answers(open_team: OpenTeam, row: str) -> None:
    """Each line says what the caller was told; the first of them is spoilt."""
    old, new, kind = ANSWERS[row]
    shop = open_team(WALLETS)
    file = shop.folder / "answers.jsonl"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    assert kind in shop.judge().kinds


def test_amounts_beyond_63_bits_are_compared_to_the_last_digit(open_team: OpenTeam) -> None:
    """Eighteen digits after the point, and more before it than any integer column holds."""
    shop = open_team(CLASSIC)
    huge = 10**40 + 1
    shop.execute(
        "INSERT INTO journal VALUES (900, 'INV', 'north', 'key-h', 'order-h', 'ask-h', 'bakery', 'ETH', "
        "'2026-03-01 00:00Z')",
        f"INSERT INTO journal_line VALUES (900, '1200-north', {huge} * 1e-18)",
        f"INSERT INTO journal_line VALUES (900, '2100-bakery', -{huge} * 1e-18)",
        f"INSERT INTO book VALUES ('north', 'key-h', 'charge', 'order-h', {huge}, 'ETH', 'ok', 'prov-h', "
        "NULL, '2026-03-01 00:00Z')",
    )
    shop.edit("answers: client_log, ", "")
    assert shop.judge().code == 0
    shop.execute("UPDATE book SET amount = amount - 1 WHERE key = 'key-h'")
    (found,) = shop.judge().verdict["discrepancies"]
    assert (found["kind"], found["amount"]) == ("amount_differs", "1")


def test_an_entry_without_lines_shows(open_team: OpenTeam) -> None:
    """The journal has it, its lines are gone: an outer join leaves account and amount empty."""
    shop = open_team(CLASSIC)
    shop.execute("DELETE FROM journal_line WHERE journal_id = 1")
    assert {"entry_unbalanced", "amount_differs"} <= shop.judge().kinds


def test_one_leg_lost_is_found(open_team: OpenTeam) -> None:
    """Debits without credits, in the entry and in the currency."""
    shop = open_team(CLASSIC)
    shop.execute("DELETE FROM journal_line WHERE journal_id = 1 AND account ~ '^2100'")
    assert {"entry_unbalanced", "currency_unbalanced"} <= shop.judge().kinds
