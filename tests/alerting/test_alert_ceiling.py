"""The ceiling of the cost per transaction: over it when fees double, under it when they do not."""

import statistics
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice

import pytest
from loadtests.orders import Orders

from moneypath.path.guards import RatioGuard
from moneypath.path.model import MoneyPath

WINDOWS = 400


@pytest.fixture(scope="module")
def guard(money_path: MoneyPath) -> RatioGuard:
    """Return the guard of the repository's declaration."""
    found = next(guard for guard in money_path.guards if guard.id == "cost_per_transaction")
    assert isinstance(found, RatioGuard)
    return found


def fees(money_path: MoneyPath, provider: str) -> Iterator[float]:
    """Yield the fee of each captured payment of the load test at `provider`, in micro-units."""
    costs = money_path.costs
    assert costs is not None
    fee = next(each for each in costs.provider_fees if each.provider == provider)
    orders = Orders(
        seed="ceiling",
        user=1,
        nonce="x",
        card_range_weights={"411111": 1},
        refund_ratio=0.1,
        resend_ratio=0.0,
    )
    while True:
        order = orders.next_order()
        minor = fee.fixed[order.currency] + (order.capture_minor * fee.basis_points + 5000) // 10_000
        major = Decimal(minor).scaleb(-money_path.currencies[order.currency])
        yield float(major * costs.rates.to_reporting[order.currency] * 1_000_000)


def means(money_path: MoneyPath, provider: str, events: int) -> list[float]:
    """Return the mean fee in many windows of so many payments."""
    endless = fees(money_path, provider)
    return [statistics.fmean(islice(endless, events)) for _ in range(WINDOWS)]


def capacity_per_event(money_path: MoneyPath, guard: RatioGuard) -> float:
    """Return what capacity adds to each of the fewest payments that count, in micro-units."""
    assert money_path.costs is not None
    an_hour = sum(each.price_per_hour for each in money_path.costs.provisioned)
    return float(an_hour) * 1_000_000 / 3600 * guard.window_seconds / guard.min_events


def test_no_window_of_honest_fees_is_over_the_ceiling(money_path: MoneyPath, guard: RatioGuard) -> None:
    """Even with the fewest payments that count, all at one provider, and capacity on top."""
    extra = capacity_per_event(money_path, guard)
    for provider in money_path.provider_ids():
        assert max(means(money_path, provider, guard.min_events)) + extra < float(guard.limit)


@pytest.mark.heavy
def test_doubled_fees_are_over_the_ceiling(money_path: MoneyPath, guard: RatioGuard) -> None:
    """At either provider nearly every window shows it; with more payments every one does."""
    for provider in money_path.provider_ids():
        few = [2 * mean for mean in means(money_path, provider, guard.min_events)]
        assert sum(mean > float(guard.limit) for mean in few) > 0.8 * WINDOWS
        many = [2 * mean for mean in means(money_path, provider, 20 * guard.min_events)]
        assert min(many) > float(guard.limit)
