"""The audit finds every planted lie, and nothing else."""

from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.oracle import (
    CHECKS,
    Acknowledgement,
    Charge,
    ChargeStatus,
    DiscrepancyKind,
    MinimumEvidence,
    Operation,
    Outcome,
    PostingLine,
    audit,
)

from .sabotage import entry_lies, moved_lies, owed_lies, report_lies, told_lies  # noqa: F401 - each registers its own
from .sabotage.registry import SABOTAGES
from .world import (
    AUTHORIZE,
    CAPTURE,
    CHARGEBACK,
    KIND,
    MERCHANT,
    PAYOUT,
    REFUND,
    REVERSAL,
    VOIDING,
    Rows,
    Step,
    altered,
    paid,
    replace,
    report,
    scaled,
    whole_world,
)


@st.composite
def payments(draw: st.DrawFn, reference: str) -> Rows:
    """One payment with everything that may happen to it in a healthy service."""
    provider, currency = (
        draw(st.sampled_from(["north", "south"])),
        draw(st.sampled_from(["EUR", "JPY", "KWD"])),
    )
    minor = draw(st.integers(2, 10**12))

    def step(operation: Operation, minor: int = minor, key: str = "", of: str = "") -> Step:
        # After the whole world, whose payouts would not be covered otherwise.
        return Step(reference, operation, provider, minor, currency, key, of, at=1000.0)

    noise = st.lists(st.sampled_from([Outcome.UNKNOWN, Outcome.INDETERMINATE, Outcome.REJECTED]), max_size=2)
    rows = Rows()
    for attempt in range(draw(st.integers(0, 2))):  # earlier attempts that moved nothing
        refused = step(AUTHORIZE, key=f"early-{attempt}-{reference}")
        outcome = draw(st.sampled_from([Outcome.DECLINED, Outcome.FAILED, Outcome.UNKNOWN, Outcome.REJECTED]))
        in_book = (refused.charge(ChargeStatus.DECLINED),) if draw(st.booleans()) else ()
        rows += Rows((), in_book, (refused.answer(outcome),))
    depth = draw(st.integers(0, 3))
    captured = draw(st.integers(1, minor))
    parts = [captured - captured // 2, captured // 2] if captured > 1 else [captured]
    captures = [captured] if draw(st.booleans()) else parts
    wanted = [step(AUTHORIZE)][:depth]
    if depth > 1:
        wanted += [
            step(CAPTURE, part, f"capture-{number}-{reference}") for number, part in enumerate(captures)
        ]
        if captured < minor and draw(st.booleans()):
            wanted.append(step(VOIDING, minor - captured))
    if depth == 3 and draw(st.booleans()):
        wanted += [
            step(REFUND, part, f"refund-{number}-{reference}", _capture_of(number, captures, reference))
            for number, part in enumerate(parts)
        ]
    elif depth == 3:
        cases = [step(kind, parts[0], of=f"capture-0-{reference}") for kind in (CHARGEBACK, REVERSAL)]
        rows += sum((case.done() for case in cases[: draw(st.integers(1, 2))]), Rows())
    if depth > 1 and draw(st.booleans()):
        wanted.append(replace(step(PAYOUT, captured), reference=f"payout-{reference}"))
    for doing in wanted:
        before = [doing.answer(outcome) for outcome in draw(noise)]
        after = [doing.answer(replayed=True)] if draw(st.booleans()) else []
        # Now and then every answer gets lost: the client then knows that it asked, and no more.
        told = draw(st.integers(0, 9)) > 0
        seen = [*before, doing.answer(), *after] if told else [*before, doing.answer(Outcome.UNKNOWN)]
        rows += replace(doing.done(), answers=tuple(seen))
    return rows


def _capture_of(part: int, captures: list[int], reference: str) -> str:
    """The key of the capture that has this part of the amount."""
    return f"capture-{part if len(captures) > 1 else 0}-{reference}"


@st.composite
def healthy_rows(draw: st.DrawFn) -> Rows:
    """Several healthy payments whose rows come in any order; answers keep their order."""
    parts = [draw(payments(f"ref-{number}")) for number in range(draw(st.integers(0, 6)))]
    rows = sum(parts, Rows())
    shuffled = draw(st.permutations(rows.postings)), draw(st.permutations(rows.book))
    return Rows(tuple(shuffled[0]), tuple(shuffled[1]), rows.answers)


def _of_another_merchant(rows: Rows) -> Rows:
    """Return the rows as another merchant's, whose payouts no lie leaves uncovered."""
    lines = altered(
        rows.postings,
        lambda line: replace(line, account=line.account.replace(MERCHANT, "stall"), merchant="stall"),
    )
    book = tuple(replace(one, beneficiary=one.beneficiary.replace(MERCHANT, "stall")) for one in rows.book)
    return Rows(lines, book, tuple(replace(one, merchant="stall") for one in rows.answers))


A, B = Step("a", CAPTURE), Step("b", CAPTURE)
AUTH = Step("a", AUTHORIZE)
GOOD = paid("a") + paid("b")
PLAIN = (AUTH.done() + paid("b"), A)  # payment a is authorized, its capture is still to be told


@dataclass(frozen=True, slots=True)
class Lie:
    """A planted corruption, all that must be found, and the check that finds the first of it."""

    name: str
    rows: Rows
    found: frozenset[tuple[DiscrepancyKind, str]]
    check: str


def lie(name: str, rows: Rows, check: str, *found: tuple[DiscrepancyKind, str]) -> Lie:
    return Lie(name, rows, frozenset(found), check)


def _capture(postings: tuple[PostingLine, ...], book: tuple[Charge, ...], *answers: Acknowledgement) -> Rows:
    return AUTH.done() + paid("b") + Rows(postings, book, answers)


LEFT, RIGHT = A.lines()
DOLLARS = replace(A, currency="USD")
SOUTH = replace(A, provider="south")
TWIN = replace(A, key="second-key")
SAID = A.answer()
VOID = replace(
    LEFT, entry_id="void", entry_kind="fee", merchant_reference="", account="", currency="", amount_minor=0
)
TAKEN, WON = Step("a", CHARGEBACK), Step("a", REVERSAL)
PAID = Step("p", PAYOUT)
GONE = Step("a", VOIDING, minor=400)
PARTS = Step("a", CAPTURE, minor=600), Step("a", CAPTURE, minor=400, key="rest")
# An authorization and a capture that were told as failed, and came after all.
LATE = replace(AUTH, key="late"), replace(A, key="late")
LATE_AUTH = replace(LATE[0].charge(), provider_reference="late-auth", parent="")
LATE_VOID = replace(Step("a", VOIDING, key="undo").charge(), parent="late-auth")
LATE_CAPTURE = replace(LATE[1].charge(), provider_reference="late-capture")
LATE_REFUND = replace(Step("a", REFUND, key="undo").charge(), parent="late-capture")
BACK = Step("a", REFUND, key="back")
TOLD = tuple(step.answer(Outcome.FAILED) for step in LATE)


def _suspense(step: Step) -> tuple[PostingLine, ...]:
    """Keep what a provider moved apart, in suspense."""
    return altered(step.lines(), lambda line: replace(
        line, entry_kind="suspense", account=line.account.replace("merchant_payable:shop", "suspense:north")
    ))  # fmt: skip


KEPT_APART, GIVEN_BACK = _suspense(LATE[1]), _suspense(Step("a", REFUND, key="undo"))
LATE_BACK = Rows(_suspense(BACK), (BACK.charge(),), (BACK.answer(Outcome.FAILED),))


def _held(account: str) -> str:
    """Return the account of holds beside an account of money."""
    return account.replace("provider_", "hold_").replace("merchant_", "hold_")


UNBACKED = (KIND.POSTING_WITHOUT_CAPTURE, "a")


def _release(
    minor: int = BACK.minor, key: str = BACK.provider_key, provider: str = "north", entry: str = ""
) -> Rows:
    """Take a late refund out of suspense: its merchant bears it."""
    lines = replace(BACK, minor=minor, key="release").lines(entry)
    return Rows(altered(lines, lambda line: replace(
        line, entry_kind="suspense_release", idempotency_key=key, provider=provider,
        account=line.account.replace("provider_receivable:north", f"suspense:{provider}"),
    )))  # fmt: skip


OFFSET = (
    *altered(A.lines(), scaled(A.minor + 100)),
    *altered(B.lines(), scaled(B.minor - 100)),
)
CROSSED = (LEFT, replace(RIGHT, currency="USD"), replace(B.lines()[0], currency="USD"), B.lines()[1])

LIES = [
    lie("posting dropped", _capture((), (A.charge(),), SAID), "check_charges_are_posted",
        (KIND.CAPTURE_WITHOUT_POSTING, "a"), (KIND.ACKNOWLEDGED_LOST, "a")),
    lie("posting dropped and nobody told", _capture((), (A.charge(),)), "check_charges_are_posted",
        (KIND.CAPTURE_WITHOUT_POSTING, "a")),
    lie("posting duplicated", _capture(A.lines() + A.lines("again"), (A.charge(),), SAID),
        "check_postings_are_single", (KIND.POSTED_TWICE, "a")),
    lie("+100 here, -100 there", AUTH.done() + Step("b", AUTHORIZE).done()
        + Rows(OFFSET, (A.charge(), B.charge()), (SAID, B.answer())),
        "check_posted_amounts", (KIND.AMOUNT_DIFFERS, "a"), (KIND.AMOUNT_DIFFERS, "b")),
    lie("posted backwards", _capture(altered(A.lines(), scaled(-A.minor)), (A.charge(),), SAID),
        "check_posted_amounts", (KIND.AMOUNT_DIFFERS, "a")),
    lie("posted to the other provider's account", _capture(
        (replace(LEFT, account="provider_receivable:south"), RIGHT), (A.charge(),), SAID),
        "check_posted_amounts", (KIND.AMOUNT_DIFFERS, "a"),
        (KIND.ACCOUNT_UNEXPECTED, "a")),
    lie("currency of the posting swapped", _capture(DOLLARS.lines(), (A.charge(),), SAID),
        "check_posted_amounts", (KIND.CURRENCY_DIFFERS, "a")),
    lie("currency of the charge swapped", _capture(A.lines(), (DOLLARS.charge(),), SAID),
        "check_posted_amounts", (KIND.CURRENCY_DIFFERS, "a"),
        (KIND.CAPTURE_EXCEEDS_AUTHORIZATION, "a")),
    lie("credit leg lost", _capture((LEFT,), (A.charge(),), SAID), "check_entries_balance",
        (KIND.ENTRY_UNBALANCED, "a"), (KIND.CURRENCY_UNBALANCED, "EUR")),
    lie("debit leg lost", _capture((RIGHT,), (A.charge(),), SAID), "check_currencies_balance",
        (KIND.CURRENCY_UNBALANCED, "EUR"), (KIND.ENTRY_UNBALANCED, "a")),
    lie("entry without lines", _capture((*A.lines(), VOID), (A.charge(),), SAID),
        "check_entries_balance", (KIND.ENTRY_UNBALANCED, "void")),
    lie("one currency offset by another", AUTH.done() + Step("b", AUTHORIZE).done()
        + Rows(CROSSED, (A.charge(), B.charge()), (SAID, B.answer())),
        "check_entries_balance", (KIND.ENTRY_UNBALANCED, "a"), (KIND.ENTRY_UNBALANCED, "b")),
    lie("capture removed from the book", _capture(A.lines(), (), SAID), "check_postings_are_charged",
        (KIND.POSTING_WITHOUT_CAPTURE, "a"), (KIND.ACKNOWLEDGED_LOST, "a")),
    lie("refund removed from the book", paid("a") + Rows(Step("a", REFUND).lines()),
        "check_postings_are_charged", (KIND.POSTING_WITHOUT_CAPTURE, "a")),
    lie("entry of nobody's operation", GOOD + Rows(altered(Step("", CAPTURE).lines("stray"),
        lambda x: replace(x, provider="", provider_key="", idempotency_key=""))),
        "check_postings_are_charged", (KIND.POSTING_WITHOUT_CAPTURE, "stray"),
        (KIND.ACCOUNT_UNEXPECTED, "stray")),
    lie("charge posted at the wrong provider", _capture(A.lines(), (SOUTH.charge(),), SAID),
        "check_postings_are_charged",
        (KIND.POSTING_WITHOUT_CAPTURE, "a"), (KIND.CAPTURE_WITHOUT_POSTING, "a"),
        (KIND.CAPTURE_EXCEEDS_AUTHORIZATION, "a")),
    lie("acknowledged capture lost by both", _capture((), (), SAID), "check_successes_are_kept",
        (KIND.ACKNOWLEDGED_LOST, "a")),
    lie("acknowledged authorization lost", Rows((), (), (AUTH.answer(),)) + paid("b"),
        "check_successes_are_kept", (KIND.ACKNOWLEDGED_LOST, "a")),
    lie("acknowledged capture posted under another key", _capture(TWIN.lines(), (TWIN.charge(),), SAID),
        "check_successes_are_kept", (KIND.ACKNOWLEDGED_LOST, "a"),
        (KIND.MOVED_UNASKED, "a")),
    lie("two keys were promised one authorization", GOOD + Rows((), (), (replace(AUTH, key="k2").answer(),)),
        "check_successes_are_kept", (KIND.ACKNOWLEDGED_LOST, "a")),
    lie("another amount was promised", GOOD + Rows((), (replace(AUTH, reference="c").charge(),),
        (replace(AUTH, reference="c", minor=1100).answer(),)),
        "check_successes_agree", (KIND.AMOUNT_DIFFERS, "c")),
    lie("another currency was promised", _capture(A.lines(), (A.charge(),), DOLLARS.answer()),
        "check_successes_agree", (KIND.CURRENCY_DIFFERS, "a")),
    lie("declined, yet authorized", Rows((), (AUTH.charge(),), (AUTH.answer(Outcome.DECLINED),)) + paid("b"),
        "check_refusals_are_kept", (KIND.REFUSED_BUT_CHARGED, "a")),
    lie("declined at one provider, yet authorized at the other", paid("b") + Rows((),
        (AUTH.charge(ChargeStatus.DECLINED), replace(AUTH, provider="south").charge()),
        (AUTH.answer(Outcome.DECLINED),)), "check_refusals_are_kept", (KIND.REFUSED_BUT_CHARGED, "a")),
    lie("failed, yet captured and posted", _capture(A.lines(), (A.charge(),), A.answer(Outcome.FAILED)),
        "check_refusals_are_kept", (KIND.REFUSED_BUT_CHARGED, "a")),
    lie("failed after silence, yet captured", _capture((), (A.charge(),), A.answer(Outcome.UNKNOWN),
        A.answer(Outcome.FAILED)), "check_refusals_are_kept",
        (KIND.REFUSED_BUT_CHARGED, "a"), (KIND.CAPTURE_WITHOUT_POSTING, "a")),
    lie("the failed amount was charged, the promised one was not", paid("b") + Rows((),
        (replace(AUTH, minor=100).charge(),), (replace(AUTH, minor=100, key="k1").answer(Outcome.FAILED),
        replace(AUTH, minor=200, key="k2").answer())), "check_refusals_are_kept",
        (KIND.REFUSED_BUT_CHARGED, "a"), (KIND.ACKNOWLEDGED_LOST, "a")),
    lie("replay of another amount", GOOD + Rows((), (), (replace(A, minor=999).answer(replayed=True),)),
        "check_replays_agree", (KIND.REPLAY_DIFFERS, "a")),
    lie("replay of another outcome", GOOD + Rows((), (), (A.answer(Outcome.FAILED, replayed=True),)),
        "check_replays_agree", (KIND.REPLAY_DIFFERS, "a")),
    lie("one provider key charged twice", _capture(
        A.lines(), (A.charge(), replace(A.charge(), reference="x")), SAID), "check_provider_keys_charge_once",
        (KIND.KEY_CHARGED_TWICE, "x"), (KIND.CAPTURE_WITHOUT_POSTING, "x"),
        (KIND.CAPTURE_EXCEEDS_AUTHORIZATION, "x")),
    lie("one key made two captures", _capture(A.lines() + altered(replace(B, reference="c").lines(),
        lambda x: replace(x, idempotency_key=A.client_key)), (A.charge(), replace(B, reference="c").charge()),
        SAID), "check_posted_keys_charge_once", (KIND.KEY_CHARGED_TWICE, "c"),
        (KIND.CAPTURE_EXCEEDS_AUTHORIZATION, "c"), (KIND.MOVED_UNASKED, "c")),
    lie("one key acknowledged for two payments", GOOD + Rows((), (), (replace(SAID, payment_id="other"),)),
        "check_acknowledged_keys_charge_once", (KIND.KEY_CHARGED_TWICE, "a"), (KIND.REPLAY_DIFFERS, "a")),
    lie("reference captured twice in one book", _capture(
        A.lines() + TWIN.lines(), (A.charge(), TWIN.charge()), SAID),
        "check_references_charge_once", (KIND.REFERENCE_CHARGED_TWICE, "a"),
        (KIND.MOVED_UNASKED, "a")),
    lie("reference captured in two books", _capture(A.lines(), (A.charge(), replace(TWIN, provider="south")
        .charge()), SAID), "check_references_charge_once",
        (KIND.REFERENCE_CHARGED_TWICE, "a"), (KIND.CAPTURE_WITHOUT_POSTING, "a"),
        (KIND.CAPTURE_EXCEEDS_AUTHORIZATION, "a")),
    lie("captured in parts beyond the authorization", AUTH.done() + PARTS[0].done()
        + replace(PARTS[1], minor=401).done(), "check_references_charge_once",
        (KIND.REFERENCE_CHARGED_TWICE, "a")),
    lie("three parts beyond the authorization", AUTH.done() + PARTS[0].done() + replace(PARTS[1],
        minor=300).done() + replace(PARTS[1], minor=300, key="third").done(),
        "check_references_charge_once", (KIND.REFERENCE_CHARGED_TWICE, "a")),
    lie("parts under two authorizations", AUTH.done() + PARTS[0].done() + replace(PARTS[1].done(), book=(
        replace(PARTS[1].charge(), parent="another"),)), "check_references_charge_once",
        (KIND.REFERENCE_CHARGED_TWICE, "a"),
        (KIND.CAPTURE_EXCEEDS_AUTHORIZATION, "a")),
    lie("parts of an authorization that no book has", PARTS[0].done() + PARTS[1].done(),
        "check_references_charge_once", (KIND.REFERENCE_CHARGED_TWICE, "a"),
        (KIND.CAPTURE_EXCEEDS_AUTHORIZATION, "a")),
    lie("chargeback not posted", GOOD + Rows((), (TAKEN.charge(),)), "check_charges_are_posted",
        (KIND.CHARGEBACK_WITHOUT_POSTING, "a")),
    lie("won chargeback not posted", GOOD + TAKEN.done() + Rows((), (WON.charge(),)),
        "check_charges_are_posted", (KIND.CHARGEBACK_WITHOUT_POSTING, "a")),
    lie("chargeback posted that no book has", GOOD + Rows(TAKEN.lines()), "check_postings_are_charged",
        (KIND.POSTING_WITHOUT_CHARGEBACK, "a")),
    lie("chargeback posted as won that is not", GOOD + TAKEN.done() + Rows(WON.lines()),
        "check_postings_are_charged", (KIND.POSTING_WITHOUT_CHARGEBACK, "a")),
    lie("chargeback posted under another's id", GOOD + Rows(replace(TAKEN, key="x").lines(),
        (TAKEN.charge(),)), "check_postings_are_charged",
        (KIND.POSTING_WITHOUT_CHARGEBACK, "a"), (KIND.CHARGEBACK_WITHOUT_POSTING, "a")),
    lie("chargeback posted backwards", GOOD + Rows(altered(TAKEN.lines(), lambda x: replace(
        x, amount_minor=-x.amount_minor)), (TAKEN.charge(),)), "check_posted_amounts",
        (KIND.AMOUNT_DIFFERS, "a")),
    lie("chargeback posted twice", GOOD + TAKEN.done() + Rows(TAKEN.lines("again")),
        "check_postings_are_single", (KIND.POSTED_TWICE, "a")),
    lie("one case booked twice", GOOD + TAKEN.done() + Rows((), (TAKEN.charge(),)),
        "check_provider_keys_charge_once", (KIND.KEY_CHARGED_TWICE, "a"),
        (KIND.CHARGEBACK_EXCEEDS_CAPTURE, "a")),
    lie("payout not posted", GOOD + Rows((), (PAID.charge(),)), "check_charges_are_posted",
        (KIND.PAYOUT_WITHOUT_POSTING, "p")),
    lie("payout posted that no book has", GOOD + Rows(PAID.lines()), "check_postings_are_charged",
        (KIND.POSTING_WITHOUT_PAYOUT, "p")),
    lie("payout made twice", GOOD + PAID.done() + Rows((), (PAID.charge(),)),
        "check_provider_keys_charge_once", (KIND.KEY_CHARGED_TWICE, "p")),
    lie("payout posted to what the provider owes", GOOD + replace(PAID.done(), postings=altered(PAID.lines(),
        lambda x: replace(x, account=x.account.replace("payout_clearing", "provider_receivable")))),
        "check_posted_amounts", (KIND.AMOUNT_DIFFERS, "p"),
        (KIND.ACCOUNT_UNEXPECTED, "p")),
    lie("acknowledged payout lost by both", GOOD + Rows((), (), (PAID.answer(),)),
        "check_successes_are_kept", (KIND.ACKNOWLEDGED_LOST, "p")),
    lie("acknowledged void lost", GOOD + Rows((), (), (GONE.answer(),)), "check_successes_are_kept",
        (KIND.ACKNOWLEDGED_LOST, "a")),
    lie("failed, yet voided", GOOD + Rows((), (GONE.charge(),), (GONE.answer(Outcome.FAILED),)),
        "check_refusals_are_kept", (KIND.REFUSED_BUT_CHARGED, "a"),
        (KIND.CAPTURE_EXCEEDS_AUTHORIZATION, "a")),
    lie("late authorization voided in part", Rows((), (LATE_AUTH, replace(LATE_VOID, amount_minor=999)),
        TOLD[:1]) + paid("b"), "check_refusals_are_kept", (KIND.REFUSED_BUT_CHARGED, "a")),
    lie("late authorization, and a void that the client asked for", Rows((), (LATE_AUTH, LATE_VOID),
        (TOLD[0], Step("a", VOIDING).answer())), "check_refusals_are_kept",
        (KIND.REFUSED_BUT_CHARGED, "a")),
    lie("late refund left in suspense", paid("a") + Rows(_suspense(BACK), (BACK.charge(),),
        (BACK.answer(Outcome.FAILED),)), "check_refusals_are_kept", (KIND.REFUSED_BUT_CHARGED, "a")),
    lie("late refund released in part", paid("a") + LATE_BACK + _release(999), "check_refusals_are_kept",
        (KIND.REFUSED_BUT_CHARGED, "a"), UNBACKED),
    lie("late refund released twice", paid("a") + LATE_BACK + _release() + _release(entry="release-again"),
        "check_refusals_are_kept", (KIND.REFUSED_BUT_CHARGED, "a"), UNBACKED),
    lie("late refund released the wrong way", paid("a") + LATE_BACK + _release(-1000),
        "check_refusals_are_kept", (KIND.REFUSED_BUT_CHARGED, "a"), UNBACKED),
    lie("another refund released", paid("a") + LATE_BACK + _release(key="pk-other"),
        "check_refusals_are_kept", (KIND.REFUSED_BUT_CHARGED, "a"), UNBACKED),
    lie("late refund released at another provider", paid("a") + LATE_BACK + _release(provider="south"),
        "check_refusals_are_kept", (KIND.REFUSED_BUT_CHARGED, "a"), UNBACKED),
    lie("late refund released that was never in suspense", paid("a") + replace(LATE_BACK,
        postings=BACK.lines()) + _release(), "check_refusals_are_kept",
        (KIND.REFUSED_BUT_CHARGED, "a"), UNBACKED),
    lie("refund released that was the merchant's own", paid("a") + BACK.done() + _release(),
        "check_releases_are_backed", UNBACKED),
    lie("half a release", paid("a") + LATE_BACK + replace(_release(), postings=_release().postings[:1]),
        "check_entries_balance", (KIND.ENTRY_UNBALANCED, "a"), (KIND.CURRENCY_UNBALANCED, "EUR")),
    lie("late capture left in suspense", AUTH.done() + Rows(KEPT_APART, (LATE_CAPTURE,), TOLD[1:]),
        "check_refusals_are_kept", (KIND.REFUSED_BUT_CHARGED, "a")),
    lie("late capture given back by the merchant's own refund", AUTH.done() + Rows(KEPT_APART
        + Step("a", REFUND, key="undo").lines(), (LATE_CAPTURE, LATE_REFUND), TOLD[1:]),
        "check_refusals_are_kept", (KIND.REFUSED_BUT_CHARGED, "a"),
        (KIND.MOVED_UNASKED, "a")),
    lie("acknowledged capture left in suspense", AUTH.done() + Rows(_suspense(A), (A.charge(),), (SAID,)),
        "check_successes_are_kept", (KIND.ACKNOWLEDGED_LOST, "a")),
    lie("refund out of suspense that no book has", AUTH.done() + Rows(KEPT_APART + GIVEN_BACK,
        (LATE_CAPTURE,)), "check_postings_are_charged", (KIND.POSTING_WITHOUT_CAPTURE, "a"),
        (KIND.MOVED_UNASKED, "a")),
    lie("late authorization, voided, and two others", GOOD + Rows((), (LATE_AUTH, LATE_VOID,
        replace(AUTH, key="k2").charge()), TOLD[:1]), "check_references_authorize_once",
        (KIND.REFERENCE_AUTHORIZED_TWICE, "a"), (KIND.REFUSED_BUT_CHARGED, "a")),
    lie("reference authorized in two books", GOOD + Rows((), (replace(AUTH, key="k2", provider="south")
        .charge(),)), "check_references_authorize_once", (KIND.REFERENCE_AUTHORIZED_TWICE, "a")),
]  # fmt: skip

TRUTHS = {
    "nothing happened": Rows(),
    "paid": GOOD,
    "refunded in two parts": paid("a") + Step("a", REFUND, minor=400, key="r1").done()
    + Step("a", REFUND, minor=600, key="r2").done(),
    "failed, then paid under another key": Rows((), (), (replace(AUTH, key="k1").answer(Outcome.FAILED),))
    + paid("a"),
    "failed, then left open and authorized": Rows((), (AUTH.charge(),),
        (replace(AUTH, key="k1").answer(Outcome.FAILED), AUTH.answer(Outcome.UNKNOWN))),
    "failed, then charged under another key": AUTH.done() + A.done()
    + Rows((), (), (replace(A, key="k1").answer(Outcome.FAILED),)),
    "declined in the book": Rows(
        (), (AUTH.charge(ChargeStatus.DECLINED),), (AUTH.answer(Outcome.DECLINED),)),
    "open and nothing in any book": Rows((), (), (AUTH.answer(Outcome.INDETERMINATE),)),
    "rejected": Rows((), (), (AUTH.answer(Outcome.REJECTED),)),
    "a whole world": whole_world(),
    "open, then known": AUTH.done() + A.done(A.answer(Outcome.UNKNOWN),
        A.answer(Outcome.INDETERMINATE), A.answer()),
    "known, then a busy answer": AUTH.done() + A.done(A.answer(),
        A.answer(Outcome.UNKNOWN), A.answer(Outcome.REJECTED)),
    "authorized and declined for a client whose acknowledgement log nobody has": GOOD + Rows((), (
        Step("x", AUTHORIZE).charge(), Step("y", AUTHORIZE, "south").charge(ChargeStatus.DECLINED))),
    "captured in two parts": AUTH.done() + PARTS[0].done() + PARTS[1].done(),
    "captured in part, the rest voided": AUTH.done() + PARTS[0].done() + GONE.done(),
    "voided whole": AUTH.done() + replace(GONE, minor=1000).done(),
    "charged back": GOOD + TAKEN.done(),
    "charged back in part, and won": GOOD + replace(TAKEN, minor=1).done() + replace(WON, minor=1).done(),
    "two parts, each charged back": AUTH.done() + PARTS[0].done() + PARTS[1].done()
    + replace(TAKEN, minor=600).done() + replace(TAKEN, minor=400, key="case-rest", of="rest").done(),
    "paid out": GOOD + PAID.done(),
    "failed, authorized late and voided": Rows((), (LATE_AUTH, LATE_VOID), TOLD[:1]),
    "failed, authorized late and voided, then paid": Rows((), (LATE_AUTH, LATE_VOID), TOLD[:1]) + GOOD,
    "paid, then authorized late and voided": GOOD + Rows((), (LATE_VOID, LATE_AUTH), TOLD[:1]),
    "failed, captured late and given back, then captured": AUTH.done() + Rows(KEPT_APART + GIVEN_BACK,
        (LATE_CAPTURE, LATE_REFUND), TOLD[1:]) + A.done(),
    "failed, refunded late and borne by its merchant": paid("a") + LATE_BACK + _release(),
    "failed, refunded late and borne, then refunded": Step("a", AUTHORIZE, minor=2000).done()
    + replace(A, minor=2000).done() + LATE_BACK + _release() + Step("a", REFUND, key="anew").done(),
    "a hold that balances": GOOD + Rows(tuple(replace(line, entry_id="hold", entry_kind="hold",
        account=_held(line.account)) for line in A.lines())),
    "a capture that ends its hold": GOOD + Step("c", AUTHORIZE).done() + replace(
        Step("c", CAPTURE).done(), postings=(
        *Step("c", CAPTURE).lines(), *altered(Step("c", CAPTURE).lines(), lambda x: replace(x,
        account=_held(x.account), amount_minor=-x.amount_minor)))),
    "a fee that its report takes": GOOD + report(7, {"EUR": 17}),
    "a report that takes nothing": GOOD + report(7),
}  # fmt: skip


@pytest.mark.parametrize("name", TRUTHS)
def test_a_truth_is_not_reported(name: str) -> None:
    """What may happen in a healthy service is no discrepancy."""
    assert TRUTHS[name].audit() == ()


@pytest.mark.parametrize("planted", LIES, ids=lambda planted: planted.name)
def test_a_lie_is_found_with_its_kind_and_nothing_else(planted: Lie) -> None:
    """Each corruption is reported as what it is, for the payment it hits."""
    assert planted.rows.found() == planted.found


@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
def test_a_check_that_is_switched_off_is_missed(check: str) -> None:
    """Mutation: no check is a copy of another, each finds a lie that all others let pass."""
    missed = [
        planted.name
        for planted in LIES
        if planted.check == check and planted.found - planted.rows.found(check)
    ]
    missed += [
        name for name, (alter, found) in SABOTAGES.items() if found - alter(whole_world()).found(check)
    ]
    assert missed


@given(healthy_rows())
def test_healthy_rows_are_whole(rows: Rows) -> None:
    """No order of rows, noise, replay, retry or lost answer makes healthy rows suspicious."""
    assert rows.audit() == ()


@given(healthy_rows(), st.sampled_from(LIES), st.randoms(use_true_random=False))
def test_a_lie_is_found_among_healthy_payments(rows: Rows, planted: Lie, random: Random) -> None:
    """Healthy payments neither hide a lie nor are blamed for it."""
    # A lie may take money from its merchant, and then it is right that a payout is no longer covered.
    paid_out = any(charge.operation is PAYOUT for charge in rows.book)
    both = (_of_another_merchant(rows) if paid_out else rows) + planted.rows
    lines, book = list(both.postings), list(both.book)
    # Entries keep the order of their lines' heads; payments interleave at random.
    random.shuffle(lines)
    random.shuffle(book)
    mixed = replace(both, postings=tuple(lines), book=tuple(book))
    assert {kind for kind, _ in mixed.found()} == {kind for kind, _ in planted.found}
    healthy = {row.merchant_reference for row in rows.answers} | {row.reference for row in rows.book}
    assert not {subject for _, subject in mixed.found()} & healthy


def test_details_name_what_to_look_up() -> None:
    """A discrepancy says whose book, which key and how much, and what is at stake."""
    (found,) = _capture((), (A.charge(),)).audit()
    assert (found.amount_minor, found.currency) == (1000, "EUR")
    assert found.detail == "north's book has capture pk-capture-a over 1000 EUR has no entry in the ledger"
    amounts = [found.amount_minor for found in LIES[3].rows.audit()]
    assert amounts == [100, 100]


def test_three_empty_witnesses_are_not_whole() -> None:
    """Silence is no proof, unless someone asks for no evidence in so many words."""
    report = audit((), (), ())
    assert not report.whole
    assert len(report.missing_evidence) == 3
    assert "NOT whole" in report.summary()
    assert audit((), (), (), minimum=MinimumEvidence(0, 0, 0)).whole


@pytest.mark.parametrize("silent", ["postings", "book", "answers"])
def test_one_silent_witness_is_not_whole(silent: str) -> None:
    """Two witnesses cannot vouch for the third."""
    empty: dict[str, tuple[()]] = {silent: ()}
    rows = replace(GOOD, **empty)
    report = audit(rows.postings, rows.book, rows.answers)
    assert len(report.missing_evidence) == 1


def test_the_minimum_is_met_or_missed_by_one() -> None:
    """The bound counts captures and includes itself."""
    three = (GOOD.postings, GOOD.book, GOOD.answers)
    assert audit(*three, minimum=MinimumEvidence(2, 2, 2)).whole
    assert not audit(*three, minimum=MinimumEvidence(2, 2, 3)).whole


def test_a_report_sums_up_each_currency_by_itself() -> None:
    """The summary shows the money as each witness sees it, and never adds currencies."""
    rows = paid("a", currency="JPY") + paid("b") + Step("b", REFUND, minor=300).done()
    report = audit(rows.postings, rows.book, rows.answers)
    totals = {(row.operation, row.currency): row for row in report.totals}
    capture, refund = totals[CAPTURE, "JPY"], totals[REFUND, "EUR"]
    assert (capture.posted_minor, capture.booked_minor, capture.acknowledged_minor) == (1000, 1000, 1000)
    assert (refund.posted_minor, refund.booked_minor, refund.acknowledged_minor) == (300, 300, 300)
    assert "capture EUR: posted 1000, in the books 1000, acknowledged 1000" in report.summary()
    assert report.rows.posting_lines == 6


def test_a_report_sums_up_what_was_charged_back_and_paid_out() -> None:
    """Each in its own row and as a positive sum, whatever way the money went."""
    rows = GOOD + TAKEN.done() + WON.done() + PAID.done() + AUTH.done() + GONE.done()
    totals = {row.operation: row for row in audit(rows.postings, rows.book, rows.answers).totals}
    seen = {
        operation: (row.posted_minor, row.booked_minor, row.acknowledged_minor)
        for operation, row in totals.items()
    }
    assert (seen[CHARGEBACK], seen[REVERSAL]) == ((1000, 1000, 0), (1000, 1000, 0))
    assert (seen[PAYOUT], seen[VOIDING]) == ((1000, 1000, 1000), (0, 400, 400))


def test_a_summary_is_bounded() -> None:
    """A broken run of thousands does not flood the terminal."""
    book = tuple(Step(f"r{number}", AUTHORIZE).charge() for number in range(50))
    book += tuple(Step(f"r{number}", CAPTURE).charge() for number in range(50))
    summary = audit((), book, ()).summary()
    assert "and 30 more" in summary
    assert len(summary.splitlines()) < 30


@pytest.mark.heavy
def test_the_audit_is_linear() -> None:
    """A hundred thousand rows, also under one single reference, take seconds and not hours."""
    count = 10_000
    rows = Rows(
        tuple(line for number in range(count) for line in Step(f"r{number}", CAPTURE).lines()),
        tuple(
            Step(f"r{number}", operation).charge()
            for number in range(count)
            for operation in (AUTHORIZE, CAPTURE)
        ),
        tuple(Step(f"r{number}", CAPTURE).answer() for number in range(count)),
    )
    assert rows.audit() == ()
    one = tuple(Step("one", REFUND, key=f"k{number}") for number in range(count))
    whole = Step("one", AUTHORIZE, minor=10**9), Step("one", CAPTURE, minor=10**9)
    crowded = sum((step.done() for step in whole), Rows())
    crowded += Rows((), tuple(step.charge() for step in one), tuple(step.answer() for step in one))
    assert len(crowded.audit()) == 2 * count
