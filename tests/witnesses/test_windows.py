"""An audit of a window judges what happened in it; what is under way at its edge is no discrepancy."""

from tests.witnesses.business import trade
from tests.witnesses.conftest import Audited, OpenTeam, Shop
from tests.witnesses.teams import EXPORT, PAYMENTS, WALLETS

# Sales are a minute apart from midnight on; the third is made at 00:02:00.
SINCE, UNTIL = ("--since", "2026-03-01T00:01:30Z"), ("--until", "2026-03-01T00:05:30Z")


def window(shop: Shop) -> Audited:
    """Audit four minutes in the middle, with a margin of one."""
    return shop.audit("--json", *SINCE, *UNTIL)


def test_a_window_is_whole_where_records_lie_on_both_sides_of_its_edges(open_team: OpenTeam) -> None:
    """The ledger posts 40 s after the book has it: sales straddle both edges."""
    shop = open_team(WALLETS)
    shop.execute("UPDATE wallet SET created_at = created_at + interval '40 s'")
    done = window(shop)
    assert (done.code, done.verdict["discrepancies"]) == (0, [])
    assert all(one["not_judged"] > 0 for one in done.verdict["witnesses"])
    assert any("came before the window" in text for text in done.verdict["cannot_know"])


def test_a_margin_that_is_too_short_shows(open_team: OpenTeam) -> None:
    """The twin: with a margin of ten seconds the same sales have no counterpart."""
    shop = open_team(WALLETS)
    shop.execute("UPDATE wallet SET created_at = created_at + interval '40 s'")
    shop.edit("settle: 1m", "settle: 10s")
    assert window(shop).code == 1


def test_what_is_lost_within_is_found_and_what_is_lost_outside_is_not(open_team: OpenTeam) -> None:
    """Each window answers for itself, so that all of them together answer for everything."""
    shop = open_team(WALLETS)
    events = trade(7)
    inside = next(one for one in events if one.order == "order-3" and one.kind == "capture")
    outside = next(one for one in events if one.order == "order-9" and one.kind == "capture")
    shop.execute(f"DELETE FROM wallet WHERE id = 'txn-{outside.number}'")
    assert window(shop).code == 0
    shop.execute(f"DELETE FROM wallet WHERE id = 'txn-{inside.number}'")
    done = window(shop)
    assert done.code == 1
    assert {one["subject"] for one in done.verdict["discrepancies"]} == {"order-3"}


def test_what_lies_in_the_margin_is_left_to_the_next_window(open_team: OpenTeam) -> None:
    """A sale that was lost there is found once, by the window that it belongs to."""
    shop = open_team(WALLETS)
    lost = next(one for one in trade(7) if one.order == "order-6" and one.kind == "capture")
    shop.execute(f"DELETE FROM wallet WHERE id = 'txn-{lost.number}'")
    assert window(shop).code == 0
    later = shop.audit("--json", "--since", UNTIL[1], "--until", "2026-03-01T00:09:30Z")
    assert {one["subject"] for one in later.verdict["discrepancies"]} == {"order-6"}


def test_a_refund_of_an_earlier_sale_is_no_discrepancy(open_team: OpenTeam) -> None:
    """What it gives back was taken before the window, and is said to be unknown."""
    shop = open_team(WALLETS)
    shop.execute("UPDATE wallet SET created_at = '2026-03-01 00:04Z' WHERE kind IN ('refund', 'chargeback')",
        "UPDATE book SET at = '2026-03-01 00:04Z' WHERE kind IN ('refund', 'dispute')")  # fmt: skip
    shop.edit("answers: client_log, ", "")
    assert window(shop).code == 0


def test_rows_without_a_time_are_read_in_every_window(open_team: OpenTeam) -> None:
    """A row that no window has would be in none of them."""
    shop = open_team(WALLETS)
    shop.execute("UPDATE wallet SET created_at = NULL WHERE id = 'txn-1'")
    done = window(shop)
    assert (done.code, "time_invalid" in done.kinds) == (1, True)


def test_times_that_are_texts_have_their_windows_too(open_team: OpenTeam) -> None:
    """The server cannot choose these rows, so they are chosen after they were read."""
    done = window(open_team(PAYMENTS))
    assert (done.code, done.verdict["discrepancies"]) == (0, [])
    ledger = done.verdict["witnesses"][0]
    assert 0 < ledger["not_judged"] < ledger["rows"]


def test_what_is_younger_than_the_settle_time_is_not_judged(open_team: OpenTeam) -> None:
    """Without --until the audit ends at its own time less the margin: a sale of the future is counted."""
    shop = open_team(WALLETS)
    shop.execute(
        "INSERT INTO orders VALUES ('txn-f', 'north', 'key-f', 'order-f', 'ask-f', 'bakery')",
        "INSERT INTO wallet VALUES ('txn-f', NULL, 'APPLIED', 'capture', '@north-EUR', "
        "'@merchant-bakery-EUR', 100, 'EUR', now() + interval '30 s')",
    )
    done = shop.audit("--json")
    assert (done.code, done.verdict["witnesses"][0]["not_judged"]) == (0, 1)


def test_a_payout_of_what_was_earned_before_the_window_is_no_discrepancy(open_team: OpenTeam) -> None:
    """What is owed was credited before; whether it covers the payout is said to be unknown."""
    done = open_team(WALLETS).audit("--json", "--since", "2026-03-01T12:00Z", "--until", "2026-03-03T00:00Z")
    assert (done.code, done.verdict["discrepancies"]) == (0, [])
    assert {one["operation"] for one in done.verdict["money"]} == {"payout"}


def test_fees_are_compared_over_everything_only(open_team: OpenTeam) -> None:
    """An edge cuts what the ledger has of a fee off from what the provider kept."""
    shop = open_team(EXPORT)
    shop.execute("UPDATE journal SET posted_at = posted_at + interval '40 s'")
    done = shop.audit("--json", *UNTIL)
    assert (done.code, done.verdict["discrepancies"]) == (0, [])
    assert any("providers' fees" in text for text in done.verdict["cannot_know"])


def test_a_window_in_which_nothing_lies_proves_nothing(open_team: OpenTeam) -> None:
    """Rows of the margin are counterparts alone: with none inside, nothing was compared."""
    shop = open_team(WALLETS)
    between = ("--since", "2026-03-01T00:01:30Z", "--until", "2026-03-01T00:01:31Z")
    done = shop.audit("--json", *between)
    assert (done.code, done.verdict["result"], done.verdict["discrepancies"]) == (3, "inconclusive", [])
    assert all(one["rows"] for one in done.verdict["witnesses"])
    assert len(done.verdict["nothing_to_compare"]) == 3
