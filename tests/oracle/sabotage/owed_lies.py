"""Lies about whom the ledger owes."""

from moneypath.oracle import (
    PostingLine,
)

from ..world import (
    AUTHORIZE,
    CAPTURE,
    KIND,
    PAYOUT,
    REFUND,
    Rows,
    Step,
    kept_apart,
    paid,
    released,
    replace,
)
from .registry import SALES, SHOP, THIEF, UNCOVERED, book, entry, lines, sabotage, sales


@sabotage(*((KIND.BENEFICIARY_DIFFERS, sale) for sale in SALES), UNCOVERED)
def credits_every_sale_to_a_thief(rows: Rows) -> Rows:
    """Owe another merchant what was sold."""
    return lines(rows, sales, account=THIEF)


@sabotage(*((KIND.BENEFICIARY_DIFFERS, sale) for sale in SALES), UNCOVERED)
def credits_every_sale_to_a_thief_and_says_that_the_payment_is_the_thiefs(rows: Rows) -> Rows:
    """The ledger agrees with itself: as whom the client acted, the client knows."""
    rows = lines(rows, lambda line: line.entry_kind == "posting", merchant="thief")
    return lines(rows, sales, account=THIEF)


@sabotage(*((KIND.ACCOUNT_UNEXPECTED, sale) for sale in SALES), UNCOVERED)
def books_all_sales_as_fee_income(rows: Rows) -> Rows:
    """Owe nobody what was sold."""
    return lines(rows, sales, account="provider_fees:north")


@sabotage((KIND.ACCOUNT_UNEXPECTED, "steal"), (KIND.BENEFICIARY_DIFFERS, "steal"), UNCOVERED)
def moves_money_between_merchants_by_a_fee(rows: Rows) -> Rows:
    """A fee of 9,999.99 that no provider takes."""
    head = PostingLine("", "fee", "op", "north", "", "", "", "", "", "EUR", 0, 0.0)
    return entry(rows, "steal", "fee", (SHOP, 999_999), (THIEF, -999_999), head=head)


@sabotage((KIND.PAYOUT_EXCEEDS_PAYABLE, "p"))
def pays_out_before_anything_is_owed(rows: Rows) -> Rows:
    """It would be owed later."""
    early = ("payout",)
    return lines(
        lines(rows, lambda line: line.entry_kind in early, posted_at=-1.0),
        lambda line: line.entry_kind == "chargeback",
        posted_at=-2.0,
    )


@sabotage((KIND.PAYOUT_EXCEEDS_PAYABLE, "q"))
def pays_out_more_than_is_owed(rows: Rows) -> Rows:
    """The merchant asked for it, and both books have it."""
    return rows + Step("q", PAYOUT, minor=999_999, at=60.0).done().recorded()


@sabotage((KIND.PAYOUT_EXCEEDS_PAYABLE, "s"))
def pays_out_the_same_balance_twice(rows: Rows) -> Rows:
    """Two payouts at once, each within what was owed before them."""
    payouts = (Step("r", PAYOUT, minor=900, at=60.0), Step("s", PAYOUT, minor=900, at=60.5))
    return rows + sum((one.done() for one in payouts), Rows()).recorded()


@sabotage((KIND.BENEFICIARY_DIFFERS, "p"))
def pays_out_to_another_payee(rows: Rows) -> Rows:
    """The ledger says the merchant, the provider's book says who got it."""
    return book(rows, lambda one: one.operation is PAYOUT, beneficiary="thief")


@sabotage((KIND.BENEFICIARY_DIFFERS, "c"))
def takes_a_chargeback_from_another_merchant(rows: Rows) -> Rows:
    """Somebody else pays for the dispute."""
    disputed = ("chargeback",)
    return lines(rows, lambda line: line.entry_kind in disputed and line.account == SHOP, account=THIEF)


@sabotage((KIND.BENEFICIARY_DIFFERS, "a"))
def releases_suspense_to_another_merchant(rows: Rows) -> Rows:
    """Somebody else bears the late refund."""
    return lines(
        rows, lambda line: line.entry_kind == "suspense_release" and line.account == SHOP, account=THIEF
    )


@sabotage((KIND.POSTING_WITHOUT_CAPTURE, "z"), (KIND.REFUSED_BUT_CHARGED, "z"))
def releases_a_late_capture_to_its_merchant(rows: Rows) -> Rows:
    """The client was told that the capture failed; the card holder pays all the same."""
    late = Step("z", CAPTURE, key="late-z", at=50.0)
    done = Step("z", AUTHORIZE, at=49.0).done() + kept_apart(late) + released(late)
    return rows + done.recorded()


@sabotage(
    (KIND.POSTING_WITHOUT_CAPTURE, "z"),
    (KIND.REFERENCE_CHARGED_TWICE, "z"),
    (KIND.REFUSED_BUT_CHARGED, "z"),
)
def captures_twice_and_releases_the_second_from_suspense(rows: Rows) -> Rows:
    """The card holder pays twice and the merchant is owed both; of the second the client was told no."""
    late = Step("z", CAPTURE, key="late-z", at=50.0)
    return rows + (paid("z") + kept_apart(late) + released(late)).recorded()


@sabotage((KIND.POSTING_WITHOUT_CAPTURE, "d"))
def lets_a_merchant_bear_the_refund_of_a_late_capture(rows: Rows) -> Rows:
    """The card holder has the money back, the merchant never had it and pays it once more."""
    undo = Step("d", REFUND, key="undo-late", of="late", at=33.0)
    return replace(rows, postings=rows.postings + released(undo).postings)


@sabotage((KIND.BENEFICIARY_DIFFERS, "a"))
def splits_a_sale_between_two_merchants(rows: Rows) -> Rows:
    """The sum is right."""
    first = next(line for line in rows.postings if sales(line))
    parts = (replace(first, amount_minor=-600), replace(first, amount_minor=-400, account=THIEF))
    others = (line for line in rows.postings if line is not first)
    return replace(rows, postings=(*others, *parts))
