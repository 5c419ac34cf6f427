"""Build ledger entries. Debit is positive, and each currency of an entry sums to zero."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from refpay.ids import mint_id
from refpay.money import Currency, Money


class EntryKind(StrEnum):
    """The kind of business event that an entry records."""

    HOLD = "hold"
    RELEASE = "release"
    POSTING = "posting"
    REVERSAL = "reversal"
    PAYOUT = "payout"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSAL = "chargeback_reversal"
    FEE = "fee"
    FX = "fx"
    SUSPENSE = "suspense"
    SUSPENSE_RELEASE = "suspense_release"


class Account(StrEnum):
    """The classes of accounts. Each class has one account per provider, merchant or currency."""

    PROVIDER_RECEIVABLE = "provider_receivable"
    MERCHANT_PAYABLE = "merchant_payable"
    # Holds are promises, not money: they never balance against a posted account.
    HOLD_RECEIVABLE = "hold_receivable"
    HOLD_PAYABLE = "hold_payable"
    PROVIDER_FEES = "provider_fees"
    PAYOUT_CLEARING = "payout_clearing"
    FX_POSITION = "fx_position"
    SUSPENSE = "suspense"

    def of(self, owner: str) -> str:
        """Return the name of one account of the class: `merchant_payable:shop`."""
        return f"{self}:{owner}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an entry. The amount is signed and never 0."""

    account: str
    currency: Currency
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A balanced set of lines for one operation. An account appears at most once per currency."""

    id: UUID
    kind: EntryKind
    operation_id: UUID
    payment_id: UUID | None
    posted_at: datetime
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Movement:
    """Money moved for a merchant at a provider.

    A movement without a payment (a payout) has no `payment_id`.
    """

    operation_id: UUID
    payment_id: UUID | None
    provider: str
    merchant: str
    money: Money


def hold_entry(movement: Movement, now: datetime) -> Entry:
    """Return the hold of an authorization: what may be captured, on accounts apart from posted money."""
    return _entry(EntryKind.HOLD, movement, now, _pair(*_hold(movement), movement.money))


def release_entry(movement: Movement, now: datetime) -> Entry:
    """Return the release of what is left of a hold, after a void or an expiry."""
    return _entry(EntryKind.RELEASE, movement, now, _release(movement, movement.money.amount_minor))


def capture_entry(movement: Movement, now: datetime, *, release_minor: int = 0) -> Entry:
    """Return the posting of a capture: the provider owes us, we owe the merchant.

    `release_minor` of the hold end with it: the captured amount, all that is left if nothing more may be
    captured, or 0 for what was never held.
    """
    lines = _pair(_receivable(movement), _payable(movement), movement.money)
    return _entry(EntryKind.POSTING, movement, now, lines + _release(movement, release_minor))


def refund_entry(movement: Movement, now: datetime) -> Entry:
    """Return the reversal of a refunded amount."""
    lines = _pair(_payable(movement), _receivable(movement), movement.money)
    return _entry(EntryKind.REVERSAL, movement, now, lines)


def payout_entry(movement: Movement, now: datetime) -> Entry:
    """Return a payout to a merchant: we owe it less, and the provider has to clear the transfer."""
    clearing = Account.PAYOUT_CLEARING.of(movement.provider)
    return _entry(EntryKind.PAYOUT, movement, now, _pair(_payable(movement), clearing, movement.money))


def chargeback_entry(movement: Movement, now: datetime) -> Entry:
    """Return the posting of a chargeback: its amount is taken back from the merchant."""
    lines = _pair(_payable(movement), _receivable(movement), movement.money)
    return _entry(EntryKind.CHARGEBACK, movement, now, lines)


def chargeback_won_entry(movement: Movement, now: datetime) -> Entry:
    """Return the reversal of a chargeback that was won."""
    lines = _pair(_receivable(movement), _payable(movement), movement.money)
    return _entry(EntryKind.CHARGEBACK_REVERSAL, movement, now, lines)


def report_entry(
    kind: EntryKind, operation_id: UUID, provider: str, owed: Mapping[Currency, int], now: datetime
) -> Entry:
    """Return the FEE or FX entry of a settlement report.

    `owed` is by currency what the provider owes us more, or less if negative.
    Each currency sums to zero, against the provider's fees or our position in the currency.
    """
    fees, receivable = Account.PROVIDER_FEES.of(provider), Account.PROVIDER_RECEIVABLE.of(provider)
    lines: list[Line] = []
    for currency, minor in owed.items():
        if minor:
            other = fees if kind is EntryKind.FEE else Account.FX_POSITION.of(currency)
            lines += (Line(receivable, currency, minor), Line(other, currency, -minor))
    return Entry(mint_id(now), kind, operation_id, None, now, tuple(lines))


def suspense_entry(
    movement: Movement, now: datetime, *, received: bool = True, release_minor: int = 0
) -> Entry:
    """Return money that a provider moved without an explanation so far.

    If not `received`, the provider took it.

    `release_minor` of a hold end with it.
    """
    receivable, suspense = _receivable(movement), Account.SUSPENSE.of(movement.provider)
    debit, credit = (receivable, suspense) if received else (suspense, receivable)
    lines = _pair(debit, credit, movement.money) + _release(movement, release_minor)
    return _entry(EntryKind.SUSPENSE, movement, now, lines)


def suspense_release_entry(movement: Movement, now: datetime, *, received: bool = True) -> Entry:
    """Return the release from suspense to the merchant; `received` as in `suspense_entry`."""
    suspense, payable = Account.SUSPENSE.of(movement.provider), _payable(movement)
    debit, credit = (suspense, payable) if received else (payable, suspense)
    return _entry(EntryKind.SUSPENSE_RELEASE, movement, now, _pair(debit, credit, movement.money))


def _receivable(movement: Movement) -> str:
    return Account.PROVIDER_RECEIVABLE.of(movement.provider)


def _payable(movement: Movement) -> str:
    return Account.MERCHANT_PAYABLE.of(movement.merchant)


def _release(movement: Movement, minor: int) -> tuple[Line, ...]:
    """Return the lines that end an amount of a hold, none for 0."""
    if not minor:
        return ()
    receivable, payable = _hold(movement)
    return _pair(payable, receivable, replace(movement.money, amount_minor=minor))


def _hold(movement: Movement) -> tuple[str, str]:
    return Account.HOLD_RECEIVABLE.of(movement.provider), Account.HOLD_PAYABLE.of(movement.merchant)


def _pair(debit: str, credit: str, money: Money) -> tuple[Line, ...]:
    return (
        Line(debit, money.currency, money.amount_minor),
        Line(credit, money.currency, -money.amount_minor),
    )


def _entry(kind: EntryKind, movement: Movement, now: datetime, lines: tuple[Line, ...]) -> Entry:
    return Entry(mint_id(now), kind, movement.operation_id, movement.payment_id, now, lines)
