"""What the witnesses cannot know: changes of a single fact that leave a world whole, each with its reason.

`docs/guides/oracle.md` has the same table. A change that is neither here nor found fails the property tests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from moneypath.oracle import Acknowledgement, ChargeStatus, Operation, Outcome

from .world import Rows

# A row of a witness, the new value of the changed fact (None stands for the row's removal), and all rows.
Covers = Callable[[Any, Any, Rows], bool]
REMOVED: Final = "(row removed)"
NOTHING_MOVED: Final = (ChargeStatus.DECLINED, ChargeStatus.REFUSED)
OPEN: Final = (Outcome.UNKNOWN, Outcome.INDETERMINATE)
SAID_NO: Final = (Outcome.DECLINED, Outcome.FAILED, Outcome.REJECTED, Outcome.UNPROCESSED)
MOVES_NO_MONEY: Final = (Operation.AUTHORIZE, Operation.VOID)
REPORTED: Final = ("fee", "fx")


@dataclass(frozen=True, slots=True)
class Unknowable:
    """Facts of a witness that no other witness states; `covers` says which rows and changes are meant."""

    witness: str
    facts: tuple[str, ...]
    where: str
    why: str
    covers: Covers

    @property
    def name(self) -> tuple[str, str, str]:
        """Return what the guide's row begins with."""
        return self.witness, ", ".join(self.facts), self.where


def _always(_: Any, __: Any, ___: Rows) -> bool:
    return True


def _is_asked_for(key: str, rows: Rows) -> bool:
    return any(request.idempotency_key == key for request in rows.requests or ())


def _outcomes(operation: Operation, reference: str, rows: Rows) -> set[Outcome]:
    """Return what the clients were told of one operation of an order."""
    return {
        answer.outcome
        for answer in rows.answers
        if (answer.operation, answer.merchant_reference) == (operation, reference)
    }


def _others(answer: Acknowledgement, rows: Rows) -> list[Outcome]:
    """Return what the other answers to the same request said."""
    same = [
        one.outcome
        for one in rows.answers
        if (one.operation, one.idempotency_key) == (answer.operation, answer.idempotency_key)
    ]
    same.remove(answer.outcome)
    return same


def _adds_nothing(answer: Acknowledgement, new: Outcome) -> bool:
    """Tell whether an outcome beside a success says no more: the same success, or nothing final."""
    return new in (Outcome.REJECTED, Outcome.UNPROCESSED) or (
        new is Outcome.SUCCEEDED and answer.payment_id is not None
    )


def _is_in_a_book(answer: Acknowledgement, rows: Rows) -> bool:
    return any(
        charge.effective
        and (charge.operation, charge.reference) == (answer.operation, answer.merchant_reference)
        for charge in rows.book
    )


UNKNOWABLE: Final = (
    Unknowable(
        "ledger", ("entry_id", "operation_id"), "a whole entry",
        "The service's own names. Nobody outside has them, and no amount depends on them.", _always,
    ),
    Unknowable(
        "ledger", ("posted_at",), "a whole entry",
        "Only the service knows when it posted. A payout that is posted before it was owed is found.",
        lambda line, new, _: line.entry_kind != "payout" or new > line.posted_at,
    ),
    Unknowable(
        "ledger", ("payment_id", "merchant"), "left empty in a whole entry, or on a fee or an exchange",
        "An entry that names nobody contradicts nobody. Its accounts and its reference say whose it is.",
        lambda line, new, _: not new or line.entry_kind in REPORTED or not line.payment_id,
    ),
    Unknowable(
        "ledger", ("report",), "an entry that is no fee and no exchange",
        "No report is compared with it.", lambda line, _, __: line.entry_kind not in REPORTED,
    ),
    Unknowable(
        "ledger", ("provider_key",), "a chargeback, a release, a fee or an exchange",
        "These are named by their case, by the key of the late refund, or by their report.",
        lambda line, _, __: line.entry_kind.startswith("chargeback")
        or line.entry_kind in ("suspense_release", *REPORTED),
    ),
    Unknowable(
        "ledger", ("idempotency_key",), "a refund that the service makes by itself, a fee or an exchange",
        "No client asked for it, so no client knows a key of it.",
        lambda line, _, rows: line.entry_kind in REPORTED
        or (line.entry_kind == "suspense" and not _is_asked_for(line.idempotency_key, rows)),
    ),
    Unknowable(
        "ledger", ("merchant_reference",), "a release, a fee or an exchange",
        "A release is joined to its refund by the provider key; a report has no reference.",
        lambda line, _, __: line.entry_kind in ("suspense_release", *REPORTED),
    ),
    Unknowable(
        "ledger", (REMOVED, "amount_minor", "currency", "idempotency_key", "merchant_reference",
                   "provider_key"),
        "a hold, its release, or its end in a capture",
        "A hold promises money and moves none. Nothing is compared with it, but that its lines sum to zero.",
        lambda line, _, __: line.account.startswith("hold_"),
    ),
    Unknowable(
        "book", (REMOVED, "amount_minor", "currency", "key", "operation", "parent", "provider",
                 "provider_reference", "reference", "status"),
        "an operation that was declined or refused",
        "It moved nothing. The client's word that it was told no is all that remains.",
        lambda charge, new, _: charge.status in NOTHING_MOVED
        and (not isinstance(new, ChargeStatus) or new in NOTHING_MOVED),
    ),
    Unknowable(
        "book", ("seq", "at", "card_range"), "any operation",
        "The provider's own order, clock and card. No other witness has them.", _always,
    ),
    Unknowable(
        "book", ("key",), "an authorization or a void",
        "The ledger shows no holds, so nothing is compared with the key.",
        lambda charge, _, __: charge.operation in MOVES_NO_MONEY,
    ),
    Unknowable(
        "book", ("provider_reference",), "an operation that nothing builds on",
        "Only a later operation would name it.",
        lambda charge, _, rows: not charge.operation.is_case and not any(
            one.effective and (one.provider, one.parent) == (charge.provider, charge.provider_reference)
            for one in rows.book
        ),
    ),
    Unknowable(
        "book", ("parent",), "an authorization or a payout",
        "It builds on nothing.",
        lambda charge, _, __: charge.operation in (Operation.AUTHORIZE, Operation.PAYOUT),
    ),
    Unknowable(
        "book", ("beneficiary",), "left empty on a payout, or anything on another operation",
        "A provider that names no payee contradicts nobody; of other operations it does not know the payee.",
        lambda charge, new, _: not new or charge.operation is not Operation.PAYOUT,
    ),
    Unknowable(
        "book", (REMOVED, "provider", "reference", "status"),
        "an authorization that its client got no final answer of",
        "It moves no money. Whoever asked for it knows neither that it was made nor that it was not.",
        lambda charge, new, rows: charge.operation is Operation.AUTHORIZE
        and (not isinstance(new, ChargeStatus) or new in NOTHING_MOVED)
        and _outcomes(charge.operation, charge.reference, rows) <= {*OPEN},
    ),
    Unknowable(
        "answers", ("outcome",), "any answer turned into an open one",
        "The client is the only witness of what it was told. Movements are still held to what it asked for.",
        lambda _, new, __: new in OPEN,
    ),
    Unknowable(
        "answers", ("outcome",), "one no turned into another, to a request that got no yes",
        "Each says that nothing happened, and is held to it.",
        lambda answer, new, rows: answer.outcome in SAID_NO and new in SAID_NO
        and Outcome.SUCCEEDED not in _others(answer, rows),
    ),
    Unknowable(
        "answers", ("outcome",), "one of several to a request, turned into what says no more than the others",
        "What the others say is held against the books.",
        lambda answer, new, rows: (Outcome.SUCCEEDED in _others(answer, rows) and _adds_nothing(answer, new))
        or (new is Outcome.UNPROCESSED and any(one in OPEN for one in _others(answer, rows))),
    ),
    Unknowable(
        "answers", ("outcome",), "the only answer to a request, open, turned into what did happen",
        "The books do not contradict it.",
        lambda answer, new, rows: answer.outcome in OPEN and not _others(answer, rows)
        and (new is Outcome.SUCCEEDED) is _is_in_a_book(answer, rows),
    ),
    Unknowable(
        "answers", ("payment_id",), "no success, or of a payment that the ledger has no entry of",
        "Nothing was posted for the answer that could be compared with it.",
        lambda answer, _, rows: answer.outcome is not Outcome.SUCCEEDED or not any(
            line.payment_id for line in rows.postings if line.merchant_reference == answer.merchant_reference
        ),
    ),
    Unknowable(
        "answers", ("at", "status_code", "replayed"), "any answer",
        "The outcome is what the client made of them; nobody else saw them.", _always,
    ),
    Unknowable(
        "requests", ("at",), "any request",
        "Only the client knows when it asked. A payout that was asked for before it was owed is found.",
        _always,
    ),
    Unknowable(
        "reports", ("at",), "any report",
        "The provider's own clock. It matters only between two versions of one report.", _always,
    ),
)  # fmt: skip


def explain(witness: str, fact: str, row: Any, new: Any, rows: Rows) -> Unknowable | None:
    """Return why a change cannot be known, or None if it has to be found."""
    return next(
        (
            one
            for one in UNKNOWABLE
            if one.witness == witness and fact in one.facts and one.covers(row, new, rows)
        ),
        None,
    )
