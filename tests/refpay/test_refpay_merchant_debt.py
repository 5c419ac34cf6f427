"""A merchant that owes us: it is measured, by currency, and is paid out nothing."""

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import UUID

from refpay.identity.principals import Principal
from refpay.ledger.repository import read_debts
from refpay.ledger.sealing import LedgerSealer
from refpay.money import Currency, Money
from refpay.payments.model import PayoutOrder

from . import test_refpay_life_cycle as life_cycle
from .test_refpay_payout_limits import fund, pay
from .test_refpay_worker import settle_down
from .test_refpay_worker import worker as worker

if TYPE_CHECKING:
    from tests.refpay.conftest import Client

    from .test_refpay_life_cycle import Bench

bench = life_cycle.bench


async def indebt(bench: "Bench", currency: Currency, paid_minor: int) -> UUID:
    """Refund all of a payment of 1000 of which a part was paid out."""
    payment = await fund(bench, 1000, currency)
    assert await pay(bench, paid_minor, currency=currency) == "done"
    assert (await bench.payments.refund(bench.command(), payment, 1000)).answer.status == 201
    return payment


async def debts(bench: "Bench") -> dict[str, int]:
    """Seal the ledger and return what is owed."""
    with TemporaryDirectory() as folder:
        await LedgerSealer(bench.database, clock=bench.clock, folder=Path(folder)).run_once()
    return dict(await read_debts(bench.database))


async def test_a_refund_of_what_was_paid_out_is_owed(bench: "Bench") -> None:
    """Each currency for itself; a new sale pays it back, and what is owed to a merchant is no debt."""
    await fund(bench, 5000, Currency.USD)
    assert await debts(bench) == {}
    await indebt(bench, Currency.EUR, 600)
    await indebt(bench, Currency.JPY, 1)
    assert await debts(bench) == {"EUR": 600, "JPY": 1}
    await fund(bench, 599)
    assert await debts(bench) == {"EUR": 1, "JPY": 1}
    await fund(bench, 1)
    assert await debts(bench) == {"JPY": 1}


async def test_what_is_owed_to_one_merchant_reduces_no_debt_of_another(bench: "Bench") -> None:
    """Nor does an account of another kind count."""
    await indebt(bench, Currency.EUR, 600)
    shop = life_cycle.SHOP
    life_cycle.SHOP = Principal("rival", frozenset())
    try:
        await fund(bench, 9000)
    finally:
        life_cycle.SHOP = shop
    assert await debts(bench) == {"EUR": 600}


async def test_who_owes_is_paid_out_nothing(bench: "Bench") -> None:
    """Not one unit while it owes, however many ask at once, and then only what is left."""
    await indebt(bench, Currency.EUR, 600)
    assert set(await asyncio.gather(*(pay(bench, 1) for _ in range(10)))) == {"amount_exceeded"}
    reply = await bench.payments.payout(bench.command(), PayoutOrder("p", Money(1, Currency.EUR)))
    assert json.loads(reply.answer.body)["detail"] == "amount_minor is 1, left to pay out: 0"
    await fund(bench, 650)
    assert [await pay(bench, 51), await pay(bench, 50), await pay(bench, 1)] == [
        "amount_exceeded",
        "done",
        "amount_exceeded",
    ]


async def test_the_worker_shows_what_is_owed(worker: "Client", api: "Client") -> None:
    """0 in each currency while nobody owes; afterwards the debt, in its currency, without a name."""
    name = "moneypath_merchant_debt_minor_units"
    payment = await api.captured(amount_minor=1000)
    wanted = {"merchant_reference": "weekly", "amount_minor": 600, "currency": "EUR"}
    assert (await api.post("/v1/payouts", wanted)).status == 201
    await settle_down(worker)
    assert [await worker.metric(name, currency=one) for one in Currency] == [0, 0, 0, 0]
    refund = await api.post(f"/v1/payments/{payment['id']}/refunds", {"amount_minor": 1000})
    assert refund.status == 201
    while await worker.metric(name, currency="EUR") != 600:  # noqa: ASYNC110 - another server's state
        await asyncio.sleep(0.01)
    assert await worker.metric(name, currency="USD") == 0
    assert "shop" not in (await worker.get("/metrics", by=None)).raw.decode()
