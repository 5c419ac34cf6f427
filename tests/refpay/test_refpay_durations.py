"""Latency counts from the arrival of a request, or an outage of the database would improve it."""

from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from moneypath.telemetry import Catalogue, setup
from refpay.clock import SystemClock
from refpay.db.errors import DatabaseUnavailable
from refpay.db.pool import Database
from refpay.identity.principals import Principal
from refpay.measures import API_METRICS, ServiceMetrics
from refpay.money import Currency, Money
from refpay.payments.claims import Command
from refpay.payments.intents import Deadlines
from refpay.payments.model import Order
from refpay.payments.service import Payments

CATALOGUE = Path(__file__).parents[2] / "src" / "refpay" / "catalogue.json"
WAITED_SECONDS = 3.0


class _Gone:
    """A database that lets its callers wait, by a clock of the test's own, and then is not there."""

    def __init__(self) -> None:
        self.now = 100.0

    def transaction(self) -> "_Gone":
        return self

    async def __aenter__(self) -> Any:
        self.now += WAITED_SECONDS
        raise DatabaseUnavailable("the database does not answer")

    async def __aexit__(self, *_: object) -> None:
        """Nothing was opened."""


async def test_the_wait_for_a_database_that_is_gone_counts_as_latency() -> None:
    """A payment that fails before it begins took as long as its caller waited."""
    gone = _Gone()
    recorder = setup(
        Catalogue.load(CATALOGUE), service="refpay-api", metrics=API_METRICS, clock=lambda: gone.now
    )
    day = timedelta(days=1)
    payments = Payments(
        cast("Database", gone),
        {},
        deadlines={"north": Deadlines(last_send=day, call=day, settle_after=day)},
        measures=ServiceMetrics(recorder),
        clock=SystemClock(),
    )
    order = Order("late", Money(100, Currency.EUR), "tok_411111_beef")
    command = Command(Principal("shop", frozenset()), "key", b"fingerprint", "correlation", "live")
    with pytest.raises(DatabaseUnavailable):
        await payments.authorize(command, order)
    labels = '{operation="authorize",outcome="failed"}'
    assert f"moneypath_payment_duration_seconds_sum{labels} {WAITED_SECONDS}\n" in recorder.render().decode()
