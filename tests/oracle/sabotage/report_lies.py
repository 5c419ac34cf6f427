"""Lies about what a settlement report takes."""

from ..world import KIND, Rows, altered, replace, report
from .registry import sabotage


@sabotage((KIND.FEE_DIFFERS, "north report 1"))
def charges_fees_a_hundred_times_too_high(rows: Rows) -> Rows:
    """The provider's report takes a hundredth."""
    fees = [line for line in rows.postings if line.entry_kind == "fee"]
    others = tuple(line for line in rows.postings if line.entry_kind != "fee")
    dear = (replace(line, amount_minor=100 * line.amount_minor) for line in fees)
    return replace(rows, postings=(*others, *dear))


@sabotage((KIND.FEE_DIFFERS, "north report 1"))
def books_the_fees_of_one_report_twice(rows: Rows) -> Rows:
    """Each entry is right by itself."""
    again = (replace(one, entry_id="again") for one in rows.postings if one.entry_kind == "fee")
    return replace(rows, postings=(*rows.postings, *again))


@sabotage((KIND.FEE_DIFFERS, "north report 1"))
def leaves_the_fees_of_a_report_out(rows: Rows) -> Rows:
    """The provider keeps them all the same."""
    return replace(rows, postings=tuple(one for one in rows.postings if one.entry_kind != "fee"))


@sabotage((KIND.FEE_DIFFERS, "north report 9"))
def books_a_fee_of_a_report_that_was_never_served(rows: Rows) -> Rows:
    """The number of the report is made up."""
    return rows + replace(report(9, {"EUR": 5}), reports=())


@sabotage((KIND.FEE_DIFFERS, "north report 1"))
def keeps_the_fees_that_a_corrected_report_gave_back(rows: Rows) -> Rows:
    """The report was served again with less."""
    corrected = replace(rows.reports[0], at=5.0, fees=(("EUR", 30), ("USD", 41)))
    return replace(rows, reports=(*rows.reports, corrected))


@sabotage((KIND.EXCHANGE_DIFFERS, "north report 2"))
def keeps_a_part_of_an_exchange(rows: Rows) -> Rows:
    """The side that comes back is 10 EUR short; the entry balances."""
    return replace(
        rows,
        postings=altered(
            rows.postings,
            lambda line: (
                replace(line, amount_minor=line.amount_minor * 65 // 165)
                if (line.entry_kind, line.currency) == ("fx", "EUR")
                else line
            ),
        ),
    )
