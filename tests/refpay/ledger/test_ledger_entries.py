"""The lines of each kind of entry, without a database."""

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
    Entry,
    EntryKind,
    Movement,
    capture_entry,
    chargeback_entry,
    chargeback_won_entry,
    hold_entry,
    payout_entry,
    refund_entry,
    release_entry,
    report_entry,
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
    (chargeback_won_entry, {}, EntryKind.CHARGEBACK_REVERSAL),
    (suspense_entry, {}, EntryKind.SUSPENSE),
    (suspense_entry, {"received": False}, EntryKind.SUSPENSE),
    (suspense_release_entry, {}, EntryKind.SUSPENSE_RELEASE),
)


def movement(amount: int = 1000, currency: Currency = Currency.EUR, payment: UUID | None = None) -> Movement:
    """Return a movement of the shop at north."""
    return Movement(uuid4(), payment, "north", "shop", Money(amount, currency))


def reported(kind: EntryKind, owed: dict[Currency, int]) -> Entry:
    """Return what a report of north changes."""
    return report_entry(kind, uuid4(), "north", owed, NOW)


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
    """For any amount; and no account cancels itself out within an entry."""
    moved = movement(amount, currency, uuid4())
    entry = make(moved, NOW, **more)
    assert (entry.kind, entry.operation_id, entry.payment_id, entry.posted_at) == (
        kind,
        moved.operation_id,
        moved.payment_id,
        NOW,
    )
    totals: dict[str, int] = defaultdict(int)
    for line in entry.lines:
        totals[line.currency] += line.amount_minor
    assert set(totals.values()) == {0}
    assert len({(line.account, line.currency) for line in entry.lines}) == len(entry.lines)
    assert all(line.amount_minor for line in entry.lines)


@given(
    kind=st.sampled_from([EntryKind.FEE, EntryKind.FX]),
    owed=st.dictionaries(
        st.sampled_from(Currency), st.integers(-MAXIMUM_MINOR, MAXIMUM_MINOR), min_size=1, max_size=4
    ).filter(lambda owed: any(owed.values())),
)
def test_what_a_report_changes_is_zero_in_each_currency(kind: EntryKind, owed: dict[Currency, int]) -> None:
    """The entry has what the provider stated against one other account per currency, and no merchant."""
    entry = reported(kind, owed)
    assert (entry.kind, entry.payment_id, entry.posted_at) == (kind, None, NOW)
    assert all(line.amount_minor for line in entry.lines)
    for currency, minor in owed.items():
        legs = {line.account: line.amount_minor for line in entry.lines if line.currency is currency}
        other = "provider_fees:north" if kind is EntryKind.FEE else f"fx_position:{currency}"
        assert legs == ({"provider_receivable:north": minor, other: -minor} if minor else {})


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
            reported(EntryKind.FEE, {Currency.EUR: -5}),
            {"provider_fees:north EUR": 5, "provider_receivable:north EUR": -5},
        ),
        (
            reported(EntryKind.FEE, {Currency.EUR: 5}),
            {"provider_fees:north EUR": -5, "provider_receivable:north EUR": 5},
        ),
        (
            reported(EntryKind.FX, {Currency.EUR: -500, Currency.KWD: 160}),
            {
                "provider_receivable:north EUR": -500,
                "fx_position:EUR EUR": 500,
                "provider_receivable:north KWD": 160,
                "fx_position:KWD KWD": -160,
            },
        ),
        # The rate was corrected: what is sold stays sold.
        (
            reported(EntryKind.FX, {Currency.EUR: 0, Currency.KWD: -3}),
            {"provider_receivable:north KWD": -3, "fx_position:KWD KWD": 3},
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
    """Nothing stays in suspense: only the provider and the merchant are left."""
    parts = (suspense_entry, suspense_release_entry)
    sign = 1 if received else -1
    assert net(*(make(movement(5), NOW, received=received) for make in parts)) == {
        "provider_receivable:north EUR": 5 * sign,
        "merchant_payable:shop EUR": -5 * sign,
    }


@pytest.mark.parametrize(
    ("make", "more", "named"),
    [
        (capture_entry, {"release_minor": -1}, "amount out of range"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(make: Make, more: dict[str, Any], named: str) -> None:
    """A negative release is refused."""
    with pytest.raises(InvariantViolation, match=named):
        make(movement(), NOW, **more)
