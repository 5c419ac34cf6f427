"""What a merchant may be paid in 24 hours without a second person, however the payouts are cut."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from refpay.db.pool import Database
from refpay.errors import RefpayError
from refpay.identity.approvals import Actor, decide
from refpay.identity.principals import Principal
from refpay.money import Currency, Money
from refpay.payments import repository
from refpay.payments.approvals import require_approval
from refpay.payments.claims import Command, fingerprint
from refpay.payments.model import PayoutOrder
from refpay.payments.service import Payments

from . import test_refpay_life_cycle as life_cycle
from .faulty import Fate

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb

    from refpay.settings import Settings

    from .test_refpay_life_cycle import Bench

bench = life_cycle.bench
# What the bench allows alone, in minor units of each currency.
ALONE = 5000
EUR = Currency.EUR
NEEDED = "approval_needed"
DAY = timedelta(hours=24)


async def fund(bench: "Bench", minor: int, currency: Currency = EUR) -> UUID:
    """Owe the shop so much more; return the payment."""
    payment = await bench.authorized(minor, currency)
    assert (await bench.payments.capture(bench.command(), payment, None)).answer.status == 200
    return payment


async def pay(
    bench: "Bench",
    minor: int,
    *,
    currency: Currency = EUR,
    reference: str | None = None,
    key: str | None = None,
    payments: Payments | None = None,
) -> str:
    """Return what became of a payout: done, unknown, or why not."""
    order = PayoutOrder(reference or uuid4().hex, Money(minor, currency))
    try:
        answer = (await (payments or bench.payments).payout(bench.command(key), order)).answer
    except RefpayError as refusal:
        return refusal.code
    if answer.status >= 400:
        return str(json.loads(answer.body)["code"])
    return "done" if answer.status == 201 else "unknown"


async def approve_all(bench: "Bench") -> None:
    """Let a second person approve all that waits."""
    for row in await bench.rows("SELECT id FROM identity.approval WHERE status = 'pending'"):
        async with bench.database.transaction() as connection:
            second = Actor("treasurer", "correlation", bench.clock.now())
            await decide(connection, row["id"], second, agreed=True, reason="due")


async def test_seven_payouts_below_the_limit_are_one_above_it(bench: "Bench") -> None:
    """What one payout may not be, no number of payouts may be together."""
    await fund(bench, 50_000)
    assert [await pay(bench, ALONE - 1) for _ in range(7)] == ["done"] + [NEEDED] * 6
    assert [await pay(bench, 1), await pay(bench, 1)] == ["done", NEEDED]


async def test_the_second_person_reads_what_went_out_already(bench: "Bench") -> None:
    """A payout of little is asked for with the sum that it adds to, in the refusal and in the approval."""
    await fund(bench, 50_000)
    assert await pay(bench, ALONE) == "done"
    with pytest.raises(RefpayError, match="amount_minor is 1, paid out in 24 h: 5000, allowed alone: 5000;"):
        await bench.payments.payout(bench.command(), PayoutOrder("one more", Money(1, EUR)))
    [row] = await bench.rows("SELECT reason FROM identity.approval")
    assert row["reason"] == "payout one more: 1 EUR minor units after 5000 in 24 h, allowed alone: 5000"


async def test_each_currency_has_a_limit_of_its_own(bench: "Bench") -> None:
    """Yen use up nothing of the euros, and the limit of neither is the other's."""
    limits = {Currency.EUR: 5000, Currency.USD: 5000, Currency.JPY: 50, Currency.KWD: 50_000}
    payments = Payments(
        bench.database,
        bench.providers,
        deadlines=life_cycle.DEADLINES,
        measures=bench.measures,
        clock=bench.clock,
        approve=require_approval(bench.database, limits),
    )
    for currency, limit in limits.items():
        await fund(bench, 100_000, currency)
        paid = [await pay(bench, minor, currency=currency, payments=payments) for minor in (limit, 1)]
        assert paid == ["done", NEEDED], currency


async def test_what_was_approved_counts_and_what_waits_does_not(bench: "Bench") -> None:
    """An approved payout leaves nothing to be paid alone; before it is done it takes nothing away."""
    await fund(bench, 50_000)
    assert await pay(bench, ALONE + 1, reference="large", key="large") == NEEDED
    assert await pay(bench, 10) == "done"
    await approve_all(bench)
    assert await pay(bench, ALONE + 1, reference="large", key="large") == "done"
    assert await pay(bench, 1) == NEEDED


async def test_an_approval_is_for_one_payout_of_a_series(bench: "Bench") -> None:
    """It opens no way for the next one, of another reference or another amount."""
    await fund(bench, 50_000)
    assert await pay(bench, ALONE) == "done"
    assert await pay(bench, 7, reference="second", key="second") == NEEDED
    await approve_all(bench)
    assert [await pay(bench, 8, reference="second"), await pay(bench, 7, reference="third")] == [NEEDED] * 2
    assert [await pay(bench, 7, reference="second", key="second"), await pay(bench, 7)] == ["done", NEEDED]


@pytest.mark.parametrize(
    ("fate", "became"), [(Fate.DECLINED, "provider_declined"), (Fate.REFUSED, "provider_failed")]
)
async def test_what_did_not_go_out_does_not_count(bench: "Bench", fate: Fate, became: str) -> None:
    """Declined or failed, the same amount may be tried again alone."""
    await fund(bench, 50_000)
    bench.meet(fate)
    assert [await pay(bench, ALONE) for _ in range(3)] == [became] * 3
    bench.meet(Fate.DONE)
    assert [await pay(bench, ALONE), await pay(bench, 1)] == ["done", NEEDED]


async def test_what_may_have_gone_out_counts_however_old(bench: "Bench") -> None:
    """Without an outcome it counts, a month later too; once it failed it does not."""
    await fund(bench, 50_000)
    bench.meet(Fate.SILENT_BEFORE)
    assert await pay(bench, ALONE) == "unknown"
    bench.meet(Fate.DONE)
    assert await pay(bench, 1) == NEEDED
    bench.clock.at += timedelta(days=30)
    assert await pay(bench, 1) == NEEDED
    await bench.work()
    assert await pay(bench, ALONE) == "done"


async def test_a_failed_payout_that_was_posted_after_all_counts(bench: "Bench", db: "RefpayDb") -> None:
    """The provider contradicts itself: what it paid is paid."""
    await fund(bench, 50_000)
    assert await pay(bench, ALONE) == "done"
    await db.tamper("UPDATE payments.operation SET status = 'failed' WHERE kind = 'payout'")
    assert await pay(bench, 1) == NEEDED


async def test_the_same_request_again_counts_once(bench: "Bench") -> None:
    """A replay is answered from what is stored, and takes nothing of the limit."""
    await fund(bench, 50_000)
    half = ALONE // 2
    paid = [await pay(bench, half, reference="weekly", key="weekly") for _ in range(5)]
    assert paid == ["done"] * 5
    assert [await pay(bench, half), await pay(bench, 1)] == ["done", NEEDED]


async def test_midnight_changes_nothing(bench: "Bench") -> None:
    """Twice the limit within two seconds is what a calendar day would let through."""
    bench.clock.at = datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC)
    await fund(bench, 50_000)
    begun = bench.clock.now()
    assert await pay(bench, ALONE) == "done"
    bench.clock.at = datetime(2026, 1, 2, 0, 0, 1, tzinfo=UTC)
    assert await pay(bench, ALONE) == NEEDED
    sent_by = begun + life_cycle.DEADLINES["north"].call
    bench.clock.at = sent_by + DAY
    assert await pay(bench, 1) == NEEDED
    bench.clock.at += timedelta(microseconds=1)
    assert await pay(bench, ALONE) == "done"


async def test_a_clock_that_runs_backwards_opens_no_limit(bench: "Bench") -> None:
    """What another process wrote with a later time counts."""
    await fund(bench, 50_000)
    assert await pay(bench, ALONE) == "done"
    bench.clock.at -= timedelta(days=3)
    assert await pay(bench, 1) == NEEDED


async def test_another_merchant_has_a_limit_of_its_own(bench: "Bench") -> None:
    """The beneficiary is whoever the token names: no field of a request spells it otherwise."""
    await fund(bench, 50_000)
    assert await pay(bench, ALONE) == "done"
    async with bench.database.transaction() as connection:
        for name, sent in (("shop", ALONE), ("rival", 0), ("Shop", 0), ("shop ", 0)):
            assert await repository.read_sent_payouts(connection, name, EUR, bench.clock.now() - DAY) == sent
    stranger = Command(
        Principal("Shop", frozenset()), "k", fingerprint("POST", "/", "k"), "correlation", "live"
    )
    reply = await bench.payments.payout(stranger, PayoutOrder("p", Money(1, EUR)))
    assert json.loads(reply.answer.body)["code"] == "amount_exceeded"


@pytest.mark.parametrize("processes", [1, 3])
async def test_payouts_at_once_stay_within_the_limit(
    bench: "Bench", settings: "Settings", processes: int
) -> None:
    """Twenty at once of three tenths each, through one API process or several: three go out."""
    await fund(bench, 500_000)
    databases = [await Database.connect(settings.database, most_connections=7) for _ in range(processes)]
    try:
        services = [
            Payments(
                database,
                bench.providers,
                deadlines=life_cycle.DEADLINES,
                measures=bench.measures,
                clock=bench.clock,
                approve=require_approval(database, dict.fromkeys(Currency, ALONE)),
            )
            for database in databases
        ]
        paid = await asyncio.gather(
            *(pay(bench, ALONE * 3 // 10, payments=services[turn % processes]) for turn in range(20))
        )
    finally:
        for database in databases:
            await database.close()
    assert sorted(paid) == [NEEDED] * 17 + ["done"] * 3


STEPS = st.lists(
    st.tuples(
        st.integers(1, ALONE + 1000),
        st.sampled_from([Currency.EUR, Currency.JPY]),
        st.sampled_from([Fate.DONE, Fate.DONE, Fate.DECLINED, Fate.SILENT_BEFORE, Fate.SILENT_AFTER]),
        st.integers(0, 30 * 3600),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@examples(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_no_day_has_more_than_the_limit_without_a_second_person(
    bench: "Bench", steps: list[tuple[int, Currency, Fate, int, bool]]
) -> None:
    """Whatever is asked for, and when, and whatever becomes of it: what one person moved stays within."""
    # Each example has a month of its own in one database.
    bench.clock.at += timedelta(days=40)
    since = bench.clock.now()
    bench.meet(Fate.DONE)
    await bench.work()
    for currency in (Currency.EUR, Currency.JPY):
        await fund(bench, 100_000, currency)
    for minor, currency, fate, seconds, worked in steps:
        bench.clock.at += timedelta(seconds=seconds)
        bench.meet(fate)
        assert await pay(bench, minor, currency=currency) != "amount_exceeded"
        if worked:
            bench.meet(Fate.DONE)
            await bench.work()
    rows = await bench.rows(
        """
        SELECT payout.amount_minor, payout.currency, payout.created_at FROM payments.payout
        JOIN payments.operation USING (id)
        WHERE payout.created_at >= $1 AND status NOT IN ('declined', 'failed')
        """,
        since,
    )
    for last in rows:
        within = [
            one["amount_minor"]
            for one in rows
            if one["currency"] == last["currency"]
            and last["created_at"] - DAY < one["created_at"] <= last["created_at"]
        ]
        assert sum(within) <= ALONE
