"""Lies and truths in the corners of the audit: each was needed to notice a mutation of one of its lines.

What the audit tells of each lie stands in `told_of_lies.txt`.
"""

from typing import Final

from moneypath.oracle import Outcome, PostingLine

from .world import (
    AUTHORIZE,
    CAPTURE,
    CHARGEBACK,
    MERCHANT,
    PAYOUT,
    REFUND,
    REVERSAL,
    VOIDING,
    Rows,
    Step,
    altered,
    kept_apart,
    paid,
    replace,
    report,
)

A, B = Step("a", CAPTURE), Step("b", CAPTURE)
AUTH = Step("a", AUTHORIZE)
GOOD = paid("a") + paid("b")
BACK, PAID = Step("a", REFUND, key="back"), Step("p", PAYOUT)
TAKEN, WON = Step("a", CHARGEBACK), Step("a", REVERSAL)
LATE = Step("a", CAPTURE, key="late")
HUGE: Final = 2**70


def entry(entry_id: str, kind: str, *legs: tuple[str, str, int], head: PostingLine | None = None) -> Rows:
    """An entry with these accounts, currencies and amounts, otherwise like a capture's or another one's."""
    first = replace(head or A.lines()[0], entry_id=entry_id, entry_kind=kind)
    return Rows(
        tuple(
            replace(first, account=account, currency=currency, amount_minor=minor)
            for account, currency, minor in legs
        )
    )


def of(step: Step, **changes: object) -> Rows:
    """The entry of an operation, with other values in all its lines."""
    return Rows(altered(step.lines(), lambda line: replace(line, **changes)))


def held(step: Step) -> Rows:
    """An entry that books a part of its money on a hold."""
    rows = step.done()
    first, *rest = rows.postings
    return replace(rows, postings=(replace(first, account="hold_receivable:north"), *rest))


def released(*legs: tuple[str, str, int]) -> Rows:
    """A late refund, and an entry that says that it releases it."""
    head = replace(BACK.lines()[0], idempotency_key=BACK.provider_key)
    return paid("a") + kept_apart(BACK) + entry("release", "suspense_release", *legs, head=head)


def renamed(rows: Rows, merchant: str) -> Rows:
    """Have another merchant's name wherever one is named."""
    return Rows(
        altered(
            rows.postings,
            lambda line: replace(line, account=line.account.replace(MERCHANT, merchant), merchant=merchant),
        ),
        tuple(replace(one, beneficiary=one.beneficiary and merchant) for one in rows.book),
        tuple(replace(one, merchant=merchant) for one in rows.answers),
    )


RECEIVABLE, PAYABLE = "provider_receivable:north", f"merchant_payable:{MERCHANT}"
EURO_AND_A_DOLLAR = (
    (RECEIVABLE, "USD", 1), (PAYABLE, "USD", -1), (RECEIVABLE, "EUR", -1000), (PAYABLE, "EUR", 1000),
)  # fmt: skip
TWO_OTHERS = (
    (RECEIVABLE, "USD", 1), (PAYABLE, "USD", -1), (RECEIVABLE, "JPY", 900), (PAYABLE, "JPY", -900),
)  # fmt: skip
ANONYMOUS = replace(report(1, {"EUR": 17}), reports=())

CORNER_LIES: Final[dict[str, Rows]] = {
    # Entries by themselves.
    "unknown kind without lines": GOOD + entry("odd", "gift", ("", "", 0)),
    "unknown kind, then an account that does not exist": GOOD
    + entry("odd", "gift", (RECEIVABLE, "EUR", -900), (PAYABLE, "EUR", 600), ("zero", "EUR", 300))
    + replace(paid("c"), postings=of(Step("c", CAPTURE), account="vault").postings),
    "money on no account": AUTH.done() + replace(A.done(), postings=(
        *A.lines(), replace(A.lines()[0], account="", amount_minor=5))),
    "nothing on an account that does not exist": AUTH.done() + replace(A.done(), postings=(
        *A.lines(), replace(A.lines()[0], account="vault", amount_minor=0))),
    "two entries that disagree with themselves": AUTH.done() + paid("b") + replace(A.done(), postings=(
        A.lines()[0], replace(A.lines()[1], posted_at=9.0))) + replace(Step("c", AUTHORIZE).done()
        + Step("c", CAPTURE).done(), postings=(
        Step("c", CAPTURE).lines()[0], replace(Step("c", CAPTURE).lines()[1], report="9"))),
    "money on a hold, after a refund": GOOD + BACK.done() + Step("c", AUTHORIZE).done()
    + held(Step("c", CAPTURE)),
    "amount of a charge missing": paid("b") + AUTH.done() + replace(A.done(), book=(
        replace(A.charge(), amount_minor=0, misstated="null"),)),
    "amount and currency of a charge missing": paid("b") + AUTH.done() + replace(A.done(), book=(
        replace(A.charge(), amount_minor=0, misstated="null", currency=""),)),
    "amount of a line missing": AUTH.done() + replace(A.done(), postings=(
        A.lines()[0], replace(A.lines()[1], amount_minor=0, misstated="null"))),
    # Ledger against book.
    "two currencies that no book has": AUTH.done() + entry("entry-capture-a", "reversal", *EURO_AND_A_DOLLAR),
    "two other currencies than the book": AUTH.done() + replace(A.done(), postings=entry(
        "entry-capture-a", "posting", *TWO_OTHERS).postings),
    "posted again without money": GOOD + entry("again", "posting", (PAYABLE, "EUR", 5), (PAYABLE, "EUR", -5)),
    "release of nothing": released((PAYABLE, "EUR", 5), (PAYABLE, "EUR", -5)),
    "release of two currencies": released(
        ("suspense:north", "EUR", 1), (PAYABLE, "EUR", -1),
        ("suspense:north", "USD", -9), (PAYABLE, "USD", 9)),
    "one key charged again over less": AUTH.done() + A.done() + Rows((), (
        replace(A.charge(), amount_minor=900),)),
    # Limits.
    "voided twice, captured above what is left": AUTH.done()
    + Step("a", VOIDING, minor=300, key="v1").done() + Step("a", VOIDING, minor=300, key="v2").done()
    + replace(A, minor=500).done(),
    "two chargebacks of one case, both won": GOOD + replace(TAKEN, minor=300).done()
    + Rows((), (replace(TAKEN, minor=400).charge(),)) + replace(WON, minor=700).done(),
    "won without a chargeback": GOOD + replace(WON, minor=1).done(),
    "refund of 1 without a capture": paid("b") + AUTH.done() + replace(BACK, minor=1).done(),
    "a payout alone in its ledger": PAID.done(),
    "captured twice under one name, refunded beyond one": GOOD + Rows((), (A.charge(),))
    + replace(BACK, minor=1500).done(),
    "captured again over nothing, without an authorization": replace(A, minor=1).done()
    + replace(A, minor=0, key="again").done(),
    # What clients were told.
    "another payment, after a fee": AUTH.done() + ANONYMOUS + replace(A.done(), postings=of(
        A, payment_id="pay-x").postings, answers=(A.answer(), replace(A.answer(), payment_id="pay-y"))),
    "authorized for another payment": replace(AUTH.done(), answers=(
        replace(AUTH.answer(), payment_id="pay-x"),)) + A.done() + replace(
        Step("a", CAPTURE, key="rest").done(), postings=of(
        Step("a", CAPTURE, key="rest"), payment_id="pay-z").postings),
    "posted again under a key that nobody sent": GOOD + of(A, entry_id="again", idempotency_key="nobody"),
    "posted without an idempotency key": AUTH.done() + replace(
        A.done(), postings=of(A, idempotency_key="").postings),
    "posted without a key, and again under another's": GOOD + of(
        A, entry_id="first", idempotency_key="", posted_at=0.0) + of(
        A, entry_id="again", idempotency_key=B.client_key),
    "two keys whose answers change": GOOD + Rows((), (), (
        A.answer(Outcome.UNKNOWN), A.answer(Outcome.DECLINED), B.answer(Outcome.FAILED))),
    "one key for three payments over three amounts": GOOD + Rows((), (), tuple(
        replace(A.answer(), payment_id=f"pay-{minor}", amount_minor=minor) for minor in (900, 800))),
    "one key for payments, the last of them over less": GOOD + Rows((), (), (
        replace(A.answer(), payment_id="pay-x"), replace(A.answer(), payment_id="pay-y", amount_minor=7))),
    "rejected, then open and captured over another amount": AUTH.done() + replace(
        replace(A, minor=900).done(), answers=(A.answer(Outcome.REJECTED), A.answer(Outcome.UNKNOWN))),
    "failed under one key, authorized over less under another": paid("b") + Rows((), (
        replace(AUTH, minor=900).charge(),), (
        replace(AUTH, key="k1").answer(Outcome.FAILED), AUTH.answer())),
    "a request without an answer, carried out over less": replace(
        AUTH.done() + replace(A, minor=900).done(), answers=(AUTH.answer(),),
        requests=(AUTH.done() + A.done()).recorded().requests),
    # Whom the ledger owes.
    "kept apart for another merchant": AUTH.done() + replace(kept_apart(LATE), postings=altered(
        kept_apart(LATE).postings, lambda line: replace(line, merchant="thief"))),
    "nothing in suspense": AUTH.done() + entry("odd", "suspense", ("suspense:north", "EUR", 0)),
    "booked for another merchant whose name has a colon": replace(renamed(GOOD, "shop:paris"), postings=(
        *renamed(paid("a"), "shop:paris").postings, *renamed(paid("b"), "shop:rome").postings)),
    "paid out above what is owed to a merchant whose name has a colon": renamed(
        GOOD + replace(PAID, minor=2001).done(), "shop:paris"),
    # Reports.
    "a fee of nobody's report": GOOD + Rows(altered(ANONYMOUS.postings, lambda line: replace(
        line, provider="", report="", account=line.account.replace("north", "")))),
}  # fmt: skip


def payout_between(debit: Rows, minor: int) -> Rows:
    """A payout that was asked for at 10 and posted at 20, beside what else was posted at 15."""
    payout = replace(PAID, minor=minor, at=10.0)
    return GOOD + debit + replace(payout.done(), postings=of(payout, posted_at=20.0).postings)


def given_back_in_parts() -> Rows:
    """A late capture, refunded by the service in two parts."""
    parts = [
        replace(LATE, operation=REFUND, key=f"undo-{minor}", of="late", minor=minor) for minor in (400, 600)
    ]
    apart = [kept_apart(part) for part in parts]
    return AUTH.done() + kept_apart(LATE) + sum((replace(one, answers=()) for one in apart), Rows())


def repaired(reference: str, extra: int) -> Rows:
    """A capture that its provider made several times under one key, and gave back all but once."""
    first = paid(reference)
    charge = Step(reference, CAPTURE).charge()
    again = tuple(
        replace(charge, seq=10 + number, provider_reference=f"extra-{number}") for number in range(extra)
    )
    refunds = tuple(
        replace(
            Step(reference, REFUND, key=f"repair-{number}").charge(),
            seq=20 + number, parent=f"extra-{number}",
        )
        for number in range(extra)
    )  # fmt: skip
    return replace(first, book=(replace(first.book[0], seq=2), replace(charge, seq=3), *again, *refunds))


def apart_and_back(minor: int) -> Rows:
    """A late capture in suspense that the service refunded."""
    late = replace(LATE, minor=minor)
    undo = replace(kept_apart(replace(late, operation=REFUND, key="undo", of="late")), answers=())
    return AUTH.done() + kept_apart(late) + undo


CORNER_TRUTHS: Final[dict[str, Rows]] = {
    "a merchant whose name has a colon": renamed(GOOD + PAID.done(), "shop:paris"),
    "an entry that names no payment": AUTH.done() + replace(A.done(), postings=of(A, payment_id="").postings),
    "turned away, then left open and charged": replace(
        AUTH.done(), answers=(AUTH.answer(Outcome.UNPROCESSED), AUTH.answer(Outcome.UNKNOWN))),
    "paid out to the last unit": GOOD + replace(PAID, minor=2000).done(),
    "paid out more than 64 bits hold": paid("a", minor=HUGE) + replace(PAID, minor=HUGE).done(),
    "refunded between a payout's request and its entry": payout_between(
        replace(BACK, at=15.0).done(), 2000),
    "captured between a payout's request and its entry": payout_between(
        Step("c", AUTHORIZE, minor=1).done() + Step("c", CAPTURE, minor=1, at=15.0).done(), 2001),
    "a late capture of 1, given back": apart_and_back(1),
    "a late capture given back in two parts": given_back_in_parts(),
    "captured three times, given back twice": paid("b") + repaired("a", 2),
    "captured once, another one twice and given back": paid("a") + repaired("b", 1),
}  # fmt: skip
