"""Lies in the form of an entry: its kind, accounts, amounts and names."""

from ..world import KIND, Rows, altered, replace, scaled
from .registry import SHOP, THIEF, entry, lines, sabotage, sales


@sabotage((KIND.ENTRY_KIND_UNKNOWN, "a"), (KIND.BENEFICIARY_DIFFERS, "a"))
def books_an_entry_of_an_unknown_kind(rows: Rows) -> Rows:
    """It balances, and nobody has a rule for it."""
    return entry(rows, "odd", "adjustment", (SHOP, 500), (THIEF, -500))


@sabotage((KIND.ACCOUNT_UNEXPECTED, "a"))
def parks_money_on_an_account_of_its_own(rows: Rows) -> Rows:
    """There and back on an account that no entry touches."""
    first = rows.postings[0]
    there = (replace(first, account="drawer:north", amount_minor=minor) for minor in (77, -77))
    return replace(rows, postings=(*rows.postings, *there))


@sabotage((KIND.ACCOUNT_UNEXPECTED, "a"), (KIND.AMOUNT_DIFFERS, "a"))
def books_what_one_provider_owes_on_the_other(rows: Rows) -> Rows:
    """The sum over all providers is right."""
    where = ("a", "provider_receivable:north")
    return lines(
        rows,
        lambda line: line.entry_kind == "posting" and (line.merchant_reference, line.account) == where,
        account="provider_receivable:south",
    )


@sabotage((KIND.ENTRY_UNBALANCED, "a"))
def parks_a_part_of_a_sale_on_a_hold(rows: Rows) -> Rows:
    """The entry balances, and the merchant is owed less: a hold is a promise of nothing here."""
    return _moved_to_hold(rows, 400)


@sabotage((KIND.ENTRY_UNBALANCED, "a"))
def credits_a_merchant_out_of_a_hold(rows: Rows) -> Rows:
    """The merchant is owed five thousand more than anybody paid, and may have it paid out."""
    return _moved_to_hold(rows, -500_000)


@sabotage((KIND.AMOUNT_INVALID, "a"))
def rounds_four_tenths_away(rows: Rows) -> Rows:
    """0.4 and -0.4 of a minor unit on top of a good entry."""
    first, second = rows.postings[:2]
    tenths = (
        replace(first, amount_minor=0, misstated="0.4"),
        replace(second, amount_minor=0, misstated="-0.4"),
    )
    return replace(rows, postings=(*rows.postings, *tenths))


@sabotage((KIND.AMOUNT_INVALID, "a"))
def hides_a_line_without_an_amount(rows: Rows) -> Rows:
    """A null counts as nothing in every sum."""
    return replace(
        rows, postings=(*rows.postings, replace(rows.postings[0], amount_minor=0, misstated="null"))
    )


@sabotage((KIND.AMOUNT_DIFFERS, "a"))
def posts_more_than_63_bits_hold(rows: Rows) -> Rows:
    """Both sides agree on 2^70."""
    mine = [line for line in rows.postings if line.entry_id == "entry-capture-a"]
    others = tuple(line for line in rows.postings if line.entry_id != "entry-capture-a")
    return replace(rows, postings=(*others, *altered(mine, scaled(2**70))))


@sabotage((KIND.AMOUNT_DIFFERS, "a"))
def adds_another_currency_to_a_sale(rows: Rows) -> Rows:
    """Right in euros, and 500 dollars more out of nothing."""
    mine = [line for line in rows.postings if line.entry_id == "entry-capture-a"]
    dollars = altered(mine, lambda line: replace(line, currency="USD", amount_minor=line.amount_minor // 2))
    return replace(rows, postings=(*rows.postings, *dollars))


@sabotage((KIND.ENTRY_INCONSISTENT, "a"))
def gives_the_two_lines_of_an_entry_two_operations(rows: Rows) -> Rows:
    """One line can be shown for one operation and one for another."""
    first = rows.postings[0]
    return replace(rows, postings=(replace(first, operation_id="another"), *rows.postings[1:]))


@sabotage((KIND.PAYMENT_DIFFERS, "a"))
def posts_a_sale_to_another_payment(rows: Rows) -> Rows:
    """The client was told the id of its payment."""
    return lines(rows, lambda line: line.entry_id == "entry-capture-a", payment_id="pay-c")


def _moved_to_hold(rows: Rows, minor: int) -> Rows:
    """Owe the merchant of the first sale less, and book the rest of it on a hold."""
    first = next(line for line in rows.postings if sales(line))
    parts = (
        replace(first, amount_minor=first.amount_minor + minor),
        replace(first, amount_minor=-minor, account="hold_payable:shop"),
    )
    return replace(rows, postings=(*parts, *(line for line in rows.postings if line is not first)))
