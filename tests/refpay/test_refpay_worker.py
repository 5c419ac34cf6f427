"""The worker's gauges: zero when all is well, and each one moved by exactly what it watches."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest_asyncio

from refpay.worker.main import open_worker

if TYPE_CHECKING:
    from tests.refpay.conftest import Client, RefpayDb

    from refpay.settings import Settings


@pytest_asyncio.fixture(loop_scope="session")
async def worker(live_settings: "Settings", serve: Any) -> AsyncIterator["Client"]:
    """Run a real worker and speak to it."""
    async with open_worker(live_settings) as app, serve(app) as client:
        yield client


async def settle_down(worker: "Client") -> None:
    """Wait until a check that began from now on has been shown."""
    name = "moneypath_check_last_success_timestamp_seconds"
    seen = {await worker.metric(name, check="ledger_balance")}
    while len(seen) < 3:
        seen.add(await worker.metric(name, check="ledger_balance"))


async def test_all_is_well_reads_as_zero(worker: "Client", api: "Client") -> None:
    """With captured and refunded payments, every gauge that must be 0 is there and is 0."""
    payment = await api.captured()
    await api.post(f"/v1/payments/{payment['id']}/refunds", {"amount_minor": 1})
    await settle_down(worker)
    text = (await worker.get("/metrics", by=None)).raw.decode()
    for name in (
        'moneypath_ledger_imbalance_minor_units{currency="EUR"}',
        'moneypath_ledger_unbalanced_entries{currency="JPY"}',
        'moneypath_captures_without_posting{provider="north"}',
        'moneypath_postings_without_capture{provider="south"}',
        'moneypath_indeterminate_payments{provider="north"}',
        "moneypath_duplicate_charges",
        'moneypath_money_at_risk_minor_units{reason="indeterminate",currency="KWD"}',
        'moneypath_check_violations{check="ledger_balance"}',
    ):
        assert f"{name} 0" in text
    for provider in ("north", "south"):
        assert f'moneypath_provider_routing_active{{provider="{provider}"}} 1' in text
    assert "moneypath_indeterminate_oldest_timestamp_seconds{" not in text
    assert "moneypath_payments_total" not in text
    assert 'moneypath_telemetry_drops_total{reason="unknown_value"} 0' in text
    assert (await worker.get("/readyz", by=None)).status == 200


async def test_routing_is_shown_where_it_changes(worker: "Client", api: "Client") -> None:
    """A drained provider reads 0."""
    await api.post("/v1/operations/providers/north/drain", {"reason": "test"}, by="operator")
    await settle_down(worker)
    assert await worker.metric("moneypath_provider_routing_active", provider="north") == 0
    assert await worker.metric("moneypath_provider_routing_active", provider="south") == 1


async def test_a_one_sided_correction_cannot_hide(worker: "Client", api: "Client", db: "RefpayDb") -> None:
    """+100 here and -100 there sum to zero and still show as 200, in their currency."""
    for _ in range(2):
        await api.captured()
    await db.tamper(
        "WITH two AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM ledger.entry"
        " WHERE kind = 'posting')"
        " UPDATE ledger.entry SET amounts_minor[2] = amounts_minor[2]"
        " + CASE n WHEN 1 THEN 100 ELSE -100 END FROM two WHERE two.id = entry.id",
    )
    await settle_down(worker)
    assert await worker.metric("moneypath_ledger_imbalance_minor_units", currency="EUR") == 200
    assert await worker.metric("moneypath_ledger_unbalanced_entries", currency="EUR") == 2
    assert await worker.metric("moneypath_check_violations", check="ledger_balance") == 2
    at_risk = "moneypath_money_at_risk_minor_units"
    assert await worker.metric(at_risk, reason="ledger_imbalance", currency="EUR") == 200


async def test_a_vanished_posting_shows_after_the_deadline(
    worker: "Client", api: "Client", db: "RefpayDb"
) -> None:
    """By provider and as money at risk."""
    payment = await api.captured(currency="JPY")
    await db.tamper(
        "DELETE FROM ledger.entry",
        "UPDATE payments.operation SET created_at = created_at - interval '1 hour'",
    )
    await settle_down(worker)
    provider = payment["provider"]
    assert await worker.metric("moneypath_captures_without_posting", provider=provider) == 1
    at_risk = "moneypath_money_at_risk_minor_units"
    assert await worker.metric(at_risk, reason="capture_without_posting", currency="JPY") == 1000


async def test_a_posting_that_nothing_explains_shows(worker: "Client", api: "Client", db: "RefpayDb") -> None:
    """The other way round."""
    payment = await api.captured()
    await db.tamper(
        "UPDATE payments.operation SET status = 'failed' WHERE kind = 'capture'",
        "UPDATE ledger.entry SET posted_at = posted_at - interval '1 hour'",
    )
    await settle_down(worker)
    assert await worker.metric("moneypath_postings_without_capture", provider=payment["provider"]) == 1
    assert await worker.metric("moneypath_captures_without_posting", provider=payment["provider"]) == 0


async def test_an_entry_that_is_not_as_it_was_sealed_shows(
    worker: "Client", api: "Client", db: "RefpayDb"
) -> None:
    """Balanced and explained, so that the chain alone can tell; and 0 before that."""
    await api.captured()
    while not await db.rows("SELECT FROM ledger.seal HAVING sum(entries) = 2"):
        await settle_down(worker)
    await settle_down(worker)
    assert await worker.metric("moneypath_ledger_chain_breaks") == 0
    assert await worker.metric("moneypath_check_violations", check="ledger_chain") == 0
    await db.tamper(
        "UPDATE ledger.entry SET payment_id = gen_random_uuid() WHERE kind = 'posting'",
    )
    while not await worker.metric("moneypath_ledger_chain_breaks"):
        await settle_down(worker)
    assert await worker.metric("moneypath_check_violations", check="ledger_chain") == 1
    assert await worker.metric("moneypath_check_violations", check="ledger_balance") == 0


async def test_a_second_charge_of_a_reference_shows(worker: "Client", api: "Client", db: "RefpayDb") -> None:
    """Should the unique index ever be gone."""
    for _ in range(2):
        await api.captured()
    await db.tamper(
        "DROP INDEX payments.payment_live_reference",
        "UPDATE payments.payment SET merchant_reference = 'twice'",
    )
    await settle_down(worker)
    assert await worker.metric("moneypath_duplicate_charges") == 1
    assert await worker.metric("moneypath_duplicate_charge_minor_units", currency="EUR") == 1000


async def keep_silent(acquirers: Any) -> None:
    """Have acquirers do everything and tell nobody; else the worker asks, and knows after some seconds."""
    for acquirer in acquirers.values():
        await acquirer.inject(kind="drop", scope={"operations": ["authorize", "payout", "query"]})


async def speak(acquirers: Any) -> None:
    """Have them answer again."""
    for acquirer in acquirers.values():
        await acquirer.heal()


async def test_an_unresolved_payout_is_money_at_risk(
    live_settings: "Settings", serve: Any, api: "Client", acquirers: Any
) -> None:
    """Although it is no payment's."""
    await api.captured()
    await keep_silent(acquirers)
    wanted = {"merchant_reference": "weekly", "amount_minor": 400, "currency": "EUR"}
    paid = await api.post("/v1/payouts", wanted)
    assert paid.status == 202
    async with open_worker(live_settings) as app, serve(app) as worker:
        await settle_down(worker)
        provider = paid.body["provider"]
        assert await worker.metric("moneypath_indeterminate_payments", provider=provider) == 1
        at_risk = "moneypath_money_at_risk_minor_units"
        assert await worker.metric(at_risk, reason="indeterminate", currency="EUR") == 400
        await speak(acquirers)
        while await worker.metric("moneypath_indeterminate_payments", provider=provider):
            await settle_down(worker)
        assert await worker.metric(at_risk, reason="indeterminate", currency="EUR") == 0


async def test_unresolved_money_shows_with_its_age(
    live_settings: "Settings", serve: Any, api: "Client", acquirers: Any
) -> None:
    """Count, money and the oldest, by provider; and gone, not 0, when it is settled."""
    await keep_silent(acquirers)
    answer = await api.authorize(currency="KWD")
    assert answer.status == 202
    provider = answer.body["provider"]
    async with open_worker(live_settings) as app, serve(app) as worker:
        oldest = "moneypath_indeterminate_oldest_timestamp_seconds"
        await settle_down(worker)
        assert await worker.metric("moneypath_indeterminate_payments", provider=provider) == 1
        money = await worker.metric("moneypath_indeterminate_minor_units", provider=provider, currency="KWD")
        assert money == 1000
        assert await worker.metric(oldest, provider=provider) > 1_700_000_000
        await speak(acquirers)
        while await worker.metric("moneypath_indeterminate_payments", provider=provider):
            await settle_down(worker)
        assert await worker.metric(oldest, provider=provider) == 0
        results = await worker.metric(
            "moneypath_authorization_results_total", provider=provider, currency="KWD", result="approved"
        )
        assert results == 1
    counted = await api.metric("moneypath_payments_total", provider=provider, outcome="indeterminate")
    assert counted == 1
