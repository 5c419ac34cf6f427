"""What a producer sends, and what was counted of its messages."""

from collections.abc import Callable

import pytest

from moneypath.telemetry.catalogue.vocabulary import DeadLetterReason
from moneypath.telemetry.correlation import Context, Trace

Read = Callable[..., float | None]
Counts = Callable[[], tuple[float | None, float | None, float | None]]
Dead = Callable[[], dict[str, float]]


@pytest.fixture
def producer() -> Context:
    """Return the context of a request that publishes."""
    trace = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True)
    return Context("order-12345678", trace, "pay-1")


@pytest.fixture
def counts(read: Read) -> Counts:
    """Return how many deliveries of the notifications were handled, failed and became dead letters."""

    def count(outcome: str) -> float | None:
        return read("moneypath_message_duration_seconds_count", queue="notifications", outcome=outcome)

    return lambda: (count("handled"), count("failed"), count("dead_lettered"))


@pytest.fixture
def dead(read: Read) -> Dead:
    """Return the dead letters of the notifications by reason, without the zeros."""

    def count() -> dict[str, float]:
        found = {
            reason.value: read("moneypath_dead_letters_total", queue="notifications", reason=reason.value)
            for reason in DeadLetterReason
        }
        return {reason: value for reason, value in found.items() if value}

    return count
