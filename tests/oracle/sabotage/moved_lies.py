"""Movements beyond what they build on, and movements that nobody asked for."""

from moneypath.oracle import (
    ChargeStatus,
    Outcome,
)

from ..world import (
    AUTHORIZE,
    CAPTURE,
    CHARGEBACK,
    KIND,
    PAYOUT,
    REFUND,
    REVERSAL,
    Rows,
    Step,
    altered,
    kept_apart,
    paid,
    replace,
)
from .registry import SHOP, book, sabotage, unasked


@sabotage((KIND.REFUND_EXCEEDS_CAPTURE, "small"))
def refunds_five_thousand_on_a_capture_of_ten(rows: Rows) -> Rows:
    """A client asked for it, the ledger has it, the provider did it."""
    refund = Step("small", REFUND, minor=500_000, at=90.0)
    return rows + paid("small", minor=1001).recorded() + refund.done().recorded()


@sabotage((KIND.CAPTURE_EXCEEDS_AUTHORIZATION, "over"))
def captures_above_the_authorization(rows: Rows) -> Rows:
    """The card holder agreed to less."""
    steps = Step("over", AUTHORIZE, minor=1000).done() + Step("over", CAPTURE, minor=1001).done()
    return rows + steps.recorded()


@sabotage((KIND.CAPTURE_EXCEEDS_AUTHORIZATION, "bare"))
def captures_without_an_authorization(rows: Rows) -> Rows:
    """No card holder agreed to anything."""
    return rows + Step("bare", CAPTURE).done().recorded()


@sabotage((KIND.CAPTURE_EXCEEDS_AUTHORIZATION, "b"), (KIND.AMOUNT_DIFFERS, "b"))
def captures_what_was_voided(rows: Rows) -> Rows:
    """The void gave back the rest of the authorization, and more."""
    return book(rows, lambda one: one.operation == "void", amount_minor=1001)


@sabotage((KIND.MOVED_UNASKED, "ghost"))
def captures_what_nobody_asked_for(rows: Rows) -> Rows:
    """The payment was authorized, its capture is the service's own idea."""
    return rows + Step("ghost", AUTHORIZE).done().recorded() + unasked(Step("ghost", CAPTURE))


@sabotage((KIND.MOVED_UNASKED, "a"))
def refunds_what_nobody_asked_for(rows: Rows) -> Rows:
    """A refund within the capture."""
    return rows + unasked(Step("a", REFUND, minor=10, key="gift"))


@sabotage((KIND.MOVED_UNASKED, "gift"))
def pays_out_what_nobody_asked_for(rows: Rows) -> Rows:
    """It is owed, and its merchant did not want it now."""
    return rows + unasked(Step("gift", PAYOUT, minor=10, at=50.0))


@sabotage((KIND.MOVED_UNASKED, "a"))
def calls_a_refund_its_own_that_gives_no_late_capture_back(rows: Rows) -> Rows:
    """What the service takes back by itself is a capture in suspense."""
    undo = Step("a", REFUND, minor=10, key="undo-of-nothing")
    lines = altered(
        undo.lines(),
        lambda line: replace(
            line, entry_kind="suspense", account=line.account.replace(SHOP, "suspense:north")
        ),
    )
    return rows + Rows(lines, (undo.charge(),))


@sabotage((KIND.CHARGEBACK_EXCEEDS_CAPTURE, "c"), (KIND.AMOUNT_DIFFERS, "c"))
def takes_back_more_than_was_captured(rows: Rows) -> Rows:
    """The issuer's case is over more than the sale; its reversal too."""
    return book(rows, lambda one: one.operation in (CHARGEBACK, REVERSAL), amount_minor=1200)


@sabotage((KIND.CHARGEBACK_EXCEEDS_CAPTURE, "a"))
def wins_back_more_than_was_charged_back(rows: Rows) -> Rows:
    """The reversal is larger than its case."""
    case = Step("a", CHARGEBACK, minor=100).done()
    return rows + case + Step("a", REVERSAL, minor=150).done()


@sabotage((KIND.AMOUNT_DIFFERS, "open"))
def moves_more_than_an_open_request_asked_for(rows: Rows) -> Rows:
    """The client got no answer: it still knows what it asked for."""
    asked = Step("open", CAPTURE, minor=900)
    done = replace(asked, minor=1000)
    moved = Rows(done.lines(), (done.charge(),), (asked.answer(Outcome.UNKNOWN),))
    return rows + Step("open", AUTHORIZE).done().recorded() + moved.recorded()


@sabotage((KIND.CAPTURE_WITHOUT_POSTING, "silent"))
def keeps_a_capture_without_an_answer_in_suspense(rows: Rows) -> Rows:
    """The card holder paid, the client was told nothing, and the merchant is never owed anything."""
    capture = Step("silent", CAPTURE, at=50.0)
    kept = replace(kept_apart(capture), answers=(capture.answer(Outcome.UNKNOWN),))
    return rows + (Step("silent", AUTHORIZE, at=49.0).done() + kept).recorded()


@sabotage((KIND.BOOK_INCONSISTENT, "b"), (KIND.CAPTURE_EXCEEDS_AUTHORIZATION, "a"))
def voids_the_authorization_of_another_payment(rows: Rows) -> Rows:
    """The rest of one card's money is given back, and held on."""
    return book(rows, lambda one: one.operation == "void", parent="authorize-a", provider="north")


@sabotage((KIND.BOOK_INCONSISTENT, "c"))
def disputes_a_sale_under_the_key_of_another(rows: Rows) -> Rows:
    """The provider names one capture and the key of another."""
    return book(rows, lambda one: one.operation is CHARGEBACK, key="pk-capture-a")


@sabotage((KIND.BOOK_INCONSISTENT, "a"))
def calls_a_capture_paid_out(rows: Rows) -> Rows:
    """The status is that of another operation."""
    return book(rows, lambda one: (one.operation, one.reference) == (CAPTURE, "a"), status=ChargeStatus.PAID)
