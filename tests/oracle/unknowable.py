"""What the witnesses cannot know: changes of a single fact that leave a world whole, each with its reason.

`docs/guides/oracle.md` has the same table. A change that is neither here nor found fails the property tests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from moneypath.oracle import ChargeStatus, Operation, Outcome

# A row of a witness, and the new value of the changed fact; None stands for the row's removal.
Covers = Callable[[Any, Any], bool]
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


def _always(_: Any, __: Any) -> bool:
    return True


UNKNOWABLE: Final = (
    Unknowable(
        "ledger", ("entry_id", "operation_id"), "a whole entry",
        "The service's own names. Nobody outside has them, and no amount depends on them.", _always,
    ),
    Unknowable(
        "ledger", ("posted_at",), "a whole entry",
        "Only the service knows when it posted. A payout that is posted before it was owed is found.",
        _always,
    ),
    Unknowable(
        "ledger", ("payment_id", "merchant"), "left empty in a whole entry, or on a fee or an exchange",
        "An entry that names nobody contradicts nobody. Its accounts and its reference say whose it is.",
        lambda line, new: not new or line.entry_kind in REPORTED or not line.payment_id,
    ),
    Unknowable(
        "ledger", ("report",), "an entry that is no fee and no exchange",
        "No report is compared with it.", lambda line, _: line.entry_kind not in REPORTED,
    ),
    Unknowable(
        "ledger", ("provider_key",), "a chargeback, a release, a fee or an exchange",
        "These are named by their case, by the key of the late refund, or by their report.",
        lambda line, _: line.entry_kind.startswith("chargeback")
        or line.entry_kind in ("suspense_release", *REPORTED),
    ),
    Unknowable(
        "ledger", ("idempotency_key",), "a refund that the service makes by itself, a fee or an exchange",
        "No client asked for it, so no client knows a key of it.",
        lambda line, _: line.entry_kind in ("suspense", *REPORTED),
    ),
    Unknowable(
        "ledger", ("merchant_reference",), "a release, a fee or an exchange",
        "A release is joined to its refund by the provider key; a report has no reference.",
        lambda line, _: line.entry_kind in ("suspense_release", *REPORTED),
    ),
    Unknowable(
        "book", (REMOVED, "amount_minor", "currency", "key", "operation", "parent", "provider",
                 "provider_reference", "reference", "status"),
        "an operation that was declined or refused",
        "It moved nothing. The client's word that it was told no is all that remains.",
        lambda charge, new: charge.status in NOTHING_MOVED
        and (not isinstance(new, ChargeStatus) or new in NOTHING_MOVED),
    ),
    Unknowable(
        "book", ("seq", "at", "card_range"), "any operation",
        "The provider's own order, clock and card. No other witness has them.", _always,
    ),
    Unknowable(
        "book", ("key",), "an authorization or a void",
        "The ledger shows no holds, so nothing is compared with the key.",
        lambda charge, _: charge.operation in MOVES_NO_MONEY,
    ),
    Unknowable(
        "book", ("provider_reference",), "an operation that nothing builds on",
        "Only a later operation would name it.", _always,
    ),
    Unknowable(
        "book", ("parent",), "an authorization or a payout",
        "It builds on nothing.",
        lambda charge, _: charge.operation in (Operation.AUTHORIZE, Operation.PAYOUT),
    ),
    Unknowable(
        "book", ("beneficiary",), "left empty on a payout, or anything on another operation",
        "A provider that names no payee contradicts nobody; of other operations it does not know the payee.",
        lambda charge, new: not new or charge.operation is not Operation.PAYOUT,
    ),
    Unknowable(
        "answers", ("outcome",), "a success turned into an open answer",
        "The client is the only witness of what it was told. Movements are still held to what it asked for.",
        lambda _, new: new in OPEN,
    ),
    Unknowable(
        "answers", ("outcome",), "one no turned into another",
        "Each says that nothing happened, and is held to it.",
        lambda answer, new: answer.outcome in SAID_NO and new in SAID_NO,
    ),
    Unknowable(
        "answers", ("payment_id",), "left empty, or of a payment that the ledger has no entry of",
        "Nothing was posted that could be compared with it.", _always,
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


def explain(witness: str, fact: str, row: Any, new: Any) -> Unknowable | None:
    """Return why a change cannot be known, or None if it has to be found."""
    return next(
        (one for one in UNKNOWABLE if one.witness == witness and fact in one.facts and one.covers(row, new)),
        None,
    )
