"""The one table of ledger entries: what each kind posts, which accounts it may touch, and on which side."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from moneypath.oracle.records import Operation, PostingLine


class Owner(StrEnum):
    """What the name of an account says after its class: `merchant_payable:shop`."""

    PROVIDER = "provider"
    MERCHANT = "merchant"
    CURRENCY = "currency"
    ANY = "any"


class Side(IntEnum):
    """The side on which an account is booked; a debit is positive."""

    DEBIT = 1
    CREDIT = -1
    EITHER = 0


@dataclass(frozen=True, slots=True)
class Leg:
    """One account of an entry, and the side on which it is booked."""

    account: str
    owner: Owner
    side: Side

    def is_of(self, line: PostingLine) -> bool:
        """Tell whether a line is on this account, of the provider or currency of its entry.

        Whose a merchant's account may be is another question, and more than the ledger answers it.
        """
        account, _, owner = line.account.partition(":")
        return account == self.account and self._is_owned(owner, line)

    def _is_owned(self, owner: str, line: PostingLine) -> bool:
        if self.owner is Owner.MERCHANT:
            return bool(owner)
        if self.owner is Owner.ANY:
            return True
        return owner == (line.currency if self.owner is Owner.CURRENCY else line.provider)


@dataclass(frozen=True, slots=True)
class EntryRule:
    """What an entry of a kind has to be.

    `stated` is the leg that comes to the amount of the provider's operation, `against` the other one: the
    same amount on the other side. Holds may end with an entry if it `ends_hold`. What is `kept` of the amount
    counts with the stated leg; legs `beside` may be there or not.
    """

    operation: Operation | None
    stated: Leg
    against: Leg
    ends_hold: bool = False
    kept: Leg | None = None
    beside: tuple[Leg, ...] = ()

    def states(self, line: PostingLine) -> bool:
        """Tell whether a line is a part of the amount that the entry states."""
        return self.stated.is_of(line) or (self.kept is not None and self.kept.is_of(line))

    def allows(self, line: PostingLine) -> bool:
        """Tell whether an entry may have this line."""
        if self.states(line) or self.against.is_of(line) or (self.ends_hold and is_hold(line)):
            return True
        return any(leg.is_of(line) for leg in self.beside)


def _leg(account: str, side: Side) -> Leg:
    return Leg(account, _OWNERS[account], side)


RECEIVABLE, PAYABLE, SUSPENSE = "provider_receivable", "merchant_payable", "suspense"
CLEARING, FEES, _POSITION = "payout_clearing", "provider_fees", "fx_position"
_HOLD_RECEIVABLE, _HOLD_PAYABLE = "hold_receivable", "hold_payable"
_OWNERS: Final[Mapping[str, Owner]] = {
    RECEIVABLE: Owner.PROVIDER,
    PAYABLE: Owner.MERCHANT,
    SUSPENSE: Owner.PROVIDER,
    CLEARING: Owner.PROVIDER,
    FEES: Owner.PROVIDER,
    _POSITION: Owner.CURRENCY,
    _HOLD_RECEIVABLE: Owner.PROVIDER,
    _HOLD_PAYABLE: Owner.MERCHANT,
}
_HOLD: Final = (_leg(_HOLD_RECEIVABLE, Side.EITHER), _leg(_HOLD_PAYABLE, Side.EITHER))
_PAID_IN: Final = (_leg(RECEIVABLE, Side.DEBIT), _leg(PAYABLE, Side.CREDIT))
_PAID_BACK: Final = (_leg(RECEIVABLE, Side.CREDIT), _leg(PAYABLE, Side.DEBIT))
_PAID_OUT: Final = (_leg(CLEARING, Side.CREDIT), _leg(PAYABLE, Side.DEBIT))
_CAPTURE: Final = EntryRule(Operation.CAPTURE, *_PAID_IN, ends_hold=True)
_REFUND: Final = EntryRule(Operation.REFUND, *_PAID_BACK)


def is_hold(line: PostingLine) -> bool:
    """Tell whether a line is on an account of holds, which promise money and are none."""
    return any(leg.is_of(line) for leg in _HOLD)


ENTRY_RULES: Final[Mapping[str, EntryRule]] = {
    "posting": _CAPTURE,
    "capture": _CAPTURE,
    "reversal": _REFUND,
    "refund": _REFUND,
    "payout": EntryRule(Operation.PAYOUT, *_PAID_OUT),
    "chargeback": EntryRule(Operation.CHARGEBACK, *_PAID_BACK),
    "chargeback_reversal": EntryRule(Operation.CHARGEBACK_REVERSAL, *_PAID_IN),
    # What a settlement report takes, and what its correction gives back: held to the report, not to a side.
    "fee": EntryRule(None, _leg(RECEIVABLE, Side.EITHER), _leg(FEES, Side.EITHER)),
    "fx": EntryRule(None, _leg(RECEIVABLE, Side.EITHER), _leg(_POSITION, Side.EITHER)),
    # A capture or a refund, whichever its side says, that the service had answered with no.
    "suspense": EntryRule(None, _leg(RECEIVABLE, Side.EITHER), _leg(SUSPENSE, Side.EITHER), ends_hold=True),
    "suspense_release": EntryRule(None, _leg(SUSPENSE, Side.EITHER), _leg(PAYABLE, Side.EITHER)),
    # Promises: no money.
    "hold": EntryRule(None, *_HOLD),
    "release": EntryRule(None, *_HOLD),
}
