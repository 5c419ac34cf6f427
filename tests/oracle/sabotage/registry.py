"""The sabotages of a whole world, each with all that it has to be found by."""

from collections.abc import Callable
from typing import Final

from moneypath.oracle import (
    Acknowledgement,
    Charge,
    DiscrepancyKind,
    Outcome,
    PostingLine,
)

from ..world import (
    KIND,
    Rows,
    Step,
    altered,
    paid,
    replace,
)

Sabotage = Callable[[Rows], Rows]
Found = tuple[DiscrepancyKind, str]
SABOTAGES: Final[dict[str, tuple[Sabotage, frozenset[Found]]]] = {}
THIEF: Final = "merchant_payable:thief"
SHOP: Final = "merchant_payable:shop"


def sabotage(*found: Found) -> Callable[[Sabotage], Sabotage]:
    """Register a sabotage of the whole world, with all that it has to be found by."""

    def register(alter: Sabotage) -> Sabotage:
        SABOTAGES[alter.__name__] = (alter, frozenset(found))
        return alter

    return register


def lines(rows: Rows, which: Callable[[PostingLine], bool], **changes: object) -> Rows:
    return replace(
        rows,
        postings=altered(
            rows.postings,
            lambda line: replace(line, **changes) if which(line) else line,
        ),
    )


def book(rows: Rows, which: Callable[[Charge], bool], **changes: object) -> Rows:
    changed = (replace(one, **changes) if which(one) else one for one in rows.book)
    return replace(rows, book=tuple(changed))


def told(rows: Rows, key: str, outcome: Outcome) -> Rows:
    def tell(answer: Acknowledgement) -> Acknowledgement:
        return replace(answer, outcome=outcome) if answer.idempotency_key == key else answer

    return replace(rows, answers=tuple(tell(answer) for answer in rows.answers))


def entry(
    rows: Rows, entry_id: str, kind: str, *legs: tuple[str, int], head: PostingLine | None = None
) -> Rows:
    first = replace(head or paid("a").postings[0], entry_id=entry_id, entry_kind=kind)
    lines = tuple(replace(first, account=account, amount_minor=minor) for account, minor in legs)
    return replace(rows, postings=(*rows.postings, *lines))


def unasked(step: Step) -> Rows:
    """Do it in the ledger and the book, although no client asked for it."""
    return replace(step.done(), answers=())


def sales(line: PostingLine) -> bool:
    return line.entry_kind == "posting" and line.account == SHOP


SALES: Final = ("a", "b", "c")
# What the shop was paid out is not covered once its sales are gone.
UNCOVERED: Final = (KIND.PAYOUT_EXCEEDS_PAYABLE, "p")
