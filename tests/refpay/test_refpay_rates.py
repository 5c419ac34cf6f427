"""Rate limits: exact, apart from one another, bounded, reported to the caller, and counted."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refpay.app import rate_limits
from refpay.app.errors import RateLimited
from refpay.app.rate_limits import RateLimiter
from refpay.settings import RateSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from refpay.settings import Settings


PAYMENTS = "moneypath_payments_total"
LIMITED = "moneypath_requests_limited_total"
NONE = {"provider": "none", "traffic": "live"}


class Clock:
    """Time as the test tells it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return it."""
        return self.now


def taken(limits: RateLimiter, principal: str, tries: int) -> int:
    """Return how many of so many requests are taken."""
    count = 0
    for _ in range(tries):
        try:
            limits.take(principal)
        except RateLimited:
            continue
        count += 1
    return count


def test_a_second_holds_as_many_as_are_allowed() -> None:
    """A full bucket at once, then one each time that one has come back."""
    clock = Clock()
    limits = RateLimiter(RateSettings(principal_per_second=10), clock)
    assert taken(limits, "shop", 50) == 10
    clock.now += 0.1
    assert taken(limits, "shop", 50) == 1
    clock.now += 60
    assert taken(limits, "shop", 50) == 10


def test_one_principal_takes_nothing_from_another() -> None:
    """Nor does a refused request take anything from all together."""
    limits = RateLimiter(RateSettings(principal_per_second=3, whole_per_second=5), Clock())
    assert taken(limits, "flood", 1000) == 3
    assert taken(limits, "shop", 1000) == 2
    with pytest.raises(RateLimited, match="whole"):
        limits.take("third")


def test_strangers_take_nothing_from_those_who_are_known() -> None:
    """They have a bucket of their own, all of them one."""
    limits = RateLimiter(RateSettings(whole_per_second=2, strangers_per_second=3), Clock())
    for _ in range(3):
        limits.take_unauthenticated()
    with pytest.raises(RateLimited, match="strangers"):
        limits.take_unauthenticated()
    assert taken(limits, "shop", 10) == 2


@pytest.mark.parametrize(("per_second", "wait"), [(1, 1), (1000, 1)])
def test_the_caller_is_told_when_to_come_back(per_second: int, wait: int) -> None:
    """In whole seconds, never none; and then a request is taken."""
    clock = Clock()
    limits = RateLimiter(RateSettings(principal_per_second=per_second), clock)
    taken(limits, "shop", per_second)
    with pytest.raises(RateLimited) as refused:
        limits.take("shop")
    assert refused.value.retry_after_seconds == wait
    clock.now += wait
    limits.take("shop")


@given(
    st.integers(1, 50),
    st.lists(st.floats(0, 2, allow_nan=False), min_size=1, max_size=60),
)
def test_no_span_holds_more_than_burst_and_rate(rate: int, pauses: list[float]) -> None:
    """Whatever the arrivals: within t seconds at most one second's worth and t times the rate."""
    clock = Clock()
    limits = RateLimiter(RateSettings(principal_per_second=rate), clock)
    arrivals = []
    for pause in pauses:
        clock.now += pause
        arrivals += [clock.now] * taken(limits, "shop", 5)
    for first in range(len(arrivals)):
        for last in range(first, len(arrivals)):
            span = arrivals[last] - arrivals[first]
            assert last - first + 1 <= rate + rate * span + 1e-6


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full buckets are forgotten first, so nobody gains anything by it."""
    monkeypatch.setattr(rate_limits, "_NAMES_MAXIMUM", 4)
    clock = Clock()
    limits = RateLimiter(RateSettings(principal_per_second=2, whole_per_second=10_000), clock)
    for number in range(100):
        limits.take(f"idle-{number}")
        clock.now += 10
    assert taken(limits, "busy", 5) == 2
    for number in range(3):
        limits.take(f"new-{number}")
    assert taken(limits, "busy", 5) == 0
    for number in range(100):
        limits.take(f"more-{number}")
    assert len(limits._own) <= 4


async def test_the_api_says_429_and_counts_it(
    settings: "Settings", run_api: "Callable[[Settings], Any]"
) -> None:
    """With Retry-After, for payments and for reading; machines of the house are never limited."""
    tight = replace(settings, rates=RateSettings(principal_per_second=2, strangers_per_second=1))
    async with run_api(tight) as api:
        # All at once, and far more than a slow machine gets through while it is given two a second.
        answers = await asyncio.gather(*(api.get("/v1/payments") for _ in range(60)))
        statuses = [answer.status for answer in answers]
        assert statuses.count(200) >= 2
        assert set(statuses) == {200, 429}
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.body["code"] == "rate_limited"
        assert int(refused.headers["Retry-After"]) >= 1
        known = [(await api.get("/v1/payments", by="rival")).status for _ in range(2)]
        assert known == [200, 200]
        told = await asyncio.gather(*(api.send("GET", "/v1/payments", by=None) for _ in range(30)))
        strangers = [answer.status for answer in told]
        assert set(strangers) == {401, 429}
        assert {(await api.get("/readyz", by=None)).status for _ in range(10)} == {200}
        counted = [await api.metric(LIMITED, limit=one) for one in ("principal", "strangers")]
        assert counted == [statuses.count(429), strangers.count(429)]
        answers = await asyncio.gather(*(api.authorize() for _ in range(60)))
        refused = [answer for answer in answers if answer.status == 429]
        assert refused
        assert await api.metric(PAYMENTS, operation="authorize", outcome="rejected", **NONE) == len(refused)


async def test_our_own_limit_counts_as_shed(
    settings: "Settings", run_api: "Callable[[Settings], Any]"
) -> None:
    """All callers together sent more than we take: that is ours, and the availability shows it."""
    async with run_api(replace(settings, rates=RateSettings(whole_per_second=1))) as api:
        answers = await asyncio.gather(*(api.authorize() for _ in range(20)))
        refused = [answer for answer in answers if answer.status == 429]
        assert refused
        assert all("whole" in answer.body["detail"] for answer in refused)
        assert await api.metric(PAYMENTS, operation="authorize", outcome="shed", **NONE) == len(refused)
        assert await api.metric(LIMITED, limit="whole") == len(refused)
