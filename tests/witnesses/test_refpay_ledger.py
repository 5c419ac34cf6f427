"""refpay's own ledger, declared as any other: whole when it is, and each spoilt unit is found."""

import pytest
from tests.oracle.wider_world import wider_world
from tests.oracle.world import whole_world
from tests.witnesses.conftest import OpenTeam
from tests.witnesses.refpay_shape import open_refpay

ENTRY = "entry_id = 'entry-capture-a'"
CHANGES = {
    "lost": (f"DELETE FROM lines WHERE {ENTRY}", "capture_without_posting"),
    "doubled": (
        "INSERT INTO lines SELECT 'again', " + ", ".join(
            ("entry_kind", "operation_id", "provider", "provider_key", "payment_id", "merchant_reference",
             "idempotency_key", "account", "currency", "amount_minor", "posted_at", "merchant", "report",
             "misstated")
        ) + f" FROM lines WHERE {ENTRY}", "posted_twice",
    ),
    "wrong": (
        "UPDATE lines SET amount_minor = (amount_minor::numeric + sign(amount_minor::numeric))::text "
        f"WHERE {ENTRY}",
        "amount_differs",
    ),
    "re-addressed": (
        f"UPDATE lines SET account = 'merchant_payable:thief' WHERE {ENTRY} AND account ~ 'payable'",
        "beneficiary_differs",
    ),
    "fractional": (f"UPDATE lines SET amount_minor = amount_minor || '.4' WHERE {ENTRY}", "amount_invalid"),
}  # fmt: skip


def test_a_whole_ledger_is_whole(open_team: OpenTeam) -> None:
    """Authorizations, partial captures, disputes won back, suspense, fees and exchanges among it."""
    done = open_refpay(open_team, whole_world()).judge()
    assert (done.code, done.verdict["discrepancies"], done.verdict["faults"]) == (0, [], [])


def test_holds_are_no_money(open_team: OpenTeam) -> None:
    """Holds, and captures that end them in the same entry."""
    done = open_refpay(open_team, wider_world()).judge()
    assert (done.code, done.verdict["discrepancies"], done.verdict["faults"]) == (0, [], [])


@pytest.mark.parametrize("change", CHANGES)
def test_a_spoilt_unit_is_found(open_team: OpenTeam, change: str) -> None:
    """As in the ledgers of others."""
    statement, kind = CHANGES[change]
    shop = open_refpay(open_team, whole_world())
    shop.execute(statement)
    done = shop.judge()
    assert (done.code, kind in done.kinds) == (1, True)


def test_what_stays_in_suspense_is_found(open_team: OpenTeam) -> None:
    """A late capture that is neither posted nor given back."""
    shop = open_refpay(open_team, whole_world())
    shop.execute("DELETE FROM charges WHERE reference = 'd' AND kind = 'refund'")
    assert shop.judge().code == 1
