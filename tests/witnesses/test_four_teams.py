"""Four ledgers that are not ours: whole when they are, and each spoilt unit is found."""

import pytest
from tests.witnesses.business import trade
from tests.witnesses.conftest import OpenTeam
from tests.witnesses.teams import CHANGES, EXPORT, TEAMS, Team

EACH = pytest.mark.parametrize("team", TEAMS, ids=lambda team: team.name)
# What says that it was this unit, and not another.
FOUND = {
    "lost": {"capture_without_posting", "acknowledged_lost", "posting_without_capture"},
    "doubled": {"posted_twice", "key_charged_twice"},
    "wrong": {"amount_differs"},
    "re-addressed": {"beneficiary_differs", "posting_without_capture"},
    "fractional": {"amount_invalid"},
}


@EACH
@pytest.mark.parametrize("seed", [1, 2])
def test_a_whole_ledger_is_whole(open_team: OpenTeam, team: Team, seed: int) -> None:
    """Sales, refunds, disputes and payouts in three currencies, one with eighteen digits."""
    done = open_team(team, trade(seed)).judge()
    assert (done.code, done.verdict["discrepancies"], done.verdict["faults"]) == (0, [], [])
    money = {(one["operation"], one["currency"]) for one in done.verdict["money"]}
    assert {operation for operation, _ in money} == {"capture", "refund", "payout", "chargeback"}
    assert {currency for _, currency in money} == {"EUR", "KWD", "ETH"}
    for one in done.verdict["money"]:
        assert one["posted"] == one["in_the_books"]
        assert one["acknowledged"] == ("0" if one["operation"] == "chargeback" else one["posted"])


@EACH
@pytest.mark.parametrize("change", CHANGES)
def test_a_spoilt_unit_is_found(open_team: OpenTeam, team: Team, change: str) -> None:
    """Lost, doubled, wrong, re-addressed, or a fraction: of one sale among many."""
    shop = open_team(team)
    shop.execute(team.changes[change])
    done = shop.judge()
    assert done.code == 1
    assert done.kinds & FOUND[change]
    assert "order-0" in {one["subject"] for one in done.verdict["discrepancies"]}


@pytest.mark.parametrize("plus", [1, -1])
def test_a_fee_that_the_provider_did_not_keep_is_found(open_team: OpenTeam, plus: int) -> None:
    """Its rows state gross, fee and net; the ledger books what it keeps of each sale."""
    shop = open_team(EXPORT)
    unknown = shop.judge().verdict["cannot_know"]
    assert not any("fees" in text for text in unknown)
    shop.execute(f"UPDATE balance_transactions SET fee = fee + {plus} WHERE id = 'prov-1'")
    done = shop.judge()
    (found,) = done.verdict["discrepancies"]
    assert (done.code, found["kind"], found["amount"]) == (1, "fee_differs", "1")


def test_a_fee_that_is_no_amount_is_found(open_team: OpenTeam) -> None:
    """A fraction of the smallest unit, and nothing at all."""
    shop = open_team(EXPORT)
    shop.execute("UPDATE balance_transactions SET fee = NULL WHERE id = 'prov-1'")
    assert "amount_invalid" in shop.judge().kinds
