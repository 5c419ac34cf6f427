"""A witness may be missing: what two of them show is found, and the rest is said to be unknown."""

import json

import pytest
from tests.witnesses.conftest import OpenTeam, Shop
from tests.witnesses.teams import CLASSIC, PAYMENTS, WALLETS

WITHOUT = {
    "ledger": ("ledger: wallet_rows, ", "whether anything was posted"),
    "book": ("books: [provider_book], ", "whether a provider moved what the ledger says"),
    "answers": ("answers: client_log, ", "whether anybody asked for what was moved"),
}


def without(shop: Shop, witness: str) -> Shop:
    """Take one of the three out of the comparison."""
    shop.edit(WITHOUT[witness][0], "")
    return shop


@pytest.mark.parametrize("missing", WITHOUT)
def test_the_rest_is_whole_and_the_verdict_says_what_it_cannot_know(
    open_team: OpenTeam, missing: str
) -> None:
    """Nothing of the missing witness is held against the others."""
    done = without(open_team(WALLETS), missing).judge()
    assert (done.code, done.verdict["discrepancies"]) == (0, [])
    assert len(done.verdict["witnesses"]) == 2
    assert any(WITHOUT[missing][1] in text for text in done.verdict["cannot_know"])
    assert not any(WITHOUT[other][1] in text for other in WITHOUT.keys() - {missing} for text in
        done.verdict["cannot_know"])  # fmt: skip


LEDGER_CHANGES = {
    ("book", "lost"): "acknowledged_lost",
    ("book", "doubled"): "posted_twice",
    ("book", "wrong"): "amount_differs",
    ("book", "re-addressed"): "beneficiary_differs",
    ("book", "fractional"): "amount_invalid",
    ("answers", "lost"): "capture_without_posting",
    ("answers", "doubled"): "posted_twice",
    ("answers", "wrong"): "amount_differs",
    ("answers", "re-addressed"): "beneficiary_differs",
    ("answers", "fractional"): "amount_invalid",
}


@pytest.mark.parametrize(("missing", "change"), LEDGER_CHANGES)
def test_a_spoilt_unit_is_found_by_either_of_the_others(
    open_team: OpenTeam, missing: str, change: str
) -> None:
    """The ledger against the book alone, and against the answers alone."""
    shop = without(open_team(WALLETS), missing)
    shop.execute(WALLETS.changes[change])
    done = shop.judge()
    assert (done.code, LEDGER_CHANGES[missing, change] in done.kinds) == (1, True)


BOOK_CHANGES = {
    "DELETE FROM book WHERE key = 'key-1'": "acknowledged_lost",
    "UPDATE book SET amount = amount + 1 WHERE key = 'key-1'": "amount_differs",
    "UPDATE book SET currency = 'KWD' WHERE key = 'key-1' AND currency <> 'KWD'": "currency_differs",
    "INSERT INTO book SELECT * FROM book WHERE key = 'key-1'": "key_charged_twice",
    "INSERT INTO book SELECT provider, 'key-x', kind, 'order-x', amount, currency, status, 'prov-x', parent, "
    "at FROM book WHERE key = 'key-1'": "moved_unasked",
    "UPDATE book SET status = 'ok' WHERE key = 'key-0'": "refused_but_charged",
    "UPDATE book SET amount = amount + 0.4 WHERE key = 'key-1'": "amount_invalid",
}


@pytest.mark.parametrize("statement", BOOK_CHANGES)
def test_without_a_ledger_answers_are_held_against_the_book(open_team: OpenTeam, statement: str) -> None:
    """What was promised and not done, done otherwise, twice, unasked, or after a no."""
    shop = without(open_team(WALLETS), "ledger")
    shop.execute(statement)
    done = shop.judge()
    assert (done.code, BOOK_CHANGES[statement] in done.kinds) == (1, True)


def test_without_a_book_a_posting_after_a_no_and_one_unasked_are_found(open_team: OpenTeam) -> None:
    """A declined order that the ledger posts, and an entry that no caller knows."""
    shop = without(open_team(WALLETS), "book")
    shop.execute(
        "INSERT INTO orders VALUES ('txn-n', 'north', 'key-0', 'order-no', 'ask-0', 'bakery'), "
        "('txn-u', 'north', 'key-u', 'order-u', 'ask-u', 'bakery')",
        "INSERT INTO wallet SELECT name, NULL, 'APPLIED', 'capture', '@north-EUR', "
        "'@merchant-bakery-EUR', 100, 'EUR', '2026-03-01 00:00:30Z' "
        "FROM unnest(ARRAY['txn-n', 'txn-u']) AS name",
    )
    done = shop.judge()
    found = {(one["kind"], one["subject"]) for one in done.verdict["discrepancies"]}
    assert {("refused_but_charged", "order-no"), ("moved_unasked", "order-u")} <= found


def test_another_currency_than_the_caller_was_told_is_found_without_a_book(open_team: OpenTeam) -> None:
    """The answers say EUR, KWD or ETH; the ledger posts another one."""
    shop = without(open_team(WALLETS), "book")
    shop.execute("UPDATE wallet SET currency = CASE currency WHEN 'EUR' THEN 'KWD' ELSE 'EUR' END "
        "WHERE id = 'txn-1'")  # fmt: skip
    assert "currency_differs" in shop.judge().kinds


def test_a_single_sided_ledger_claims_no_zero_sum(open_team: OpenTeam) -> None:
    """Both sides come from one row, so that they sum to zero proves nothing."""
    unknown = open_team(PAYMENTS).judge().verdict["cannot_know"]
    assert any(text.startswith("whether the ledger sums to zero") for text in unknown)
    unknown = open_team(CLASSIC).judge().verdict["cannot_know"]
    assert not any("sums to zero" in text for text in unknown)


def test_a_ledger_that_does_not_name_beneficiaries_has_that_said(open_team: OpenTeam) -> None:
    """Then the account alone says whom we owe, and only answers can contradict it."""
    shop = open_team(WALLETS)
    query = shop.folder / "sql" / "ledger.sql"
    query.write_text(query.read_text().replace("orders.merchant AS beneficiary, ", ""), encoding="utf-8")
    shop.execute(WALLETS.changes["re-addressed"])
    assert "beneficiary_differs" in shop.judge().kinds
    shop.edit("answers: client_log, ", "")
    assert shop.judge().kinds == {"payout_exceeds_payable"}
    shop.execute("DELETE FROM wallet WHERE kind = 'payout'", "DELETE FROM book WHERE kind = 'payout'")
    done = shop.judge()
    assert done.code == 0
    assert any("nothing but the account names one" in text for text in done.verdict["cannot_know"])


def test_of_empty_witnesses_nothing_is_proven(open_team: OpenTeam) -> None:
    """No contradiction between nothing and nothing is no proof."""
    shop = open_team(WALLETS)
    shop.execute("TRUNCATE wallet, book")
    (shop.folder / "answers.jsonl").write_text("")
    done = shop.judge()
    assert (done.code, done.verdict["result"]) == (3, "inconclusive")
    assert done.verdict["nothing_to_compare"] == ["wallet_rows", "provider_book", "client_log"]


def test_the_sentences_name_rows_money_and_what_is_unknown(open_team: OpenTeam) -> None:
    """What a person reads: compared, found with a bound, unknown."""
    shop = open_team(WALLETS)
    shop.execute("DELETE FROM wallet WHERE kind = 'capture' AND status = 'APPLIED'",
        "INSERT INTO wallet SELECT 'odd-' || n, NULL, 'APPLIED', 'odd', 'x', 'y', 1, 'EUR', "
        "'2026-03-01 00:00Z' FROM generate_series(1, 30) AS n")  # fmt: skip
    said = shop.audit("--until", "2027-01-01T00:00:00Z").output
    assert "all: NOT WHOLE, " in said
    assert "compared: wallet_rows: " in said
    assert " of no_money not compared" in said
    assert "entry_kind_unknown: 30" in said
    assert said.count("\n  - ") == 21
    assert "cannot know: " in said
    assert json.loads(shop.judge().output)["audits"][0]["found"] > 40
