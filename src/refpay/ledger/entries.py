"""Which lines an entry has; debit positive, zero in each currency by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from refpay.ids import mint_id
from refpay.money import Currency, Money


class EntryKind(StrEnum):
    """What an entry records."""

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
    """The classes of accounts; each is kept per provider, merchant or currency."""

    PROVIDER_RECEIVABLE = "provider_receivable"
    MERCHANT_PAYABLE = "merchant_payable"
    # Holds are promises, not money: no posted account ever stands against one of these two.
    HOLD_RECEIVABLE = "hold_receivable"
    HOLD_PAYABLE = "hold_payable"
    PROVIDER_FEES = "provider_fees"
    PAYOUT_CLEARING = "payout_clearing"
    FX_POSITION = "fx_position"
    SUSPENSE = "suspense"

    def of(self, owner: str) -> str:
        """Return the account's name: `merchant_payable:shop`."""
        return f"{self}:{owner}"


@dataclass(frozen=True, slots=True)
class Line:
    """One leg; the amount is signed and never 0."""

    account: str
    currency: Currency
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A balanced set of lines for exactly one operation; an account appears once a currency."""

    id: UUID
    kind: EntryKind
    operation_id: UUID
    payment_id: UUID | None
    posted_at: datetime
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Movement:
    """Money moved for a merchant at a provider; what is no payment's (a payout) has no `payment_id`."""

    operation_id: UUID
    payment_id: UUID | None
    provider: str
    merchant: str
    money: Money


def hold_entry(movement: Movement, now: datetime) -> Entry:
    """Return the hold of an authorization: what may be captured, apart from what is posted."""
    return _entry(EntryKind.HOLD, movement, now, _pair(*_hold(movement), movement.money))


def release_entry(movement: Movement, now: datetime) -> Entry:
    """Return the release of what is left of a hold, by a void or when it expired."""
    return _entry(EntryKind.RELEASE, movement, now, _release(movement, movement.money.amount_minor))


def capture_entry(movement: Movement, now: datetime, *, release_minor: int = 0) -> Entry:
    """Return the posting of a capture: the provider owes us, we owe the merchant.

    `release_minor` of the hold end with it: what is captured, or all that is left if no more may be; 0 for
    what was never held.
    """
    lines = _pair(_receivable(movement), _payable(movement), movement.money)
    return _entry(EntryKind.POSTING, movement, now, lines + _release(movement, release_minor))


def refund_entry(movement: Movement, now: datetime) -> Entry:
    """Return the reversal of what was refunded."""
    lines = _pair(_payable(movement), _receivable(movement), movement.money)
    return _entry(EntryKind.REVERSAL, movement, now, lines)


def payout_entry(movement: Movement, now: datetime) -> Entry:
    """Return the payout to a merchant: we owe it less, and the provider is to clear the transfer."""
    clearing = Account.PAYOUT_CLEARING.of(movement.provider)
    return _entry(EntryKind.PAYOUT, movement, now, _pair(_payable(movement), clearing, movement.money))


def chargeback_entry(movement: Movement, now: datetime) -> Entry:
    """Return what a chargeback takes back from the merchant."""
    lines = _pair(_payable(movement), _receivable(movement), movement.money)
    return _entry(EntryKind.CHARGEBACK, movement, now, lines)


def chargeback_won_entry(movement: Movement, now: datetime) -> Entry:
    """Return the reversal of a chargeback that was won."""
    lines = _pair(_receivable(movement), _payable(movement), movement.money)
    return _entry(EntryKind.CHARGEBACK_REVERSAL, movement, now, lines)


def report_entry(
    kind: EntryKind, operation_id: UUID, provider: str, owed: Mapping[Currency, int], now: datetime
) -> Entry:
    """Return a FEE or an FX of a report: what the provider owes us more, or less if negative, by currency.

    Each currency is zero by itself, against the provider's fees or our position in the currency.
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
    """Return money that a provider moved and nobody can explain yet; it took it if not `received`.

    `release_minor` of a hold end with it.
    """
    receivable, suspense = _receivable(movement), Account.SUSPENSE.of(movement.provider)
    debit, credit = (receivable, suspense) if received else (suspense, receivable)
    lines = _pair(debit, credit, movement.money) + _release(movement, release_minor)
    return _entry(EntryKind.SUSPENSE, movement, now, lines)


def suspense_release_entry(movement: Movement, now: datetime, *, received: bool = True) -> Entry:
    """Return its explanation: it was the merchant's all along; `received` as in `suspense_entry`."""
    suspense, payable = Account.SUSPENSE.of(movement.provider), _payable(movement)
    debit, credit = (suspense, payable) if received else (payable, suspense)
    return _entry(EntryKind.SUSPENSE_RELEASE, movement, now, _pair(debit, credit, movement.money))


def _receivable(movement: Movement) -> str:
    return Account.PROVIDER_RECEIVABLE.of(movement.provider)


def _payable(movement: Movement) -> str:
    return Account.MERCHANT_PAYABLE.of(movement.merchant)


def _release(movement: Movement, minor: int) -> tuple[Line, ...]:
    """Return the lines that end so much of a hold; none for 0."""
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
