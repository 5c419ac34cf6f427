"""What each entry does to the accounts, without a database."""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refpay.errors import InvariantViolation
from refpay.ledger.entries import (
    Account,
    Entry,
    EntryKind,
    Movement,
    capture_entry,
    chargeback_entry,
    chargeback_won_entry,
    fee_entry,
    fx_entry,
    hold_entry,
    payout_entry,
    refund_entry,
    release_entry,
    suspense_entry,
    suspense_release_entry,
)
from refpay.money import MAXIMUM_MINOR, Currency, Money

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
Make = Callable[..., Entry]
MAKERS: tuple[tuple[Make, dict[str, Any], EntryKind], ...] = (
    (hold_entry, {}, EntryKind.HOLD),
    (release_entry, {}, EntryKind.RELEASE),
    (capture_entry, {}, EntryKind.POSTING),
    (capture_entry, {"release_minor": 7}, EntryKind.POSTING),
    (refund_entry, {}, EntryKind.REVERSAL),
    (payout_entry, {}, EntryKind.PAYOUT),
    (chargeback_entry, {}, EntryKind.CHARGEBACK),
    (chargeback_entry, {"borne_by": Account.CHARGEBACK_LOSSES}, EntryKind.CHARGEBACK),
    (chargeback_won_entry, {}, EntryKind.CHARGEBACK_REVERSAL),
    (fee_entry, {"account": Account.PROVIDER_FEES}, EntryKind.FEE),
    (fee_entry, {"account": Account.MERCHANT_FEES}, EntryKind.FEE),
    (fee_entry, {"account": Account.PROVIDER_FEES, "returned": True}, EntryKind.FEE),
    (fx_entry, {"bought": Money(31, Currency.KWD)}, EntryKind.FX),
    (suspense_entry, {}, EntryKind.SUSPENSE),
    (suspense_entry, {"received": False}, EntryKind.SUSPENSE),
    (suspense_release_entry, {}, EntryKind.SUSPENSE_RELEASE),
)


def movement(amount: int = 1000, currency: Currency = Currency.EUR, payment: UUID | None = None) -> Movement:
    """Return a movement of the shop at north."""
    return Movement(uuid4(), payment, "north", "shop", Money(amount, currency))


def net(*entries: Entry) -> dict[str, int]:
    """Return what the entries leave on each account, as `account currency`."""
    totals: dict[str, int] = defaultdict(int)
    for entry in entries:
        for line in entry.lines:
            totals[f"{line.account} {line.currency}"] += line.amount_minor
    return {name: total for name, total in totals.items() if total}


@pytest.mark.parametrize(("make", "more", "kind"), MAKERS)
@given(amount=st.integers(1, MAXIMUM_MINOR), currency=st.sampled_from([Currency.EUR, Currency.JPY]))
def test_every_entry_is_zero_in_each_currency(
    make: Make, more: dict[str, Any], kind: EntryKind, amount: int, currency: Currency
) -> None:
    """Whatever the amount, and no account cancels itself out within an entry."""
    moved = movement(amount, currency, uuid4())
    entry = make(moved, NOW, **more)
    assert (entry.kind, entry.operation_id, entry.payment_id, entry.posted_at) == (
        *(kind, moved.operation_id, moved.payment_id),
        NOW,
    )
    totals: dict[str, int] = defaultdict(int)
    for line in entry.lines:
        totals[line.currency] += line.amount_minor
    assert set(totals.values()) == {0}
    assert len({(line.account, line.currency) for line in entry.lines}) == len(entry.lines)
    assert all(line.amount_minor for line in entry.lines)


def test_a_hold_ends_with_its_captures_and_its_release() -> None:
    """Two partial captures and a void leave no hold, and only what was captured is posted."""
    entries = (
        hold_entry(movement(1000), NOW),
        capture_entry(movement(300), NOW, release_minor=300),
        capture_entry(movement(200), NOW, release_minor=200),
        release_entry(movement(500), NOW),
    )
    assert net(*entries) == {"provider_receivable:north EUR": 500, "merchant_payable:shop EUR": -500}


def test_a_hold_is_apart_from_posted_money() -> None:
    """A hold touches no account of posted money, and a capture touches the hold only by its release."""
    assert net(hold_entry(movement(9), NOW)) == {"hold_receivable:north EUR": 9, "hold_payable:shop EUR": -9}
    assert {account.split(":")[0] for account in net(capture_entry(movement(9), NOW))} == {
        "provider_receivable",
        "merchant_payable",
    }


@pytest.mark.parametrize(
    ("opened", "closed"),
    [
        (capture_entry, refund_entry),
        (hold_entry, release_entry),
        (chargeback_entry, chargeback_won_entry),
    ],
)
def test_what_takes_back_takes_back_everything(opened: Make, closed: Make) -> None:
    """An entry and the one that ends it leave nothing on any account."""
    assert net(opened(movement(), NOW), closed(movement(), NOW)) == {}
    assert net(opened(movement(), NOW)) != {}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (payout_entry(movement(5), NOW), {"merchant_payable:shop EUR": 5, "payout_clearing:north EUR": -5}),
        (
            chargeback_entry(movement(5), NOW),
            {"provider_receivable:north EUR": -5, "merchant_payable:shop EUR": 5},
        ),
        (
            chargeback_entry(movement(5), NOW, borne_by=Account.CHARGEBACK_LOSSES),
            {"provider_receivable:north EUR": -5, "chargeback_losses:north EUR": 5},
        ),
        (
            fee_entry(movement(5), NOW, account=Account.PROVIDER_FEES),
            {"provider_fees:north EUR": 5, "provider_receivable:north EUR": -5},
        ),
        (
            fee_entry(movement(5), NOW, account=Account.MERCHANT_FEES),
            {"merchant_payable:shop EUR": 5, "merchant_fees:shop EUR": -5},
        ),
        (
            fee_entry(movement(5), NOW, account=Account.PROVIDER_FEES, returned=True),
            {"provider_fees:north EUR": -5, "provider_receivable:north EUR": 5},
        ),
        (
            fx_entry(movement(500), NOW, bought=Money(160, Currency.KWD)),
            {
                "merchant_payable:shop EUR": 500,
                "fx_position:EUR EUR": -500,
                "merchant_payable:shop KWD": -160,
                "fx_position:KWD KWD": 160,
            },
        ),
        (
            suspense_entry(movement(5), NOW, received=False),
            {"suspense:north EUR": 5, "provider_receivable:north EUR": -5},
        ),
    ],
)
def test_each_entry_moves_what_it_says(entry: Entry, expected: dict[str, int]) -> None:
    """Debit positive: what somebody owes us, or what we paid."""
    assert net(entry) == expected


@pytest.mark.parametrize("received", [True, False])
def test_an_explained_suspense_is_the_merchants(received: bool) -> None:
    """Nothing stays in suspense: the provider and the merchant are what is left."""
    parts = (suspense_entry, suspense_release_entry)
    sign = 1 if received else -1
    assert net(*(make(movement(5), NOW, received=received) for make in parts)) == {
        "provider_receivable:north EUR": 5 * sign,
        "merchant_payable:shop EUR": -5 * sign,
    }


@pytest.mark.parametrize(
    ("make", "more", "named"),
    [
        (fee_entry, {"account": Account.SUSPENSE}, "no account of fees"),
        (chargeback_entry, {"borne_by": Account.FX_POSITION}, "no bearer"),
        (fx_entry, {"bought": Money(1, Currency.EUR)}, "nothing to exchange"),
        (capture_entry, {"release_minor": -1}, "amount out of range"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(make: Make, more: dict[str, Any], named: str) -> None:
    """A wrong account, an exchange within a currency, a negative release."""
    with pytest.raises(InvariantViolation, match=named):
        make(movement(), NOW, **more)
