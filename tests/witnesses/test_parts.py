"""Many rows are audited in parts by two processes, and what is found is the same."""

import pytest
from tests.witnesses.business import trade
from tests.witnesses.conftest import OpenTeam, Shop
from tests.witnesses.teams import CLASSIC, TEAMS, WALLETS, Team

from moneypath.witnesses import AuditVerdict, Window, load_witnesses, reconcile

pytestmark = pytest.mark.heavy


def compare(shop: Shop, rows_in_memory: int) -> AuditVerdict:
    declared = load_witnesses(shop.file)
    one = declared.reconcile[0]
    return reconcile(declared, one, shop.folder, Window(), rows_in_memory=rows_in_memory)


@pytest.mark.parametrize("team", TEAMS, ids=lambda team: team.name)
@pytest.mark.parametrize("change", ["", "wrong"])
def test_what_is_found_in_parts_is_what_is_found_at_once(
    open_team: OpenTeam, team: Team, change: str
) -> None:
    """The same rules and checks reach the processes that audit the parts."""
    shop = open_team(team, trade(3, 8))
    if change:
        shop.execute(team.changes[change])
    at_once, in_parts = compare(shop, 10**6), compare(shop, 10)
    assert set(at_once.discrepancies) == set(in_parts.discrepancies)
    assert at_once.totals == in_parts.totals
    assert (at_once.unknown, at_once.result) == (in_parts.unknown, in_parts.result)
    assert at_once.found > 0 if change else at_once.found == 0


@pytest.mark.parametrize("missing", ["books: [provider_book], ", "answers: client_log, "])
def test_in_parts_a_witness_may_be_missing_too(open_team: OpenTeam, missing: str) -> None:
    """Its checks are left out there as well."""
    shop = open_team(WALLETS)
    shop.edit(missing, "")
    assert compare(shop, 10).found == 0


def test_two_keys_of_one_name_in_two_parts_are_found(open_team: OpenTeam) -> None:
    """One idempotency key that posted two orders, whatever parts they are in."""
    shop = open_team(CLASSIC)
    shop.execute("UPDATE journal SET asked = 'ask-1' WHERE type = 'INV'")
    at_once, in_parts = compare(shop, 10**6), compare(shop, 10)
    kinds = {one.kind for one in at_once.discrepancies}
    assert "key_charged_twice" in kinds
    assert kinds == {one.kind for one in in_parts.discrepancies}
