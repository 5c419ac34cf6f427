"""Two resolve the same operation: the first wins, the second changes nothing, the ledger has one entry."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio

import refpay
from moneypath.telemetry import Catalogue, setup
from moneypath.telemetry.integrations.ledger import LedgerKind
from refpay.clock import SystemClock
from refpay.db.errors import CommitOutcomeUnknown
from refpay.db.pool import Connection, Database
from refpay.identity.principals import Principal
from refpay.ledger.entries import EntryKind
from refpay.measures import API_METRICS, ServiceMetrics
from refpay.money import Currency, Money
from refpay.payments import claims_repository, repository
from refpay.payments.claims import Command, fingerprint
from refpay.payments.errors import KeyExpired
from refpay.payments.intents import Deadlines
from refpay.payments.model import Operation, OperationKind, OperationStatus, Order
from refpay.payments.outcome_resolver import OutcomeResolver, ledger_kind
from refpay.payments.outcomes import NOT_DONE, NOT_KNOWN, ReportedOutcome
from refpay.payments.recovery import OperationRecovery
from refpay.payments.service import Payments
from refpay.providers.errors import ProviderOutcomeUnknown
from refpay.providers.port import Answer, Call, CallKind, ProviderResult

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb

    from refpay.settings import Settings

DEADLINES = dict.fromkeys(
    ("north", "south"), Deadlines(timedelta(hours=5), timedelta(hours=6), timedelta(hours=7))
)
SHOP = Principal("shop", frozenset())
CAPTURED = ReportedOutcome(OperationStatus.SUCCEEDED, provider_reference="provider-capture")


@dataclass
class Scripted:
    """A provider that answers as scripted; without a script it is silent."""

    name: str
    answer: Callable[[Call], Any] | None = None
    calls: list[Call] = field(default_factory=list)

    def require_closed(self) -> None:
        """Take every call."""

    async def perform(self, call: Call) -> Answer:
        """Answer as told."""
        self.calls.append(call)
        if self.answer is None:
            raise ProviderOutcomeUnknown("nothing")
        return cast("Answer", await self.answer(call))


@dataclass
class Bench:
    """The service on a real database with scripted providers."""

    database: Database
    measures: ServiceMetrics
    providers: dict[str, Scripted]
    payments: Payments
    resolver: OutcomeResolver

    def answer(self, answer: Callable[[Call], Any] | None) -> None:
        """Script both providers."""
        for provider in self.providers.values():
            provider.answer = answer

    def command(self, key: str) -> Command:
        """Return a command of the shop."""
        return Command(SHOP, key, fingerprint("POST", "/", key), "correlation", "live")

    async def operations(self) -> list[Operation]:
        """Return every operation, oldest first."""
        async with self.database.transaction() as connection:
            ids = await connection.fetch("SELECT payment_id FROM payments.operation GROUP BY payment_id")
            return [one for row in ids for one in await repository.read_operations(connection, row[0])]

    async def authorized(self) -> Any:
        """Return the id of an authorized payment."""
        self.answer(approve)
        order = Order("order-1", Money(1000, Currency.EUR), "tok_411111_00ff")
        assert (await self.payments.authorize(self.command("authorize"), order)).answer.status == 201
        return (await self.operations())[0].payment_id


async def approve(call: Call) -> Answer:
    """Do everything."""
    return Answer(ProviderResult.DONE, provider_reference=f"ref-{call.key}")


@pytest_asyncio.fixture(loop_scope="session")
async def bench(settings: "Settings") -> AsyncIterator[Bench]:
    """Wire the service without HTTP."""
    catalogue = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
    measures = ServiceMetrics(setup(catalogue, service="refpay-api", metrics=API_METRICS))
    database = await Database.connect(settings.database, most_connections=10)
    clock = SystemClock()
    providers = {name: Scripted(name) for name in ("north", "south")}
    payments = Payments(database, providers, deadlines=DEADLINES, measures=measures, clock=clock)
    yield Bench(
        database, measures, providers, payments, OutcomeResolver(database, measures=measures, clock=clock)
    )
    await database.close()


async def test_the_worker_wins_and_the_api_returns_what_it_resolved(bench: Bench, db: "RefpayDb") -> None:
    """The worker resolves while the API waits for its provider; the answer is the worker's, posted once."""
    payment_id = await bench.authorized()

    async def settled_meanwhile(call: Call) -> Answer:
        operation = (await bench.operations())[-1]
        assert operation.provider_key == call.key
        resolved = await bench.resolver.resolve(operation, CAPTURED, actor="worker")
        assert resolved.applied
        return Answer(ProviderResult.DONE, provider_reference="provider-capture")

    bench.answer(settled_meanwhile)
    reply = await bench.payments.capture(bench.command("capture"), payment_id, None)
    assert reply.answer.status == 200
    assert b'"captured_minor":1000' in reply.answer.body
    rows = await db.rows("SELECT settled_by FROM payments.operation WHERE kind = 'capture'")
    assert rows == [{"settled_by": "worker"}]
    assert len(await db.rows("SELECT 1 FROM ledger.entry WHERE kind <> 'hold'")) == 1
    again = await bench.payments.capture(bench.command("capture"), payment_id, None)
    assert (again.replayed, again.answer) == (True, reply.answer)


async def test_who_comes_after_the_answer_was_dropped_is_told_so_as_every_retry(bench: Bench) -> None:
    """A process paused while others resolved the operation and reaped its key: no key has two answers."""
    payment_id = await bench.authorized()

    async def settled_and_reaped(call: Call) -> Answer:
        await bench.resolver.resolve((await bench.operations())[-1], CAPTURED, actor="worker")
        later = SystemClock().now() + timedelta(days=1)
        async with bench.database.transaction() as connection:
            await claims_repository.reap(connection, later, claimed_before=later, limit=10)
        return await approve(call)

    bench.answer(settled_and_reaped)
    reply = await bench.payments.capture(bench.command("capture"), payment_id, None)
    assert (reply.answer.status, b"idempotency_key_expired" in reply.answer.body) == (410, True)
    with pytest.raises(KeyExpired):
        await bench.payments.capture(bench.command("capture"), payment_id, None)


@pytest.mark.parametrize(("late", "contradicted"), [(NOT_KNOWN, False), (NOT_DONE, True), (CAPTURED, False)])
async def test_what_is_resolved_does_not_change(
    bench: Bench, db: "RefpayDb", late: ReportedOutcome, contradicted: bool
) -> None:
    """A late outcome changes nothing; one that contradicts is recorded."""
    payment_id = await bench.authorized()
    await bench.payments.capture(bench.command("capture"), payment_id, None)
    operation = (await bench.operations())[-1]
    resolved = await bench.resolver.resolve(operation, late, actor="worker")
    assert (resolved.applied, resolved.contradicted) == (False, contradicted)
    assert resolved.operation.status is OperationStatus.SUCCEEDED
    assert len(await db.rows("SELECT 1 FROM ledger.entry WHERE kind <> 'hold'")) == 1
    records = await db.rows("SELECT 1 FROM audit.event WHERE action = 'capture.contradicted'")
    assert len(records) == contradicted


async def test_many_resolve_at_once_and_one_does(bench: Bench, db: "RefpayDb") -> None:
    """Ten at the same time: one entry, one audit record, ten equal answers."""
    payment_id = await bench.authorized()
    bench.answer(None)
    assert (await bench.payments.capture(bench.command("capture"), payment_id, None)).answer.status == 202
    operation = (await bench.operations())[-1]
    all_resolved = await asyncio.gather(
        *(bench.resolver.resolve(operation, CAPTURED, actor="worker") for _ in range(10))
    )
    assert sum(resolved.applied for resolved in all_resolved) == 1
    assert len({resolved.answer for resolved in all_resolved}) == 1
    assert len(await db.rows("SELECT 1 FROM ledger.entry WHERE kind <> 'hold'")) == 1
    assert len(await db.rows("SELECT 1 FROM audit.event WHERE action = 'capture.succeeded'")) == 1
    text = bench.measures.recorder.render().decode()
    assert 'moneypath_ledger_writes_total{kind="posting",outcome="committed"} 1' in text


async def test_the_database_refuses_a_second_resolution(bench: Bench, db: "RefpayDb") -> None:
    """Even a hand-written update cannot reopen an operation or rewrite an answer."""
    await bench.authorized()
    for statement in (
        "UPDATE payments.operation SET status = 'failed'",
        "UPDATE payments.idempotency_key SET response_status = 500",
    ):
        with pytest.raises(Exception, match="final"):
            await db.rows(statement)


class LosingCommit(Database):
    """Loses the connection in COMMIT a number of times: after it happened, or before."""

    losses = 0
    committed = True

    def transaction(self) -> Any:
        """Return a transaction that may lose its COMMIT."""
        if not self.losses:
            return super().transaction()
        self.losses -= 1
        return _Losing(super().transaction(), committed=self.committed)


class _Aborted(Exception):
    """Rolls a transaction back."""


@dataclass
class _Losing:
    inner: Any
    committed: bool

    async def __aenter__(self) -> Connection:
        return cast("Connection", await self.inner.__aenter__())

    async def __aexit__(self, *error: object) -> None:
        if self.committed:
            await self.inner.__aexit__(None, None, None)
        else:
            with suppress(_Aborted):
                await self.inner.__aexit__(_Aborted, _Aborted(), None)
        raise CommitOutcomeUnknown("lost")


@pytest.mark.parametrize("committed", [True, False])
async def test_a_lost_commit_is_counted_as_unknown_and_settled_once(
    settings: "Settings", db: "RefpayDb", bench: Bench, committed: bool
) -> None:
    """Whether or not the commit happened, a retry finds out, and the money is posted once."""
    payment_id = await bench.authorized()
    bench.answer(None)
    await bench.payments.capture(bench.command("capture"), payment_id, None)
    operation = (await bench.operations())[-1]
    losing = await LosingCommit.connect(settings.database, most_connections=2)
    try:
        losing.losses, losing.committed = 1, committed
        resolver = OutcomeResolver(losing, measures=bench.measures, clock=SystemClock())
        resolved = await resolver.resolve_with_retries(operation, CAPTURED, actor="shop")
    finally:
        await losing.close()
    assert resolved is not None
    assert resolved.operation.status is OperationStatus.SUCCEEDED
    assert len(await db.rows("SELECT 1 FROM ledger.entry WHERE kind <> 'hold'")) == 1
    text = bench.measures.recorder.render().decode()
    assert 'moneypath_ledger_writes_total{kind="posting",outcome="unknown"} 1' in text


@pytest.mark.parametrize(
    ("operation", "entry"),
    [
        (OperationKind.AUTHORIZE, EntryKind.HOLD),
        (OperationKind.CAPTURE, EntryKind.POSTING),
        (OperationKind.VOID, EntryKind.RELEASE),
        (OperationKind.EXPIRY, EntryKind.RELEASE),
        (OperationKind.REFUND, EntryKind.REVERSAL),
        (OperationKind.PAYOUT, EntryKind.PAYOUT),
        (OperationKind.CHARGEBACK, EntryKind.CHARGEBACK),
        (OperationKind.CHARGEBACK_REVERSAL, EntryKind.CHARGEBACK_REVERSAL),
        (OperationKind.UNDO_CAPTURE, EntryKind.SUSPENSE),
        (OperationKind.SUSPENSE_RELEASE, EntryKind.SUSPENSE_RELEASE),
    ],
)
def test_every_entry_is_counted_by_its_kind(operation: OperationKind, entry: EntryKind) -> None:
    """An operation whose posting fails is in the objective of ledger writes, whatever it posts."""
    known = {kind.value for kind in LedgerKind}
    counted = ledger_kind(operation, ReportedOutcome(OperationStatus.SUCCEEDED))
    assert counted == (entry.value if entry.value in known else None)
    assert ledger_kind(operation, NOT_DONE) is None


async def test_what_cannot_be_settled_is_left_to_the_worker(bench: Bench, settings: "Settings") -> None:
    """With the database away for long, the outcome is indeterminate, whatever the provider said."""
    payment_id = await bench.authorized()
    losing = await LosingCommit.connect(settings.database, most_connections=2)
    try:
        payments = Payments(
            losing, bench.providers, deadlines=DEADLINES, measures=bench.measures, clock=SystemClock()
        )

        async def then_lose(call: Call) -> Answer:
            losing.losses, losing.committed = 4, False
            return Answer(ProviderResult.DONE, provider_reference=f"ref-{call.key}")

        bench.answer(then_lose)
        reply = await payments.capture(bench.command("capture"), payment_id, None)
    finally:
        await losing.close()
    assert reply.answer.status == 202
    assert (await bench.operations())[-1].status is OperationStatus.STARTED
    text = bench.measures.recorder.render().decode()
    assert 'operation="capture",outcome="indeterminate"' in text


async def test_unknown_keys_are_judged_after_the_deadline_alone(bench: Bench, db: "RefpayDb") -> None:
    """Before the deadline nothing is queried; after it the operation fails under the same provider key."""
    payment_id = await bench.authorized()
    bench.answer(None)
    await bench.payments.capture(bench.command("capture"), payment_id, None)

    @dataclass
    class Later(SystemClock):
        hours: float

        def now(self) -> Any:
            return super().now() + timedelta(hours=self.hours)

    async def unknown(_call: Call) -> Answer:
        return Answer(ProviderResult.UNKNOWN_KEY)

    bench.answer(unknown)
    key = (await bench.operations())[-1].provider_key
    asked = sum(len(provider.calls) for provider in bench.providers.values())
    for hours, resolved in ((6.0, 0), (8.0, 1)):
        recovery = OperationRecovery(
            bench.database, bench.providers, resolver=bench.resolver, clock=Later(hours), pause_seconds=1
        )
        assert await recovery.run_once() == resolved
    calls = [call for provider in bench.providers.values() for call in provider.calls]
    assert len(calls) == asked + 1
    assert (calls[-1].key, calls[-1].kind) == (key, CallKind.QUERY) or any(
        call.key == key and call.kind is CallKind.QUERY for call in calls
    )
    rows = await db.rows("SELECT status FROM payments.operation WHERE kind = 'capture'")
    assert rows == [{"status": "failed"}]


async def test_a_silent_query_is_asked_again_later(bench: Bench) -> None:
    """The pause grows and nothing is resolved; one silent operation does not stop another."""
    payment_id = await bench.authorized()
    bench.answer(None)
    await bench.payments.capture(bench.command("capture"), payment_id, None)

    class Later(SystemClock):
        def now(self) -> Any:
            return super().now() + timedelta(hours=8)

    recovery = OperationRecovery(
        bench.database, bench.providers, resolver=bench.resolver, clock=Later(), pause_seconds=60
    )
    assert await recovery.run_once() == 0
    operation = (await bench.operations())[-1]
    assert operation.query_attempts == 1
    assert operation.next_query_at > Later().now()
    asked = sum(len(provider.calls) for provider in bench.providers.values())
    assert await recovery.run_once() == 0
    assert sum(len(provider.calls) for provider in bench.providers.values()) == asked


async def test_no_transaction_is_open_while_the_provider_is_called(bench: Bench, db: "RefpayDb") -> None:
    """Seen from the database: no session is in a transaction during the call."""
    payment_id = await bench.authorized()
    seen: list[Any] = []

    async def look(call: Call) -> Answer:
        seen.extend(
            await db.rows(
                "SELECT state FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
                role="postgres",
            )
        )
        return await approve(call)

    bench.answer(look)
    assert (await bench.payments.capture(bench.command("capture"), payment_id, None)).answer.status == 200
    assert seen
    assert {row["state"] for row in seen} == {"idle"}
