"""Each way that money goes: captures in parts, voids, expiry, payouts, chargebacks, what comes too late."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

import refpay
from moneypath.telemetry import Catalogue, setup
from refpay.db.pool import Connection, Database
from refpay.errors import InvariantViolation, RefpayError
from refpay.identity.approvals import Actor, decide
from refpay.identity.principals import Principal
from refpay.measures import API_METRICS, ServiceMetrics
from refpay.money import MAXIMUM_MINOR, Currency, Money
from refpay.payments import intents, outcome_resolver, repository
from refpay.payments.approvals import require_approval
from refpay.payments.claims import Command, Reply, fingerprint
from refpay.payments.errors import ApprovalNeeded, EventInvalid, KeyExpired, KeyInFlight, OperationInFlight
from refpay.payments.intents import Deadlines
from refpay.payments.model import Operation, Order, PayoutOrder
from refpay.payments.outcome_resolver import OutcomeResolver
from refpay.payments.recovery import OperationRecovery
from refpay.payments.repository import OPERATIONS_MAXIMUM
from refpay.payments.retention import Retention
from refpay.payments.service import Payments
from refpay.payments.webhooks import Webhooks, read_event
from refpay.providers.errors import ProviderRefused
from refpay.providers.port import Answer, Call, CallKind, ProviderResult
from refpay.providers.reports import MovementKind, ReportLine

from .faulty import DyingDatabase, Fate, FaultyProvider, ProcessDied, VirtualClock

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb

    from refpay.settings import Settings

DEADLINES = dict.fromkeys(
    ("north", "south"), Deadlines(timedelta(seconds=5), timedelta(seconds=6), timedelta(seconds=7))
)
SHOP = Principal("shop", frozenset())


@dataclass
class Bench:
    """The service on a real database, with providers that do as they are told."""

    database: DyingDatabase
    clock: VirtualClock
    providers: dict[str, FaultyProvider]
    payments: Payments
    recovery: OperationRecovery
    webhooks: Webhooks
    retention: Retention
    measures: ServiceMetrics

    def command(self, key: str | None = None) -> Command:
        """Return a command of the shop, under a key of its own unless one is given."""
        key = key or uuid4().hex
        return Command(SHOP, key, fingerprint("POST", "/", key), "correlation", "live")

    def meet(self, fate: Fate) -> None:
        """Give both providers a fate."""
        for provider in self.providers.values():
            provider.fate = fate

    async def authorized(self, amount: int = 1000, currency: Currency = Currency.EUR) -> UUID:
        """Return the id of a new authorized payment."""
        order = Order(uuid4().hex, Money(amount, currency), "tok_411111_00ff")
        reply = await self.payments.authorize(self.command(), order)
        assert reply.answer.status == 201
        return UUID(json.loads(reply.answer.body)["id"])

    async def captured(self, *parts: int) -> UUID:
        """Return the id of a payment that was captured in these parts."""
        payment_id = await self.authorized(sum(parts))
        for part in parts:
            assert (await self.payments.capture(self.command(), payment_id, part)).answer.status == 200
            self.clock.at += timedelta(milliseconds=1)
        return payment_id

    async def rows(self, query: str, *arguments: object) -> list[Any]:
        """Read from the database."""
        async with self.database.transaction() as connection:
            return list(await connection.fetch(query, *arguments))

    async def payment(self, payment_id: UUID) -> dict[str, Any]:
        """Return a payment's row."""
        return dict((await self.rows("SELECT * FROM payments.payment WHERE id = $1", payment_id))[0])

    async def operations(self, kind: str) -> list[dict[str, Any]]:
        """Return the operations of a kind, oldest first."""
        query = "SELECT * FROM payments.operation WHERE kind = $1 ORDER BY created_at, id"
        return [dict(row) for row in await self.rows(query, kind)]

    async def balance(self, account: str) -> int:
        """Return an account's balance, debit positive."""
        query = "SELECT coalesce(sum(amount_minor), 0) AS n FROM ledger.line WHERE account = $1"
        return int((await self.rows(query, account))[0]["n"])

    async def actions(self, like: str) -> list[str]:
        """Return what was put on record."""
        query = "SELECT action FROM audit.event WHERE action LIKE $1 ORDER BY seq"
        return [row["action"] for row in await self.rows(query, like)]

    async def work(self, seconds: float = 10) -> None:
        """Let time pass and the worker run."""
        self.clock.at += timedelta(seconds=seconds)
        await self.recovery.run_once()

    async def event(self, operation: dict[str, Any], **changed: object) -> tuple[str, dict[str, Any]]:
        """Return what its provider tells of an operation that it did."""
        query = "SELECT provider, currency FROM payments.payment WHERE id = $1"
        [row] = await self.rows(query, operation["payment_id"])
        call = {"expiry": "void"}.get(operation["kind"], operation["kind"])
        content = {
            "event": str(uuid4()),
            "type": "operation",
            "key": str(operation["provider_key"]),
            "kind": call,
            "status": "done",
            "id": f"ref-{operation['provider_key']}",
            "decline_code": None,
            "amount": operation["amount_minor"],
            "currency": row["currency"],
            **changed,
        }
        return row["provider"], content

    async def tell(self, operation: dict[str, Any], **changed: object) -> None:
        """Let its provider tell of an operation."""
        provider, content = await self.event(operation, **changed)
        await self.webhooks.apply(provider, read_event(content))


@pytest_asyncio.fixture(loop_scope="session")
async def bench(settings: "Settings") -> AsyncIterator[Bench]:
    """Wire the service without HTTP."""
    catalogue = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
    measures = ServiceMetrics(setup(catalogue, service="refpay-api", metrics=API_METRICS))
    database = await DyingDatabase.connect(settings.database, most_connections=10)
    clock = VirtualClock()
    providers = {name: FaultyProvider(name) for name in ("north", "south")}
    resolver = OutcomeResolver(database, measures=measures, clock=clock)
    yield Bench(
        database,
        clock,
        providers,
        Payments(
            database,
            providers,
            deadlines=DEADLINES,
            measures=measures,
            clock=clock,
            approve=require_approval(database, dict.fromkeys(Currency, 5000)),
        ),
        OperationRecovery(database, providers, resolver=resolver, clock=clock, pause_seconds=1),
        Webhooks(resolver, measures=measures, clock=clock),
        Retention(database, clock, timedelta(days=7), timedelta(days=30)),
        measures,
    )
    await database.close()


def codes(answers: list[Reply | RefpayError]) -> list[str]:
    """Return what became of requests sent at once."""
    return [
        one.code if isinstance(one, RefpayError) else "done" if one.answer.status < 300 else "refused"
        for one in answers
    ]


async def refuse(_call: Call) -> Answer:
    """Refuse for good whatever is asked."""
    return Answer(ProviderResult.REFUSED)


async def test_an_authorization_is_captured_in_parts(bench: Bench) -> None:
    """Each part is posted and releases its part of the hold; more than is left is refused."""
    payment_id = await bench.captured(300, 500)
    again = await bench.authorized(1000)
    assert again != payment_id
    for part, status in ((700, 200), (301, 409), (300, 200), (1, 409)):
        reply = await bench.payments.capture(bench.command(), again, part)
        assert reply.answer.status == status
    assert (await bench.payment(again))["captured_minor"] == 1000
    assert await bench.balance("merchant_payable:shop") == -1800
    assert await bench.balance("hold_payable:shop") == 0


async def test_captures_at_once_never_exceed_the_authorization(bench: Bench) -> None:
    """Ten captures of three tenths: three are done, whatever the order; nothing stays set aside."""
    payment_id = await bench.authorized(1000)
    answers = await asyncio.gather(
        *(bench.payments.capture(bench.command(), payment_id, 300) for _ in range(10)), return_exceptions=True
    )
    assert codes(answers).count("done") == 3  # type: ignore[arg-type]
    row = await bench.payment(payment_id)
    assert (row["captured_minor"], row["capture_reserved_minor"], row["status"]) == (900, 0, "captured")
    assert sum(len(provider.book) for provider in bench.providers.values()) == 4
    # It was never even asked for more.
    assert not any(provider.refused for provider in bench.providers.values())


async def test_a_capture_that_failed_gives_its_part_back(bench: Bench) -> None:
    """Refused or declined, what it had set aside can be captured again."""
    payment_id = await bench.authorized(1000)
    for fate in (Fate.REFUSED, Fate.DECLINED):
        bench.meet(fate)
        assert (await bench.payments.capture(bench.command(), payment_id, 1000)).answer.status in (502, 402)
    bench.meet(Fate.DONE)
    assert (await bench.payments.capture(bench.command(), payment_id, None)).answer.status == 200


async def test_refunds_at_once_never_exceed_their_captures(bench: Bench) -> None:
    """Of two captures, each refund is of one of them, and together never more than either."""
    payment_id = await bench.captured(600, 400)
    answers = await asyncio.gather(
        *(bench.payments.refund(bench.command(), payment_id, 250) for _ in range(10)), return_exceptions=True
    )
    # Twice of the first and once of the second; 250 are left, and no single capture has them.
    assert codes(answers).count("done") == 3  # type: ignore[arg-type]
    parents = [row["parent_id"] for row in await bench.operations("refund")]
    first, second = [row["id"] for row in await bench.operations("capture")]
    assert (parents.count(first), parents.count(second)) == (2, 1)
    for part in (100, 150):
        assert (await bench.payments.refund(bench.command(), payment_id, part)).answer.status == 201
    assert (await bench.payment(payment_id))["status"] == "refunded"
    assert await bench.balance("merchant_payable:shop") == 0


@pytest.mark.parametrize(("captured", "status"), [(0, "voided"), (400, "captured")])
async def test_a_void_releases_what_is_left(bench: Bench, captured: int, status: str) -> None:
    """All of the hold or the rest of it; afterwards nothing can be captured or voided."""
    payment_id = await bench.authorized(1000)
    if captured:
        await bench.payments.capture(bench.command(), payment_id, captured)
    assert (await bench.payments.void(bench.command(), payment_id)).answer.status == 200
    row = await bench.payment(payment_id)
    assert (row["status"], row["released_minor"]) == (status, 1000 - captured)
    assert await bench.balance("hold_receivable:" + row["provider"]) == 0
    for again in (
        bench.payments.void(bench.command(), payment_id),
        bench.payments.capture(bench.command(), payment_id, None),
    ):
        assert b"payment_state_refused" in (await again).answer.body


async def test_a_void_and_a_capture_at_once_are_one_of_them(bench: Bench) -> None:
    """Whoever is first; the other is told to come again, and then that it is too late."""
    payment_id = await bench.authorized(1000)
    answers = await asyncio.gather(
        bench.payments.void(bench.command(), payment_id),
        bench.payments.capture(bench.command(), payment_id, 1000),
        return_exceptions=True,
    )
    # Who comes while the first is on its way may ask again; who comes after it is too late.
    second = (set(codes(answers)) - {"done"}).pop()  # type: ignore[arg-type]
    assert second in ("operation_in_flight", "refused")
    row = await bench.payment(payment_id)
    assert row["captured_minor"] + row["released_minor"] == 1000


async def test_a_row_that_cannot_be_stops_no_other_from_expiring(bench: Bench, db: "RefpayDb") -> None:
    """A payment whose authorization somebody deleted: there is nothing to release, and the others go on."""
    broken, whole = await bench.authorized(), await bench.authorized()
    await db.tamper(f"DELETE FROM payments.operation WHERE payment_id = '{broken}'")  # noqa: S608 - our id
    bench.clock.at += timedelta(days=8)
    assert await bench.retention.expire() == 1
    assert [one["payment_id"] for one in await bench.operations("expiry")] == [whole]


async def test_old_holds_expire_and_new_ones_do_not(bench: Bench) -> None:
    """By the same path: written down, sent under one key until it is done, told and audited."""
    old = await bench.authorized(1000)
    bench.clock.at += timedelta(days=8)
    young = await bench.authorized(500)
    assert (await bench.retention.expire(), await bench.retention.expire()) == (1, 0)
    with pytest.raises(OperationInFlight):
        await bench.payments.capture(bench.command(), old, None)
    bench.meet(Fate.SILENT_AFTER)
    await bench.work()
    assert [row["status"] for row in await bench.operations("expiry")] == ["started"]
    bench.meet(Fate.DONE)
    await bench.work()
    assert ((await bench.payment(old))["status"], (await bench.payment(young))["status"]) == (
        "expired",
        "authorized",
    )
    [expiry] = await bench.operations("expiry")
    assert sum(provider.calls[expiry["provider_key"]] for provider in bench.providers.values()) == 2
    assert await bench.balance("hold_payable:shop") == -500
    types = [row["type"] for row in await bench.rows("SELECT type FROM outbox.event ORDER BY seq")]
    assert types[-1] == "payment.expired"
    assert await bench.actions("expiry.%") == ["expiry.begun", "expiry.succeeded"]


async def test_a_hold_that_is_never_released_leaves_room_for_refunds(bench: Bench) -> None:
    """A provider may refuse for days: what may be done with what was captured is not used up by it."""
    payment_id = await bench.authorized()
    assert (await bench.payments.capture(bench.command(), payment_id, 400)).answer.status == 200
    bench.clock.at += timedelta(days=8)
    begun = 0
    for provider in bench.providers.values():
        provider.answer = refuse
    for _ in range(OPERATIONS_MAXIMUM + 1):
        begun += await bench.retention.expire()
        await bench.work(3601)
    for provider in bench.providers.values():
        provider.answer = None
    assert (await bench.payments.refund(bench.command(), payment_id, 400)).answer.status == 201
    assert begun == len(await bench.operations("expiry")) < OPERATIONS_MAXIMUM // 2


async def test_payouts_never_exceed_what_is_owed(bench: Bench) -> None:
    """Ten at once of four tenths: two are paid; refunds on their way count, and other currencies do not."""
    payment_id = await bench.captured(1000)
    await bench.authorized(9000, Currency.JPY)
    orders = [PayoutOrder(f"part-{number}", Money(400, Currency.EUR)) for number in range(10)]
    answers = await asyncio.gather(*(bench.payments.payout(bench.command(), order) for order in orders))
    assert codes(list(answers)).count("done") == 2
    assert await bench.balance("merchant_payable:shop") == -200
    bench.meet(Fate.SILENT_BEFORE)
    assert (await bench.payments.refund(bench.command(), payment_id, 150)).answer.status == 202
    bench.meet(Fate.DONE)
    for amount, currency, status in ((51, "EUR", 409), (1, "JPY", 409), (50, "EUR", 201)):
        wanted = PayoutOrder(f"rest-{amount}-{currency}", Money(amount, Currency(currency)))
        assert (await bench.payments.payout(bench.command(), wanted)).answer.status == status
    calls = [one for provider in bench.providers.values() for one in provider.book.values()]
    assert sum(one.amount for one in calls if one.kind is CallKind.PAYOUT) == 850


async def paid_out(bench: Bench, reference: str, money: Money) -> str:
    """Return what became of a payout under a key of its own: done, unknown, or why not."""
    answer = (await bench.payments.payout(bench.command(), PayoutOrder(reference, money))).answer
    if answer.status >= 400:
        return str(json.loads(answer.body)["code"])
    return "done" if answer.status == 201 else "unknown"


async def test_a_payout_reference_is_paid_once(bench: Bench) -> None:
    """However many keys, in whatever currency, all at once: one is paid; another reference is free."""
    currencies = (Currency.EUR, Currency.USD)
    for currency in currencies:
        await bench.authorized(5000, currency)
        [*_, payment] = await bench.rows("SELECT id FROM payments.payment ORDER BY id")
        await bench.payments.capture(bench.command(), payment["id"], None)
    moneys = [Money(100, currencies[turn % 2]) for turn in range(20)]
    answers = await asyncio.gather(*(paid_out(bench, "weekly", money) for money in moneys))
    assert Counter(answers) == {"done": 1, "merchant_reference_in_use": 19}
    assert await paid_out(bench, "weekly", Money(1, Currency.EUR)) == "merchant_reference_in_use"
    assert await paid_out(bench, "next week", Money(1, Currency.EUR)) == "done"
    calls = [one for provider in bench.providers.values() for one in provider.book.values()]
    assert sum(one.kind is CallKind.PAYOUT for one in calls) == 2


async def test_a_payout_that_failed_frees_its_reference_and_an_unknown_one_does_not(bench: Bench) -> None:
    """Declined or failed it may be tried again, a bounded number of times; another merchant's is its own."""
    await bench.captured(1000)
    money = Money(100, Currency.EUR)
    for fate, became in (
        (Fate.DECLINED, "provider_declined"),
        (Fate.REFUSED, "provider_failed"),
        (Fate.SILENT_BEFORE, "unknown"),
        (Fate.DONE, "merchant_reference_in_use"),
    ):
        bench.meet(fate)
        assert await paid_out(bench, "weekly", money) == became
    await bench.work()
    assert await paid_out(bench, "weekly", money) == "done"
    bench.meet(Fate.DECLINED)
    tried = [await paid_out(bench, "bad account", money) for _ in range(OPERATIONS_MAXIMUM + 1)]
    assert Counter(tried) == {"provider_declined": OPERATIONS_MAXIMUM, "merchant_reference_in_use": 1}
    async with bench.database.transaction() as connection:
        for merchant, paid in (("shop", True), ("rival", False)):
            assert await repository.is_paid_out(connection, merchant, "weekly") is paid


async def test_a_payout_over_the_limit_needs_a_second_person(bench: Bench) -> None:
    """Under the limit one is enough; over it exactly this has to be approved, and is done once."""
    await bench.captured(20_000)

    async def ask(key: str, amount: int) -> str:
        order = PayoutOrder(key, Money(amount, Currency.EUR))
        request = bench.payments.payout(bench.command(key), order)
        return codes(await asyncio.gather(request, return_exceptions=True))[0]  # type: ignore[arg-type]

    assert [await ask("under", 5000), await ask("over", 5001), await ask("over", 5001)] == [
        "done",
        "approval_needed",
        "approval_needed",
    ]
    [pending] = await bench.rows("SELECT id, content FROM identity.approval")
    assert json.loads(pending["content"]) == {
        "merchant_reference": "over",
        "amount_minor": 5001,
        "currency": "EUR",
    }
    async with bench.database.transaction() as connection:
        second = Actor("treasurer", "correlation", bench.clock.now())
        await decide(connection, pending["id"], second, agreed=True, reason="due")
    assert await ask("other", 5002) == "approval_needed"
    assert [await ask("over", 5001), await ask("over", 5001)] == ["done", "done"]
    assert await ask("again", 5001) == "approval_needed"
    assert await bench.balance("merchant_payable:shop") == -(20_000 - 5000 - 5001)
    assert (await bench.actions("approval.%"))[-2:] == ["approval.used", "approval.requested"]


async def test_a_refund_that_ends_while_a_payout_is_planned_is_not_paid_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing falls between what is owed and what is on its way: it may count twice, never not at all."""
    payment_id = await bench.captured(1000)
    bench.meet(Fate.SILENT_AFTER)
    assert (await bench.payments.refund(bench.command(), payment_id, 150)).answer.status == 202
    bench.meet(Fate.DONE)
    looked: list[str] = []

    def look(module: Any, name: str) -> None:
        read = getattr(module, name)

        async def and_settle(*arguments: Any) -> Any:
            found = await read(*arguments)
            if not looked:
                await bench.work()
            looked.append(name)
            return found

        monkeypatch.setattr(module, name, and_settle)

    look(intents, "read_balances")
    look(repository, "read_in_flight_debits")
    order = PayoutOrder("all", Money(1000, Currency.EUR))
    assert (await bench.payments.payout(bench.command(), order)).answer.status == 409
    assert len(looked) == 2
    assert [row["status"] for row in await bench.operations("refund")] == ["succeeded"]
    assert await bench.balance("merchant_payable:shop") == -850


async def test_a_long_history_of_payouts_costs_the_next_one_nothing(bench: Bench) -> None:
    """What is on its way is looked up among what has not ended: never among all that was ever paid out."""
    await bench.captured(1000)
    await bench.rows(
        """
        WITH paid AS (
            INSERT INTO payments.payout SELECT gen_random_uuid(), 'shop', 'old', 7, 'EUR', 'north', now()
            FROM generate_series(1, 2000) RETURNING id)
        INSERT INTO payments.operation (
            id, kind, status, amount_minor, provider_key, principal, idempotency_key, correlation_id,
            created_at, call_deadline, settle_after, next_query_at, settled_at, settled_by)
        SELECT id, 'payout', 'succeeded', 7, gen_random_uuid(), 'shop', 'old', '-', past, past,
               past + interval '1 second', past, past, 'shop'
        FROM paid, (SELECT timestamptz '2020-01-01' + random() * interval '1 second' AS past) AS long_ago
        """
    )
    bench.meet(Fate.SILENT_BEFORE)
    await bench.payments.payout(bench.command(), PayoutOrder("open", Money(5, Currency.EUR)))
    since = bench.clock.now() - timedelta(hours=24)
    for query, *arguments in ((repository._PROMISED,), (repository._SENT, since)):
        [row] = await bench.rows(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", "shop", "EUR", *arguments)
        read, plans = 0, [json.loads(row[0])[0]["Plan"]]
        while plans:
            plan = plans.pop()
            plans += plan.get("Plans", [])
            if plan.get("Relation Name") in ("payout", "operation"):
                gone = plan.get("Rows Removed by Filter", 0)
                read += (plan["Actual Rows"] + gone) * plan["Actual Loops"]
        assert read < 20
    async with bench.database.transaction() as connection:
        assert await repository.read_in_flight_debits(connection, "shop", "EUR") == 5
        assert await repository.read_sent_payouts(connection, "shop", "EUR", since) == 5


async def test_payouts_that_have_to_be_approved_need_no_second_connection(
    bench: Bench, settings: "Settings"
) -> None:
    """With every connection taken by one of them, each is put to a second person all the same."""
    await bench.captured(20_000)
    database = await DyingDatabase.connect(settings.database, most_connections=1)
    try:
        payments = Payments(
            database,
            bench.providers,
            deadlines=DEADLINES,
            measures=bench.measures,
            clock=bench.clock,
            approve=require_approval(database, dict.fromkeys(Currency, 5000)),
        )
        orders = [PayoutOrder(f"p-{amount}", Money(amount, Currency.EUR)) for amount in (6000, 7000)]
        requests = [payments.payout(bench.command(), order) for order in orders]
        answers = await asyncio.gather(*requests, return_exceptions=True)
        assert codes(answers) == ["approval_needed"] * 2  # type: ignore[arg-type]
    finally:
        await database.close()
    assert len(await bench.rows("SELECT 1 FROM identity.approval WHERE status = 'pending'")) == 2


async def test_an_approval_is_used_up_by_a_payout_alone(bench: Bench) -> None:
    """One that is not covered when it is asked for again leaves the word of the second person standing."""
    payment_id = await bench.captured(6000)
    order = PayoutOrder("p", Money(6000, Currency.EUR))
    with pytest.raises(ApprovalNeeded):
        await bench.payments.payout(bench.command(), order)
    [pending] = await bench.rows("SELECT id FROM identity.approval")
    async with bench.database.transaction() as connection:
        second = Actor("treasurer", "correlation", bench.clock.now())
        await decide(connection, pending["id"], second, agreed=True, reason="due")
    await bench.payments.refund(bench.command(), payment_id, 1)
    assert (await bench.payments.payout(bench.command(), order)).answer.status == 409
    assert [row["status"] for row in await bench.rows("SELECT status FROM identity.approval")] == ["approved"]
    await bench.captured(1)
    assert (await bench.payments.payout(bench.command(), order)).answer.status == 201
    assert [row["status"] for row in await bench.rows("SELECT status FROM identity.approval")] == ["used"]


@pytest.mark.parametrize("silent", [Fate.SILENT_AFTER, Fate.SILENT_BEFORE])
async def test_a_payout_of_unknown_outcome_is_found_out(bench: Bench, silent: Fate) -> None:
    """It is taken from what may be paid until then, and told under its key."""
    await bench.captured(1000)
    bench.meet(silent)
    order = PayoutOrder("weekly", Money(1000, Currency.EUR))
    assert (await bench.payments.payout(bench.command("weekly"), order)).answer.status == 202
    assert await paid_out(bench, "another", order.money) == "amount_exceeded"
    bench.meet(Fate.DONE)
    await bench.work()
    again = await bench.payments.payout(bench.command("weekly"), order)
    paid = silent is Fate.SILENT_AFTER
    assert (again.replayed, again.answer.status) == (True, 201 if paid else 502)
    assert await bench.balance("merchant_payable:shop") == (0 if paid else -1000)


async def test_a_chargeback_is_taken_once_and_won_back_once(bench: Bench) -> None:
    """By its name with the provider, however often and in whatever order it is told, by whichever way."""
    payment_id = await bench.captured(600, 400)
    capture = (await bench.operations("capture"))[0]
    opened = {"type": "chargeback.opened", "movement": "cb-1", "amount": 500}
    provider, content = await bench.event(capture, **opened)
    for _ in range(2):
        await bench.webhooks.apply(provider, read_event(content))
        await bench.tell(capture, **opened)
    line = ReportLine(
        str(capture["provider_key"]), "cb-1", "order", MovementKind.CHARGEBACK, 500, Currency.EUR, 0,
        bench.clock.now(),
    )  # fmt: skip
    await bench.webhooks.apply_line(provider, line)
    row = await bench.payment(payment_id)
    assert (row["status"], row["charged_back_minor"]) == ("charged_back", 500)
    assert await bench.balance("merchant_payable:shop") == -500
    refused = await bench.payments.refund(bench.command(), payment_id, 401)
    assert refused.answer.status == 409
    for _ in range(2):
        await bench.tell(capture, **{**opened, "type": "chargeback.won"})
        await bench.tell(capture, **opened)
    row = await bench.payment(payment_id)
    assert (row["status"], row["charged_back_minor"]) == ("captured", 0)
    assert await bench.balance("merchant_payable:shop") == -1000
    types = [row["type"] for row in await bench.rows("SELECT type FROM outbox.event ORDER BY seq")]
    assert types[-2:] == ["payment.chargeback_opened", "payment.chargeback_won"]


async def test_a_chargeback_that_does_not_fit_is_on_record_alone(bench: Bench) -> None:
    """More than the capture, another currency, of a refund, of nothing of ours."""
    payment_id = await bench.captured(1000)
    await bench.payments.refund(bench.command(), payment_id, 100)
    [capture], [refund] = await bench.operations("capture"), await bench.operations("refund")
    told = {"type": "chargeback.opened", "movement": "cb"}
    await bench.tell(capture, **told, amount=1001)
    await bench.tell(capture, **told, currency="JPY")
    await bench.tell(refund, **told)
    await bench.tell(capture, **told, key=str(uuid4()))
    assert (await bench.payment(payment_id))["charged_back_minor"] == 0
    assert await bench.actions("%.contradicted") == ["chargeback.contradicted"] * 3
    assert await bench.actions("event.unmatched") == ["event.unmatched"]


async def test_the_name_of_a_chargeback_is_of_one_capture(bench: Bench) -> None:
    """Two captures in one dispute are two chargebacks, of one payment or of several; each is taken once."""
    payment_id = await bench.captured(600, 400)
    for _ in range(2):
        await bench.captured(1000)
    captures = await bench.operations("capture")
    for what, owed in (("opened", 0), ("won", -3000)):
        for capture in captures * 2:
            await bench.tell(capture, type=f"chargeback.{what}", movement="cb")
        assert await bench.balance("merchant_payable:shop") == owed
        assert len(await bench.operations({"opened": "chargeback", "won": "chargeback_reversal"}[what])) == 4
    assert (await bench.payment(payment_id))["status"] == "captured"
    assert await bench.actions("%.contradicted") == []


async def test_one_chargeback_has_one_amount(bench: Bench) -> None:
    """Told again with another amount or currency it is on record, and the first stands."""
    payment_id = await bench.captured(1000)
    [capture] = await bench.operations("capture")
    for amount, currency in ((500, "EUR"), (300, "EUR"), (500, "USD"), (500, "EUR")):
        await bench.tell(capture, type="chargeback.opened", movement="cb", amount=amount, currency=currency)
    await bench.tell(capture, type="chargeback.won", movement="cb", amount=300)
    assert (await bench.payment(payment_id))["charged_back_minor"] == 500
    contradicted = ["chargeback.contradicted"] * 2 + ["chargeback_reversal.contradicted"]
    assert await bench.actions("%.contradicted") == contradicted


async def test_a_chargeback_waits_for_the_end_of_its_capture(bench: Bench) -> None:
    """The provider is told to tell it again, and then it is taken."""
    payment_id = await bench.authorized()
    bench.meet(Fate.SILENT_AFTER)
    await bench.payments.capture(bench.command(), payment_id, None)
    [capture] = await bench.operations("capture")
    told = {"event": str(uuid4()), "type": "chargeback.opened", "movement": "cb"}
    with pytest.raises(OperationInFlight):
        await bench.tell(capture, **told)
    await bench.tell(capture)
    await bench.tell(capture, **told)
    assert (await bench.payment(payment_id))["status"] == "charged_back"


@pytest.mark.parametrize("way", ["query", "webhook", "report"])
async def test_whatever_comes_first_settles_it_once(bench: Bench, way: str) -> None:
    """The two that come later change nothing."""
    payment_id = await bench.authorized()
    bench.meet(Fate.SILENT_AFTER)
    command = bench.command("capture")
    assert (await bench.payments.capture(command, payment_id, None)).answer.status == 202
    bench.meet(Fate.DONE)
    [capture] = await bench.operations("capture")
    provider, content = await bench.event(capture)
    line = ReportLine(
        str(capture["provider_key"]), content["id"], "order", MovementKind.CAPTURE, 1000, Currency.EUR, 0,
        bench.clock.now(),
    )  # fmt: skip
    ways: dict[str, Callable[[], Awaitable[None]]] = {
        "query": bench.work,
        "webhook": lambda: bench.webhooks.apply(provider, read_event(content)),
        "report": lambda: bench.webhooks.apply_line(provider, line),
    }
    await ways.pop(way)()
    [settled] = await bench.operations("capture")
    assert settled["settled_by"] == ("worker" if way == "query" else f"provider:{provider}")
    for later in ways.values():
        await later()
    assert await bench.operations("capture") == [settled]
    assert await bench.balance("merchant_payable:shop") == -1000
    assert await bench.actions("capture.%") == ["capture.begun", "capture.indeterminate", "capture.succeeded"]
    assert (await bench.payments.capture(command, payment_id, None)).replayed


async def test_a_message_about_other_money_is_not_believed(bench: Bench) -> None:
    """Another amount, currency or kind is a contradiction; another provider's word about it is nothing."""
    payment_id = await bench.authorized()
    bench.meet(Fate.SILENT_AFTER)
    await bench.payments.capture(bench.command(), payment_id, None)
    [capture] = await bench.operations("capture")
    for changed in ({"amount": 999}, {"currency": "JPY"}, {"kind": "refund"}):
        provider, content = await bench.event(capture, **changed)
        for _ in range(2):
            await bench.webhooks.apply(provider, read_event(content))
    provider, content = await bench.event(capture)
    stranger = "south" if provider == "north" else "north"
    await bench.webhooks.apply(stranger, read_event({**content, "event": str(uuid4())}))
    [still] = await bench.operations("capture")
    assert still["status"] == "indeterminate"
    assert await bench.actions("%.contradicted") == ["capture.contradicted"] * 3
    assert await bench.actions("event.unmatched") == ["event.unmatched"]


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": 0}, {"amount": -1}, {"amount": MAXIMUM_MINOR + 1}, {"amount": 1.0}, {"amount": True},
        {"currency": "XXX"}, {"key": "no-uuid"}, {"event": 7}, {"type": "other"}, {"status": "maybe"},
        {"kind": "query"}, {"id": ""}, {"type": "chargeback.opened"}, {"id": "a b"},
        {"kind": None}, {"status": None}, {"id": None},
    ],
)  # fmt: skip
def test_nonsense_is_refused(changed: dict[str, object]) -> None:
    """A message of another form names the key that is wrong."""
    good: dict[str, object] = {
        "event": str(uuid4()), "type": "operation", "key": str(uuid4()), "kind": "capture", "status": "done",
        "id": "ref", "decline_code": None, "amount": MAXIMUM_MINOR, "currency": "KWD",
    }  # fmt: skip
    assert read_event(good).money == Money(MAXIMUM_MINOR, Currency.KWD)
    with pytest.raises(EventInvalid, match="allowed"):
        read_event({**good, **changed})


@pytest.mark.parametrize("amount", [0, -1, MAXIMUM_MINOR + 1])
def test_amounts_out_of_range_are_no_money(amount: int) -> None:
    """In each currency; the largest and the smallest are."""
    for currency in Currency:
        assert Money(1, currency) != Money(MAXIMUM_MINOR, currency)
        with pytest.raises(InvariantViolation, match="allowed"):
            Money(amount, currency)


async def test_the_largest_amounts_go_the_whole_way(bench: Bench) -> None:
    """In currencies of 0, 2 and 3 decimals: in parts, given back, never past 63 bits."""
    for currency in (Currency.JPY, Currency.EUR, Currency.KWD):
        payment_id = await bench.authorized(MAXIMUM_MINOR, currency)
        for part in (MAXIMUM_MINOR - 1, 1):
            assert (await bench.payments.capture(bench.command(), payment_id, part)).answer.status == 200
        for part, status in ((MAXIMUM_MINOR, 409), (MAXIMUM_MINOR - 1, 201), (1, 201)):
            reply = await bench.payments.refund(bench.command(), payment_id, part)
            assert reply.answer.status == status
        assert (await bench.payment(payment_id))["status"] == "refunded"


async def test_a_late_authorization_is_voided_once(bench: Bench) -> None:
    """Answered as failed, done after all: voided by the worker, once, however often it is told."""
    bench.meet(Fate.LATE)
    order = Order("late", Money(1000, Currency.EUR), "tok_411111_00ff")
    assert (await bench.payments.authorize(bench.command("late"), order)).answer.status == 202
    bench.meet(Fate.DONE)
    await bench.work()
    failed = await bench.payments.authorize(bench.command("late"), order)
    assert failed.answer.status == 502
    for provider in bench.providers.values():
        provider.arrive()
    [late] = await bench.operations("authorize")
    for _ in range(3):
        await bench.tell(late)
    bench.meet(Fate.SILENT_AFTER)
    await bench.work()
    bench.meet(Fate.DONE)
    await bench.work()
    await bench.tell(late)
    [undo] = await bench.operations("undo_authorize")
    assert (undo["status"], undo["parent_id"]) == ("succeeded", late["id"])
    voids = [one for p in bench.providers.values() for one in p.book.values() if one.kind is CallKind.VOID]
    assert [one.amount for one in voids] == [1000]
    assert await bench.actions("authorize.contradicted") == ["authorize.contradicted"]
    again = await bench.payments.authorize(bench.command("late"), order)
    assert (again.replayed, again.answer) == (True, failed.answer)
    assert await bench.rows("SELECT 1 FROM ledger.entry") == []


@pytest.mark.parametrize("late_minor", [600, 1000])
async def test_a_hold_ends_at_zero_after_a_late_capture_too(bench: Bench, late_minor: int) -> None:
    """What the capture took is not there to be captured or released again; the rest is, as always."""
    payment_id = await bench.authorized()
    bench.meet(Fate.LATE)
    await bench.payments.capture(bench.command("late"), payment_id, late_minor)
    bench.meet(Fate.DONE)
    await bench.work()
    for provider in bench.providers.values():
        provider.arrive()
    [late] = await bench.operations("capture")
    await bench.tell(late)
    await bench.work()
    row = await bench.payment(payment_id)
    assert (row["status"], row["released_minor"]) == (
        "authorized" if late_minor < 1000 else "voided",
        late_minor,
    )
    assert await bench.balance("hold_payable:shop") == late_minor - 1000
    refused = await bench.payments.capture(bench.command(), payment_id, 1001 - late_minor)
    assert refused.answer.status == 409
    bench.clock.at += timedelta(days=8)
    assert await bench.retention.expire() == (1 if late_minor < 1000 else 0)
    await bench.work()
    assert await bench.balance("hold_payable:shop") == 0
    assert (await bench.payment(payment_id))["status"] == ("expired" if late_minor < 1000 else "voided")
    assert not any(provider.refused for provider in bench.providers.values())


@pytest.mark.parametrize("other", ["capture", "void"])
async def test_a_hold_ends_at_zero_though_another_operation_was_on_its_way(bench: Bench, other: str) -> None:
    """What that one has set aside may be what the late capture took: it is taken in after its end."""
    payment_id = await bench.authorized()
    bench.meet(Fate.LATE)
    await bench.payments.capture(bench.command("late"), payment_id, 600)
    await bench.work()
    bench.meet(Fate.SILENT_BEFORE)
    if other == "capture":
        await bench.payments.capture(bench.command(), payment_id, 1000)
    else:
        await bench.payments.void(bench.command(), payment_id)
    bench.meet(Fate.DONE)
    for provider in bench.providers.values():
        provider.arrive()
    late = (await bench.operations("capture"))[0]
    # One message, told again until it is taken.
    event = str(uuid4())
    with pytest.raises(OperationInFlight):
        await bench.tell(late, event=event)
    assert await bench.operations("undo_capture") == []
    # What is told too early is no write that went wrong.
    shown = bench.measures.recorder.render().decode().splitlines()
    writes = [one for one in shown if one.startswith("moneypath_ledger_writes_total")]
    assert writes
    assert not [one for one in writes if 'outcome="failed"' in one and float(one.split()[-1])]
    await bench.work()
    await bench.tell(late, event=event)
    await bench.work()
    assert [row["status"] for row in await bench.operations("undo_capture")] == ["succeeded"]
    row = await bench.payment(payment_id)
    assert (row["status"], row["released_minor"]) == ("authorized", 600)
    bench.clock.at += timedelta(days=8)
    assert await bench.retention.expire() == 1
    await bench.work()
    assert (await bench.payment(payment_id))["status"] == "expired"
    assert await bench.balance("hold_payable:shop") == await bench.balance("merchant_payable:shop") == 0
    assert not any(provider.refused for provider in bench.providers.values())


@pytest.mark.parametrize("other", ["capture", "void"])
async def test_a_late_release_waits_for_the_end_of_another_operation(bench: Bench, other: str) -> None:
    """Which may have been before it or not: what is released is what is left then."""
    for fate, status, released in (
        (Fate.SILENT_BEFORE, "voided", 1000),
        (Fate.SILENT_AFTER, *(("captured", 600) if other == "capture" else ("voided", 1000))),
    ):
        payment_id = await bench.authorized()
        bench.meet(Fate.SILENT_BEFORE)
        await bench.payments.void(bench.command(), payment_id)
        bench.meet(Fate.DONE)
        await bench.work()
        void = (await bench.operations("void"))[-1]
        bench.meet(fate)
        if other == "capture":
            await bench.payments.capture(bench.command(), payment_id, 400)
        else:
            await bench.payments.void(bench.command(), payment_id)
        event = str(uuid4())
        with pytest.raises(OperationInFlight):
            await bench.tell(void, event=event)
        bench.meet(Fate.DONE)
        await bench.work()
        await bench.tell(void, event=event)
        row = await bench.payment(payment_id)
        assert (row["status"], row["released_minor"]) == (status, released)
        assert await bench.balance("hold_payable:shop") == 0


async def test_an_answer_that_came_too_late_is_not_lost_to_another_operation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heard by the request itself while another capture is on its way: it is taken in once that has ended."""
    payment_id = await bench.authorized()
    heard, ended = asyncio.Event(), asyncio.Event()

    async def answer_late(call: Call) -> Answer:
        heard.set()
        await ended.wait()
        for provider in bench.providers.values():
            provider.do(call)
        return Answer(ProviderResult.DONE, provider_reference=f"ref-{call.key}")

    for provider in bench.providers.values():
        provider.answer = answer_late
    slow = asyncio.create_task(bench.payments.capture(bench.command(), payment_id, 600))
    await heard.wait()
    for provider in bench.providers.values():
        provider.answer = None
    await bench.work()
    bench.meet(Fate.SILENT_BEFORE)
    await bench.payments.capture(bench.command(), payment_id, 1000)
    bench.meet(Fate.DONE)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await bench.work()

    monkeypatch.setattr(outcome_resolver, "asyncio", SimpleNamespace(sleep=pause))
    ended.set()
    assert (await slow).answer.status == 502
    await bench.work()
    assert len(pauses) == 1
    assert [row["status"] for row in await bench.operations("undo_capture")] == ["succeeded"]
    assert (await bench.payment(payment_id))["released_minor"] == 600


async def test_a_late_release_ends_the_hold_once(bench: Bench) -> None:
    """To release it again would be refused for ever; what was captured of it stays."""
    for captured, status in ((0, "voided"), (400, "captured")):
        payment_id = await bench.authorized()
        if captured:
            await bench.payments.capture(bench.command(), payment_id, captured)
        bench.meet(Fate.SILENT_BEFORE)
        assert (await bench.payments.void(bench.command(), payment_id)).answer.status == 202
        bench.meet(Fate.DONE)
        await bench.work()
        void = (await bench.operations("void"))[-1]
        assert void["status"] == "failed"
        for _ in range(2):
            await bench.tell(void)
        row = await bench.payment(payment_id)
        assert (row["status"], row["released_minor"]) == (status, 1000 - captured)
        assert await bench.balance("hold_payable:shop") == 0
    assert await bench.actions("void.contradicted") == ["void.contradicted"] * 2


async def test_a_late_payout_is_booked_once(bench: Bench) -> None:
    """Its merchant has it: what is owed is less, and cannot be paid again."""
    await bench.captured(1000)
    order = PayoutOrder("late", Money(700, Currency.EUR))
    bench.meet(Fate.SILENT_BEFORE)
    assert (await bench.payments.payout(bench.command("late"), order)).answer.status == 202
    bench.meet(Fate.DONE)
    await bench.work()
    assert (await bench.payments.payout(bench.command("late"), order)).answer.status == 502
    [row] = await bench.rows(
        "SELECT provider, provider_key FROM payments.payout JOIN payments.operation USING (id)"
    )
    told = {
        "type": "operation", "key": str(row["provider_key"]), "kind": "payout", "status": "done", "id": "ref",
        "amount": 700, "currency": "EUR",
    }  # fmt: skip
    for _ in range(2):
        await bench.webhooks.apply(row["provider"], read_event({**told, "event": str(uuid4())}))
    assert await bench.balance("merchant_payable:shop") == -300
    assert await paid_out(bench, "late", Money(1, Currency.EUR)) == "merchant_reference_in_use"
    assert await paid_out(bench, "another", order.money) == "amount_exceeded"
    assert await bench.actions("payout.contradicted") == ["payout.contradicted"]


async def test_a_late_refund_is_in_suspense_once(bench: Bench) -> None:
    """The provider owes us less. Who bears it is for people to say: the merchant is owed what it was."""
    payment_id = await bench.captured(1000)
    bench.meet(Fate.LATE)
    assert (await bench.payments.refund(bench.command("late"), payment_id, 400)).answer.status == 202
    bench.meet(Fate.DONE)
    await bench.work()
    before = await bench.payment(payment_id)
    for provider in bench.providers.values():
        provider.arrive()
    [late] = await bench.operations("refund")
    for _ in range(2):
        await bench.tell(late)
    name = before["provider"]
    assert await bench.balance(f"suspense:{name}") == 400
    assert await bench.balance(f"provider_receivable:{name}") == 600
    assert await bench.balance("merchant_payable:shop") == -1000
    assert await bench.payment(payment_id) == before
    assert (await bench.payments.refund(bench.command("late"), payment_id, 400)).answer.status == 502
    assert await bench.actions("refund.contradicted") == ["refund.contradicted"]


async def test_what_was_given_back_after_all_leaves_suspense(bench: Bench) -> None:
    """Its provider had declined to give a late capture back, and did it later."""
    payment_id = await bench.authorized()
    bench.meet(Fate.LATE)
    await bench.payments.capture(bench.command(), payment_id, 600)
    bench.meet(Fate.DONE)
    await bench.work()
    for provider in bench.providers.values():
        provider.arrive()
    await bench.tell((await bench.operations("capture"))[0])
    bench.meet(Fate.DECLINED)
    await bench.work()
    [undo] = await bench.operations("undo_capture")
    assert undo["status"] == "declined"
    name = (await bench.payment(payment_id))["provider"]
    assert await bench.balance(f"suspense:{name}") == -600
    for _ in range(2):
        await bench.tell(undo, kind="refund")
    assert await bench.balance(f"suspense:{name}") == 0


async def test_a_late_capture_is_given_back_once(bench: Bench) -> None:
    """Its money stands in suspense until then; the payment stays what its merchant was told."""
    payment_id = await bench.authorized()
    bench.meet(Fate.LATE)
    await bench.payments.capture(bench.command("late"), payment_id, 600)
    bench.meet(Fate.DONE)
    await bench.work()
    for provider in bench.providers.values():
        provider.arrive()
    [late] = await bench.operations("capture")
    await bench.tell(late)
    name = (await bench.payment(payment_id))["provider"]
    assert await bench.balance(f"suspense:{name}") == -600
    await bench.work()
    await bench.tell(late)
    [undo] = await bench.operations("undo_capture")
    assert undo["status"] == "succeeded"
    assert await bench.balance(f"suspense:{name}") == await bench.balance(f"provider_receivable:{name}") == 0
    assert (await bench.payment(payment_id))["status"] == "authorized"
    refunds = [
        one for p in bench.providers.values() for one in p.book.values() if one.kind is CallKind.REFUND
    ]
    assert [one.amount for one in refunds] == [600]


@pytest.mark.parametrize("kind", ["authorize", "refund", "payout"])
async def test_an_owner_who_wakes_up_late_decides_nothing(bench: Bench, kind: str) -> None:
    """Paused before it sent, it finds its time over; by then a retry has taken over and is sending."""
    payment_id, command = await bench.captured(1000), bench.command(kind)
    sent, answered = asyncio.Event(), asyncio.Event()
    order = Order("late", Money(400, Currency.EUR), "tok_411111_00ff")

    async def ask() -> Reply:
        match kind:
            case "authorize":
                return await bench.payments.authorize(command, order)
            case "refund":
                return await bench.payments.refund(command, payment_id, 400)
            case _:
                return await bench.payments.payout(command, PayoutOrder("late", order.money))

    def answer(how: Callable[[Call], Awaitable[Answer]]) -> None:
        for provider in bench.providers.values():
            provider.answer = how

    async def wake_up_late(_call: Call) -> Answer:
        answer(do_slowly)
        bench.clock.at += timedelta(seconds=7)
        retries.append(asyncio.create_task(ask()))
        await sent.wait()
        raise ProviderRefused("the time to call the provider was over before it was called")

    async def do_slowly(call: Call) -> Answer:
        sent.set()
        await answered.wait()
        return Answer(ProviderResult.DONE, provider_reference=f"ref-{call.key}")

    retries: list[asyncio.Task[Reply]] = []
    answer(wake_up_late)
    assert (await ask()).answer.status == 202
    answered.set()
    assert (await retries[0]).answer.status == 201
    assert (await ask()).answer.status == 201
    assert [row["status"] for row in await bench.operations(kind)][-1] == "succeeded"
    assert await bench.actions("%.contradicted") == []
    assert await bench.balance("merchant_payable:shop") == (-1000 if kind == "authorize" else -600)


async def test_a_retry_goes_on_where_a_process_died(bench: Bench) -> None:
    """At whichever statement it died: after the lease the retry goes on under the same provider key."""
    deaths = 0
    while await dies_and_goes_on(bench, deaths):
        deaths += 1
    # Both transactions were cut at each of their statements, before and after both commits.
    assert deaths >= 10


async def test_a_refusal_says_nothing_about_what_a_dead_process_sent(bench: Bench) -> None:
    """It was done, and whoever goes on is refused: that is not known, and not failed, until it is asked."""
    order, command = Order("order", Money(700, Currency.EUR), "tok_411111_00ff"), bench.command("key")
    bench.meet(Fate.DIED_AFTER)
    with pytest.raises(ProcessDied):
        await bench.payments.authorize(command, order)

    async def refuse(_call: Call) -> Answer:
        raise ProviderRefused("503")

    bench.meet(Fate.DONE)
    for provider in bench.providers.values():
        provider.answer = refuse
    bench.clock.at += timedelta(seconds=6)
    assert (await bench.payments.authorize(command, order)).answer.status == 202
    await bench.work()
    again = await bench.payments.authorize(command, order)
    assert (again.replayed, again.answer.status) == (True, 201)


@pytest.mark.parametrize("days", [0, 400])
async def test_an_end_between_two_statements_of_a_retry_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """Settled after its claim was read it is replayed; if its answer was dropped as well, that is said."""
    order, command = Order("order", Money(700, Currency.EUR), "tok_411111_00ff"), bench.command("key")
    read = repository.read_operation

    async def read_late(connection: Connection, operation_id: UUID) -> Operation | None:
        await bench.work()
        bench.clock.at += timedelta(days=days)
        await bench.retention.reap()
        return await read(connection, operation_id)

    bench.meet(Fate.SILENT_AFTER)
    assert (await bench.payments.authorize(command, order)).answer.status == 202
    monkeypatch.setattr(repository, "read_operation", read_late)
    if days:
        with pytest.raises(KeyExpired):
            await bench.payments.authorize(command, order)
    else:
        reply = await bench.payments.authorize(command, order)
        assert (reply.replayed, reply.answer.status) == (True, 201)


async def dies_and_goes_on(bench: Bench, fuse: int) -> bool:
    """Let a process die at a statement, if there are so many; retry five times at once."""
    order = Order(f"order-{fuse}", Money(700, Currency.KWD), "tok_411111_00ff")
    command = bench.command(f"key-{fuse}")
    bench.database.fuse, died = fuse, False
    try:
        await bench.payments.authorize(command, order)
    except ProcessDied:
        died = True
    bench.database.fuse = None
    query = "SELECT * FROM payments.operation WHERE idempotency_key = $1"
    written = await bench.rows(query, command.key)
    if written and written[0]["status"] == "started":
        with pytest.raises(KeyInFlight):
            await bench.payments.authorize(command, order)
        bench.clock.at += timedelta(seconds=6)
    answers = await asyncio.gather(
        *(bench.payments.authorize(command, order) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(one, Reply | KeyInFlight) for one in answers)
    told = {one.answer for one in answers if isinstance(one, Reply)}
    assert [one.status for one in told] == [201]
    [done] = await bench.rows(query, command.key)
    assert done["provider_key"] in {key for provider in bench.providers.values() for key in provider.book}
    assert sum(len(provider.book) for provider in bench.providers.values()) == fuse + 1
    assert not written or written[0]["provider_key"] == done["provider_key"]
    return died


async def test_retry_and_worker_never_go_on_at_once(bench: Bench) -> None:
    """While the worker asks, a retry waits; what the worker heard counts no more once a retry has it."""
    order = Order("order", Money(700, Currency.EUR), "tok_411111_00ff")
    bench.meet(Fate.DIED_BEFORE)
    with pytest.raises(ProcessDied):
        await bench.payments.authorize(bench.command("key"), order)
    bench.clock.at += timedelta(seconds=8)
    told: list[Any] = []

    async def unknown_after_a_pause(call: Call) -> Answer:
        assert call.kind is CallKind.QUERY
        with pytest.raises(KeyInFlight):
            await bench.payments.authorize(bench.command("key"), order)
        # The worker's process stands still for so long that its lease runs out; a retry goes on.
        bench.clock.at += timedelta(seconds=30)
        for provider in bench.providers.values():
            del provider.perform
        bench.meet(Fate.DONE)
        told.append(await bench.payments.authorize(bench.command("key"), order))
        return Answer(ProviderResult.UNKNOWN_KEY)

    for provider in bench.providers.values():
        provider.perform = unknown_after_a_pause  # type: ignore[method-assign]
    assert await bench.recovery.run_once() == 0
    assert [one.answer.status for one in told] == [201]
    [row] = await bench.operations("authorize")
    assert row["status"] == "succeeded"
    assert await bench.actions("%.contradicted") == []
    assert await bench.actions("authorize.taken_over") == ["authorize.taken_over"]


async def test_keys_expire_by_state(bench: Bench, db: "RefpayDb") -> None:
    """An old answered key is reaped and then refuses for good; an unfinished one never is, however old."""
    payment_id = await bench.captured(1000)
    assert (await bench.payments.refund(bench.command("old"), payment_id, 400)).answer.status == 201
    assert (await bench.payments.refund(bench.command("refused"), payment_id, 601)).answer.status == 409
    bench.meet(Fate.SILENT_BEFORE)
    assert (await bench.payments.refund(bench.command("open"), payment_id, 300)).answer.status == 202
    bench.meet(Fate.DONE)
    assert await bench.retention.reap() == 0
    bench.clock.at += timedelta(days=31)
    assert await bench.retention.reap() == 4
    for key, amount in (("old", 400), ("refused", 601)):
        with pytest.raises(KeyExpired):
            await bench.payments.refund(bench.command(key), payment_id, amount)
    assert (await bench.payments.refund(bench.command("open"), payment_id, 300)).answer.status == 202
    unfinished = (
        "UPDATE payments.idempotency_key SET reaped_at = now(), response_body = NULL WHERE key = 'open'"
    )
    with pytest.raises(Exception, match="reaped_when_answered"):
        await db.rows(unfinished)
    assert (await bench.payment(payment_id))["refunded_minor"] == 400


async def test_events_are_forgotten_by_age(bench: Bench) -> None:
    """What a provider told a month ago is deleted, later ones are not; told again, it changes nothing."""
    await bench.captured(1000)
    [capture] = await bench.operations("capture")
    old, young = str(uuid4()), str(uuid4())
    await bench.tell(capture, event=old)
    bench.clock.at += timedelta(days=20)
    await bench.tell(capture, event=young)
    bench.clock.at += timedelta(days=11)
    await bench.retention.reap()
    assert [str(row[0]) for row in await bench.rows("SELECT event_id FROM payments.webhook_event")] == [young]
    await bench.tell(capture, event=old)
    assert await bench.actions("capture.%") == ["capture.begun", "capture.succeeded"]
    assert await bench.balance("merchant_payable:shop") == -1000


async def test_two_hundred_retries_at_once_are_one(bench: Bench, settings: "Settings") -> None:
    """Until each has its answer: one charge, one provider call, the same bytes two hundred times."""
    order = Order("order", Money(700, Currency.JPY), "tok_411111_00ff")
    second = await Database.connect(settings.database, most_connections=10)
    other = Payments(second, bench.providers, deadlines=DEADLINES, measures=bench.measures, clock=bench.clock)

    async def insist(payments: Payments) -> Reply:
        while True:
            try:
                return await payments.authorize(bench.command("same"), order)
            except KeyInFlight:
                await asyncio.sleep(0.01)

    try:
        replies = await asyncio.gather(*(insist((bench.payments, other)[turn % 2]) for turn in range(200)))
    finally:
        await second.close()
    assert {one.answer for one in replies} == {replies[0].answer}
    assert sum(not one.replayed for one in replies) == 1
    assert replies[0].answer.status == 201
    assert sum(sum(provider.calls.values()) for provider in bench.providers.values()) == 1
    assert len(await bench.operations("authorize")) == 1
