"""The card-testing rule against a model in plain Python, on a real database; and a sale day, which is not."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from loadtests.orders import Orders

from acquirers.issuer import issuer_decline
from refpay.db.pool import Connection, Database
from refpay.risk import card_ranges
from refpay.risk.model import Assessment, AuthorizationAttempt, CardRange, RecentAuthorizations, Rule
from refpay.risk.screening import Screening, assess
from refpay.settings import DatabaseSettings, RiskSettings, read_secret

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
SERIAL: Final = itertools.count(1)
INSERT: Final = """
    INSERT INTO payments.payment (
        id, merchant, merchant_reference, status, amount_minor, currency, card_range, provider, created_at,
        captured_minor, refunded_minor)
    SELECT $1, 'model', $1::uuid::text, $2::text, $3::bigint, 'EUR', $4, 'north', $5,
           CASE WHEN $2 IN ('captured', 'refunded') THEN $3 ELSE 0 END,
           CASE WHEN $2 = 'refunded' THEN $3 ELSE 0 END
"""


class Said(StrEnum):
    """What became of an authorization; only the first four are an issuer's answer."""

    AUTHORIZED = "authorized"
    DECLINED = "declined"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"
    AUTHORIZING = "authorizing"


@dataclass(frozen=True, slots=True)
class Step:
    """An authorization some milliseconds after the last one, perhaps after an operator action."""

    after_ms: int
    amount_minor: int
    said: Said
    action: bool | None = None


@dataclass(slots=True)
class Model:
    """One card range as the rule should see it."""

    settings: RiskSettings
    seen: list[tuple[int, int, Said]] = field(default_factory=list)
    blocked: bool = False
    changed_ms: int = -1

    def execute(self, at_ms: int, *, blocked: bool) -> None:
        """Block or unblock; what changes nothing leaves the instant of the last change."""
        if blocked != self.blocked and (blocked or self.changed_ms >= 0):
            self.blocked, self.changed_ms = blocked, at_ms

    def assess(self, at_ms: int, amount_minor: int) -> tuple[bool, bool]:
        """Return whether an authorization is blocked, and whether it is suspicious."""
        if self.blocked:
            return True, False
        if amount_minor > self.settings.small_amount_minor:
            return False, False
        since = max(at_ms - self.settings.window_seconds * 1000, self.changed_ms)
        newest = [one for one in self.seen if one[0] > since and one[1] <= 1000][
            -card_ranges.NEWEST_MAXIMUM :
        ]
        answered = [
            said
            for _, amount, said in newest
            if amount <= self.settings.small_amount_minor
            and said in (Said.AUTHORIZED, Said.CAPTURED, Said.REFUNDED, Said.DECLINED)
        ]
        declined = answered.count(Said.DECLINED)
        enough = len(answered) >= self.settings.answered_least
        return False, enough and declined / len(answered) >= self.settings.declined_percent / 100


STEPS: Final = st.lists(
    st.builds(
        Step,
        after_ms=st.sampled_from([1, 400, 999, 1000, 1999, 2000]),
        amount_minor=st.sampled_from([1, 499, 500, 501, 1000, 1001, 90_000]),
        # Weighted, or few sequences would ever be suspicious.
        said=st.just(Said.DECLINED) | st.sampled_from(Said),
        action=st.none() | st.none() | st.none() | st.booleans(),
    ),
    min_size=5,
    max_size=25,
)
RULES: Final = st.builds(
    RiskSettings,
    window_seconds=st.sampled_from([1, 2, 4]),
    small_amount_minor=st.sampled_from([1, 499, 500, 1000]),
    answered_least=st.integers(2, 4),
    declined_percent=st.sampled_from([1, 50, 67, 100]),
)


@pytest.fixture
def database_settings(shared_db: "RefpayDb", secrets_folder: Path) -> DatabaseSettings:
    """Return how the service reaches a database for all of these tests."""
    password = read_secret(secrets_folder, "refpay_app_password")
    return DatabaseSettings(shared_db.url("refpay_app"), "refpay_app", password)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS, rules=RULES)
@example(
    steps=[Step(1, 500, Said.DECLINED), Step(1, 500, Said.DECLINED), Step(999, 500, Said.DECLINED),
           Step(1, 500, Said.DECLINED)],
    rules=RiskSettings(window_seconds=1, answered_least=2),
)  # fmt: skip
@example(
    steps=[Step(1, 9, Said.DECLINED), Step(1, 9, Said.DECLINED), Step(1, 9, Said.DECLINED, action=True),
           Step(1, 9, Said.DECLINED, action=False), Step(1, 9, Said.DECLINED), Step(1, 9, Said.DECLINED)],
    rules=RiskSettings(window_seconds=1, answered_least=2),
)  # fmt: skip
def test_the_rule_is_the_model(
    database_settings: DatabaseSettings, steps: Sequence[Step], rules: RiskSettings
) -> None:
    """Whatever the amounts, answers, pauses and actions: suspicious and blocked is what the model says."""

    async def compare(connection: Connection) -> None:
        card_range = f"4{next(SERIAL):05d}"
        model, screening = Model(rules), Screening(rules)
        at_ms = 0
        for step in steps:
            at_ms += step.after_ms
            if step.action is not None:
                model.execute(at_ms, blocked=step.action)
                if step.action or await card_ranges.lock_range(connection, card_range):
                    changed = CardRange(card_range, step.action, "model", instant(at_ms), "a drill")
                    await card_ranges.write_range(connection, changed)
            attempt = AuthorizationAttempt(uuid4(), instant(at_ms), card_range, step.amount_minor)
            [said] = await screening.screen(connection, [attempt])
            assert (said.blocked, said.rule is not None) == model.assess(at_ms, step.amount_minor)
            if not said.blocked:
                await insert(connection, card_range, at_ms, step.amount_minor, step.said)
                model.seen.append((at_ms, step.amount_minor, step.said))

    async def run() -> None:
        database = await Database.connect(database_settings, most_connections=1)
        try:
            async with database.transaction() as connection:
                await compare(connection)
        finally:
            await database.close()

    asyncio.run(run())


def instant(at_ms: int) -> datetime:
    """Return an instant of the virtual clock."""
    return START + timedelta(milliseconds=at_ms)


async def insert(connection: Connection, card_range: str, at_ms: int, amount_minor: int, said: Said) -> None:
    """Write an authorization and what became of it."""
    await connection.execute(INSERT, uuid4(), said, amount_minor, card_range, instant(at_ms))


async def test_only_the_newest_are_looked_at(database_settings: DatabaseSettings) -> None:
    """However many declines there were, as many newer approvals as are looked at hide them."""
    database = await Database.connect(database_settings, most_connections=1)
    card_range = "499998"
    attempt = AuthorizationAttempt(uuid4(), instant(10_000), card_range, 100)
    try:
        async with database.transaction() as connection:
            for number in range(300):
                await insert(connection, card_range, number, 100, Said.DECLINED)
            assert (await Screening(RiskSettings()).screen(connection, [attempt]))[
                0
            ].rule is Rule.CARD_TESTING
            for number in range(card_ranges.NEWEST_MAXIMUM):
                await insert(connection, card_range, 1000 + number, 100, Said.AUTHORIZED)
            since = instant(-1)
            found = await card_ranges.read_recent(
                connection,
                [(card_range, True), (card_range, False)],
                since=since,
                at_most_minor=500,
                seconds=1,
            )
            newest = RecentAuthorizations(answered=card_ranges.NEWEST_MAXIMUM, declined=0)
            assert found == [(False, newest), (False, RecentAuthorizations(0, 0))]
            assert (await Screening(RiskSettings()).screen(connection, [attempt])) == [Assessment()]
    finally:
        await database.close()


def test_blocking_by_itself_takes_a_setting() -> None:
    """The same window is a signal, or a signal and a block with its reason."""
    window = RecentAuthorizations(answered=20, declined=10)
    signalled = assess(blocked=False, recent=window, settings=RiskSettings())
    assert (signalled.blocked, signalled.rule, signalled.newly_blocked) == (False, Rule.CARD_TESTING, None)
    stopped = assess(blocked=False, recent=window, settings=RiskSettings(autoblock=True))
    assert (stopped.blocked, stopped.rule) == (True, Rule.CARD_TESTING)
    assert stopped.newly_blocked == "card testing: 10 of 20 small authorizations declined within 60 s"


def signals_of_a_day(
    seed: int, *, per_second: int, seconds: int, decline_rate: float, tested_per_second: int = 0
) -> int:
    """Return the signals of a shop's busy hours under the usual settings, cards tested in between or not."""
    orders = Orders(
        seed=str(seed), user=0, nonce=str(seed), card_range_weights={"411111": 6, "550000": 4},
        refund_ratio=0, resend_ratio=0,
    )  # fmt: skip
    models = {"411111": Model(RiskSettings()), "550000": Model(RiskSettings())}
    signals = 0
    for number in range(per_second * seconds):
        at_ms = number * 1000 // per_second
        order = orders.next_order()
        card_range = order.card_token.split("_")[1]
        declined = issuer_decline("north", order.reference, decline_rate)
        signals += buy(
            models[card_range], at_ms, order.amount_minor, Said.DECLINED if declined else Said.AUTHORIZED
        )
        if tested_per_second and number % (per_second // tested_per_second) == 0:
            signals += buy(models["411111"], at_ms, 200, Said.DECLINED)
    return signals


def buy(model: Model, at_ms: int, amount_minor: int, said: Said) -> int:
    """Authorize in a model; return the signals."""
    suspicious = model.assess(at_ms, amount_minor)[1]
    # What is far out of the window and of every amount that counts need not be kept.
    if amount_minor <= 1000:
        model.seen.append((at_ms, amount_minor, said))
    return int(suspicious)


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), decline_rate=st.floats(0, 0.05))
def test_a_sale_day_is_not_card_testing(seed: int, decline_rate: float) -> None:
    """Four times the demo's traffic with the usual amounts and declines gives no signal."""
    assert signals_of_a_day(seed, per_second=100, seconds=90, decline_rate=decline_rate) == 0


@settings(max_examples=5)
@given(seed=st.integers(0, 10_000))
def test_card_testing_on_a_sale_day_shows(seed: int) -> None:
    """The twin: five tested cards a second in the same crowd give more signals than an alert waits for."""
    found = signals_of_a_day(seed, per_second=100, seconds=20, decline_rate=0.03, tested_per_second=5)
    assert found >= 20
