"""What three witnesses find of changes in a ledger, and what is left to the SQL checks."""

import pytest
from tests.witnesses.conftest import OpenTeam
from tests.witnesses.teams import WALLETS

ROWS = "INSERT INTO wallet SELECT 'txn-x', NULL, 'APPLIED', "
MOVED = (
    "UPDATE balances SET amount = amount + {minor} "
    "WHERE account = (SELECT {side} FROM wallet WHERE id = '{id}')"
)
TRANSFER = "'@merchant-bakery-EUR', '@merchant-thief-EUR', 900, 'EUR', '2026-03-01 00:00Z'"
BALANCES = """
INSERT INTO balances SELECT account, sum(amount) FROM (
    SELECT destination AS account, amount FROM wallet WHERE status = 'APPLIED'
    UNION ALL SELECT source, -amount FROM wallet WHERE status = 'APPLIED') AS side GROUP BY account
"""


def moved(row: str, minor: str) -> tuple[str, str]:
    """Move an amount on both stored balances of a row, as who covers a change up does."""
    return (
        MOVED.format(minor=f"({minor})", side="destination", id=row),
        MOVED.format(minor=f"-({minor})", side="source", id=row),
    )


FOUND = {
    "row deleted": (
        (*moved("txn-1", "-1"), "DELETE FROM wallet WHERE id = 'txn-1'"),
        {"capture_without_posting", "acknowledged_lost"},
    ),
    "amount and both balances changed": (
        ("UPDATE wallet SET amount = amount + 500 WHERE id = 'txn-1'", *moved("txn-1", "500")),
        {"amount_differs"},
    ),
    "second posting, balances moved": (
        (
            f"{ROWS} kind, source, destination, amount, currency, created_at FROM wallet WHERE id = 'txn-1'",
            "INSERT INTO orders SELECT 'txn-x', provider, provider_key, reference, asked, merchant "
            "FROM orders WHERE hold = 'hold-1'",
            *moved("txn-x", "(SELECT amount FROM wallet WHERE id = 'txn-x')"),
        ),
        {"posted_twice"},
    ),
    "sale moved to another merchant": (
        ("UPDATE wallet SET destination = '@merchant-thief-' || currency WHERE id = 'txn-1'",),
        {"beneficiary_differs"},
    ),
    "sale moved to another merchant, and its order too": (
        (
            "UPDATE wallet SET destination = '@merchant-thief-' || currency WHERE id = 'txn-1'",
            "UPDATE orders SET merchant = 'thief' WHERE hold = 'hold-1'",
        ),
        {"beneficiary_differs"},
    ),
    "transfer between merchants": (
        (f"{ROWS} 'treasury', {TRANSFER}",),
        {"account_unexpected"},
    ),
    "transfer between merchants under a word of its own": (
        (f"{ROWS} 'gift', {TRANSFER}",),
        {"entry_kind_unknown"},
    ),
    "provider's key edited": (
        ("UPDATE orders SET provider_key = 'key-x' WHERE hold = 'hold-1'",),
        {"capture_without_posting", "posting_without_capture"},
    ),
}


@pytest.mark.parametrize("change", FOUND)
def test_what_witnesses_find(open_team: OpenTeam, change: str) -> None:
    """Each of these agrees with itself: zero sums, and balances that are sums."""
    statements, kinds = FOUND[change]
    shop = open_team(WALLETS)
    shop.execute(BALANCES, *statements)
    done = shop.audit("--json")
    assert (done.code, done.kinds & kinds) == (1, kinds)


def test_a_balance_is_left_to_the_sql_checks_and_said(open_team: OpenTeam) -> None:
    """One stored balance + 500: no witness reads balances, and the verdict says so."""
    shop = open_team(WALLETS)
    shop.execute(
        BALANCES, "UPDATE balances SET amount = amount + 500 WHERE account LIKE '@merchant-bakery-%'"
    )
    done = shop.judge()
    assert done.code == 0
    assert "whether a stored balance is the sum of its entries: balances are not read" in " ".join(
        done.verdict["cannot_know"]
    )
