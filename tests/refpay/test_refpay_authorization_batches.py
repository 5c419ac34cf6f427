"""Authorizations in batches: each gets what it would get alone, whatever the others of its batch do."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

import refpay
from moneypath.telemetry import Catalogue, setup
from refpay.db.errors import CommitOutcomeUnknown, TransactionConflicted
from refpay.db.pool import Connection, Database
from refpay.errors import InvariantViolation
from refpay.identity.principals import Principal
from refpay.ids import mint_id
from refpay.measures import API_METRICS, ServiceMetrics
from refpay.money import Currency, Money
from refpay.payments import batch_repository, claims_repository, repository
from refpay.payments.claims import Command, Reply, fingerprint
from refpay.payments.errors import KeyInFlight
from refpay.payments.intents import Deadlines, PlannedOperation
from refpay.payments.model import Operation, OperationStatus, Order
from refpay.payments.outcome_resolver import OutcomeResolver
from refpay.payments.outcomes import NOT_KNOWN, ReportedOutcome
from refpay.payments.resolution import OutcomeChange, decide, resolve
from refpay.payments.service import Payments
from refpay.providers.errors import ProviderOutcomeUnknown, ProviderRefused
from refpay.providers.port import Answer, Call, DeclineCode, ProviderResult
from refpay.providers.routing import Route
from refpay.risk.screening import HARMLESS

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb

    from refpay.settings import Settings

DEADLINES = dict.fromkeys(
    ("north", "south"), Deadlines(timedelta(seconds=5), timedelta(seconds=6), timedelta(seconds=7))
)
NOW = datetime(2026, 11, 22, 12, 0, 0, 123000, tzinfo=UTC)
BLOCKED = "466666"
WRITTEN = {
    "payments.payment": "id",
    "payments.operation": "id",
    "payments.idempotency_key": "key",
    "audit.event": "seq",
    "outbox.event": "seq",
}


class Still:
    """A clock that does not move."""

    def now(self) -> datetime:
        """Return the instant."""
        return NOW

    def monotonic(self) -> float:
        """Return the seconds."""
        return 0.0


@dataclass
class Scripted:
    """A provider that answers as scripted."""

    name: str
    answer: Callable[[Call], Any]

    def require_closed(self) -> None:
        """Take every call."""

    async def perform(self, call: Call) -> Answer:
        """Answer."""
        return cast("Answer", await self.answer(call))


class Losing(Database):
    """Counts its transactions, and loses the COMMIT of some: after it happened, or before."""

    transactions = 0
    lost: "set[int] | None" = None
    committed = True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Run one, and perhaps lose its COMMIT."""
        self.transactions += 1
        losing = self.transactions in (self.lost or ())
        with suppress(_RolledBack):
            async with super().transaction() as connection:
                yield connection
                if losing and not self.committed:
                    raise _RolledBack
        if losing:
            raise CommitOutcomeUnknown("lost")


class _RolledBack(Exception):
    pass


@dataclass
class Bench:
    """The service on a real database."""

    database: Losing
    measures: ServiceMetrics
    payments: Payments
    providers: dict[str, Scripted]
    settings: "Settings"

    def script(self, answer: Callable[[Call], Any]) -> None:
        """Script both providers."""
        for provider in self.providers.values():
            provider.answer = answer

    async def authorize(
        self, key: str, reference: str = "", card_range: str = "411111", by: str = "shop"
    ) -> Reply:
        """Authorize 10.00 EUR."""
        order = Order(reference or key, Money(1000, Currency.EUR), f"tok_{card_range}_00ff")
        command = Command(
            Principal(by, frozenset()), key, fingerprint("POST", "/", [key, reference]), "correlation", "live"
        )
        return await self.payments.authorize(command, order)


async def approve(call: Call) -> Answer:
    """Approve every call."""
    return Answer(ProviderResult.DONE, provider_reference=f"ref-{call.key}")


async def decline(_call: Call) -> Answer:
    """Decline every call."""
    return Answer(ProviderResult.DECLINED, decline_code=DeclineCode.SUSPECTED_FRAUD)


async def refuse(_call: Call) -> Answer:
    """Refuse every call before it has an effect."""
    raise ProviderRefused("503")


async def keep_silent(_call: Call) -> Answer:
    """Answer nothing."""
    raise ProviderOutcomeUnknown("nothing")


@pytest_asyncio.fixture(loop_scope="session")
async def bench(settings: "Settings") -> AsyncIterator[Bench]:
    """Wire the service without HTTP, with plans by key as in the API."""
    catalogue = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
    measures = ServiceMetrics(setup(catalogue, service="refpay-api", metrics=API_METRICS))
    database = await Losing.connect(settings.database, most_connections=8, by_key=True)
    database.transactions = 0
    providers = {name: Scripted(name, approve) for name in ("north", "south")}
    payments = Payments(database, providers, deadlines=DEADLINES, measures=measures, clock=Still())
    yield Bench(database, measures, payments, providers, settings)
    await database.close()


async def written(db: "RefpayDb") -> dict[str, list[dict[str, Any]]]:
    """Return all that an authorization writes; ids are numbered as they appear.

    Not what the database numbers by itself: places, and the transaction that wrote a record.
    """
    names: dict[str, str] = {}

    def rename(value: Any) -> Any:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        return re.sub(
            r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
            lambda found: names.setdefault(found.group(), f"id-{len(names)}"),
            str(text),
        )

    rows = {}
    for table, order in WRITTEN.items():
        found = await db.rows(f"SELECT * FROM {table} ORDER BY {order}", role="postgres")  # noqa: S608
        rows[table] = [
            {name: rename(value) for name, value in row.items() if name not in ("seq", "written_in")}
            for row in found
        ]
    return rows


@pytest.mark.parametrize("answer", [approve, decline, refuse, keep_silent])
async def test_a_batch_that_was_rolled_back_writes_the_same_in_the_end(
    bench: Bench, db: "RefpayDb", open_db: Any, settings: "Settings", monkeypatch: Any, answer: Any
) -> None:
    """Row by row, column by column, and the answer too; nothing but the ids differs.

    The intent is written by a batch of one, the outcome under the lock of its operation.
    """
    bench.script(answer)
    at_once = await bench.authorize("key")
    assert bench.database.transactions == 2
    rows = await written(db)

    write_intents = batch_repository.write_intents
    attempts: list[int] = []

    async def write_the_second_time(connection: Connection, intents: Any) -> Any:
        attempts.append(len(intents))
        if len(attempts) == 1:
            raise TransactionConflicted("rolled back")
        return await write_intents(connection, intents)

    async def roll_back(*_: object) -> Any:
        raise TransactionConflicted("rolled back")

    monkeypatch.setattr(batch_repository, "write_intents", write_the_second_time)
    monkeypatch.setattr(batch_repository, "write_changes", roll_back)
    async with open_db() as other:
        database = await Database.connect(
            replace(settings.database, url=other.url("refpay_app")), most_connections=2
        )
        payments = Payments(
            database, bench.providers, deadlines=DEADLINES, measures=bench.measures, clock=Still()
        )
        try:
            later = await Bench(
                bench.database, bench.measures, payments, bench.providers, settings
            ).authorize("key")
        finally:
            await database.close()
        assert await written(other) == rows
    assert attempts == [1, 1]
    assert (later.answer.status, len(later.answer.body)) == (at_once.answer.status, len(at_once.answer.body))
    assert [len(found) for found in rows.values()] == [1, 1, 1, 3, int(answer is not keep_silent)]


async def test_many_take_few_transactions(bench: Bench, db: "RefpayDb") -> None:
    """Thirty requests at once take a handful of transactions, each of them complete."""
    replies = await asyncio.gather(*(bench.authorize(f"key-{number}") for number in range(30)))
    assert {reply.answer.status for reply in replies} == {201}
    assert bench.database.transactions <= 6
    counts = {table: len(rows) for table, rows in (await written(db)).items()}
    assert counts == dict(zip(WRITTEN, (30, 30, 30, 90, 30), strict=True))
    again = await asyncio.gather(*(bench.authorize(f"key-{number}") for number in range(30)))
    assert all(reply.replayed for reply in again)
    assert [reply.answer for reply in again] == [reply.answer for reply in replies]
    assert bench.database.transactions <= 9


async def test_each_gets_what_it_would_get_alone(bench: Bench, db: "RefpayDb") -> None:
    """In one batch: new ones, a reference in use, one wanted twice, a key twice, a block, a replay."""
    first = await bench.authorize("old", "taken")
    await db.rows(
        "INSERT INTO risk.card_range VALUES ($1, true, 'test', '2026-01-01', 'a test') RETURNING 1", BLOCKED
    )
    good, used, one, other, twin, blocked, replay, last = await asyncio.gather(
        bench.authorize("good"),
        bench.authorize("used", "taken"),
        bench.authorize("one", "wanted"),
        bench.authorize("other", "wanted"),
        bench.authorize("good"),
        bench.authorize("blocked", card_range=BLOCKED),
        bench.authorize("old", "taken"),
        bench.authorize("last"),
        return_exceptions=True,
    )
    assert isinstance(twin, KeyInFlight)
    replies = [cast("Reply", each) for each in (good, one, last, used, other, blocked)]
    assert [reply.answer.status for reply in replies] == [201, 201, 201, 409, 409, 403]
    assert b"merchant_reference_in_use" in cast("Reply", used).answer.body
    assert b"risk_blocked" in cast("Reply", blocked).answer.body
    assert replay == Reply(first.answer, replayed=True)
    # The refusals are stored, the one that may pass is not.
    for key, reference, told in (("used", "taken", used), ("other", "wanted", other)):
        assert await bench.authorize(key, reference) == Reply(cast("Reply", told).answer, replayed=True)
    assert len(await db.rows("SELECT 1 FROM payments.payment")) == 4
    assert await bench.authorize("good") == Reply(cast("Reply", good).answer, replayed=True)


async def test_two_processes_with_the_same_requests_begin_each_once(bench: Bench, db: "RefpayDb") -> None:
    """The second process finds the claim; nothing is charged twice, and no request fails."""
    calls: list[str] = []

    async def count(call: Call) -> Answer:
        calls.append(call.reference)
        return await approve(call)

    bench.script(count)
    database = await Losing.connect(bench.settings.database, most_connections=8, by_key=True)
    payments = Payments(
        database, bench.providers, deadlines=DEADLINES, measures=bench.measures, clock=Still()
    )
    other = replace(bench, payments=payments)
    try:
        results = await asyncio.gather(
            *(each.authorize(f"key-{number}") for number in range(40) for each in (bench, other)),
            return_exceptions=True,
        )
    finally:
        await database.close()
    assert all(isinstance(each, KeyInFlight) or each.answer.status == 201 for each in results)  # type: ignore[union-attr]
    assert sorted(calls) == sorted({f"key-{number}" for number in range(40)})
    assert len(await db.rows("SELECT 1 FROM payments.payment")) == 40


async def test_one_key_for_two_requests_at_once_spoils_nobodys_batch(
    bench: Bench, db: "RefpayDb", monkeypatch: Any
) -> None:
    """A key that another process claims between our read and our write: only that request is refused."""
    read = claims_repository.read_claims

    async def read_too_early(connection: Connection, commands: Any) -> Any:
        found = await read(connection, commands)
        if any(command.key == "race" for command in commands):
            await db.rows(
                "INSERT INTO payments.idempotency_key VALUES ('shop', 'race', $1, NULL, $2, 409, 'theirs')"
                " ON CONFLICT DO NOTHING RETURNING 1",
                bytes(32),
                NOW,
            )
        return found

    monkeypatch.setattr("refpay.payments.authorization_batches.read_claims", read_too_early)
    results = await asyncio.gather(
        *(bench.authorize(key) for key in ("a", "race", "b")), return_exceptions=True
    )
    assert [getattr(each, "code", None) for each in results] == [None, "idempotency_key_reused", None]
    assert len(await db.rows("SELECT 1 FROM payments.payment")) == 2


async def read_operation(connection: Connection, operation_id: UUID) -> Operation:
    """Return an operation that exists."""
    found = await repository.read_operation(connection, operation_id)
    assert found is not None
    return found


async def test_who_resolves_first_is_believed(bench: Bench, db: "RefpayDb") -> None:
    """The worker resolves it while the provider answers: its outcome is returned, ours is recorded."""
    resolver = OutcomeResolver(bench.database, measures=bench.measures, clock=Still())

    async def settled_meanwhile(call: Call) -> Answer:
        if call.reference == "raced":
            (row,) = await db.rows("SELECT id FROM payments.operation WHERE provider_key = $1", call.key)
            async with bench.database.transaction() as connection:
                operation = await read_operation(connection, row["id"])
            await resolver.resolve(operation, ReportedOutcome(OperationStatus.FAILED), actor="worker")
        return await approve(call)

    bench.script(settled_meanwhile)
    raced, good = await asyncio.gather(bench.authorize("raced"), bench.authorize("good"))
    assert (raced.answer.status, good.answer.status) == (502, 201)
    rows = await db.rows("SELECT settled_by FROM payments.operation WHERE kind = 'authorize' ORDER BY 1")
    assert [row["settled_by"] for row in rows] == ["shop", "worker"]
    records = await db.rows("SELECT 1 FROM audit.event WHERE action = 'authorize.contradicted'")
    assert len(records) == 1
    assert len(await db.rows("SELECT 1 FROM outbox.event")) == 2


async def test_what_became_indeterminate_meanwhile_is_settled_under_its_lock(bench: Bench) -> None:
    """The worker made it indeterminate meanwhile; our definitive outcome still counts."""
    resolver = OutcomeResolver(bench.database, measures=bench.measures, clock=Still())

    async def doubted_meanwhile(call: Call) -> Answer:
        async with bench.database.transaction() as connection:
            found = await connection.fetchval(
                "SELECT id FROM payments.operation WHERE provider_key = $1", call.key
            )
            operation = await read_operation(connection, found)
        await resolver.resolve(operation, NOT_KNOWN, actor="worker")
        return await approve(call)

    bench.script(doubted_meanwhile)
    reply = await bench.authorize("key")
    assert (reply.answer.status, b'"authorized"' in reply.answer.body) == (201, True)


async def test_a_half_is_never_written(bench: Bench, db: "RefpayDb") -> None:
    """A payment that says otherwise than its operation: no batch is kept, each is resolved alone."""

    async def tampered(call: Call) -> Answer:
        if call.reference == "tampered":
            statement = (
                "UPDATE payments.operation SET status = 'indeterminate' WHERE provider_key = $1 RETURNING 1"
            )
            await db.rows(statement, call.key)
        return await approve(call)

    bench.script(tampered)
    replies = await asyncio.gather(*(bench.authorize(key) for key in ("a", "tampered", "b")))
    assert [reply.answer.status for reply in replies] == [201] * 3
    assert len(await db.rows("SELECT 1 FROM audit.event WHERE action = 'authorize.succeeded'")) == 3
    assert len(await db.rows("SELECT 1 FROM outbox.event")) == 3


async def begun_by_hand(bench: Bench, connection: Connection) -> list[OutcomeChange]:
    """Begin two authorizations and return what their success would change."""
    changes = []
    for key in ("one", "other"):
        command = Command(Principal("shop", frozenset()), key, bytes(32), "correlation", "live")
        order = Order(key, Money(1000, Currency.EUR), "tok_411111_00ff")
        draft = PlannedOperation(
            command=command,
            operation_id=mint_id(NOW),
            now=NOW,
            deadlines=DEADLINES,
            providers=bench.providers,
        )
        routes = [Route("north", True, None, None, None)]
        intent = draft.authorization(order, routes, HARMLESS)
        assert await batch_repository.write_intents(connection, [(intent, bytes(32))])
        found = ReportedOutcome(OperationStatus.SUCCEEDED, provider_reference="ref")
        changes.append(
            decide(intent.subject, intent.operation, [intent.operation], found, now=NOW, actor="shop")
        )
    return changes


async def test_what_has_moved_on_is_left_alone_row_by_row(bench: Bench) -> None:
    """In one statement: the one that somebody else has touched stays as it is, its neighbour is resolved."""
    async with bench.database.transaction() as connection:
        one, other = await begun_by_hand(bench, connection)
        await resolve(connection, one.before, NOT_KNOWN, now=NOW, actor="worker")
        assert await batch_repository.write_changes(connection, [one, other]) == {other.before.id}
        assert (await read_operation(connection, one.before.id)).status is OperationStatus.INDETERMINATE
        assert (await read_operation(connection, other.before.id)).status is OperationStatus.SUCCEEDED
        events = await connection.fetch("SELECT operation_id FROM outbox.event")
        assert [row["operation_id"] for row in events] == [other.before.id]


async def test_a_half_is_an_error(bench: Bench) -> None:
    """A payment that is being authorized by an operation that is not: nothing may be committed."""
    with pytest.raises(InvariantViolation):
        async with bench.database.transaction() as connection:
            one, other = await begun_by_hand(bench, connection)
            await connection.execute(
                "UPDATE payments.operation SET status = 'indeterminate' WHERE id = $1", one.before.id
            )
            await batch_repository.write_changes(connection, [one, other])


@pytest.mark.parametrize("committed", [True, False])
async def test_a_lost_commit_of_a_beginning_is_told_as_such(
    bench: Bench, db: "RefpayDb", committed: bool
) -> None:
    """Nobody is called for what may not be on record; the same key finds out."""
    calls: list[Call] = []

    async def count(call: Call) -> Answer:
        calls.append(call)
        return await approve(call)

    bench.script(count)
    replay = await bench.authorize("before")
    bench.database.lost, bench.database.committed = {bench.database.transactions + 1}, committed
    results = await asyncio.gather(
        *(bench.authorize(key) for key in ("before", "a", "b")), return_exceptions=True
    )
    assert results[0] == Reply(replay.answer, replayed=True)
    assert [type(each) for each in results[1:]] == [CommitOutcomeUnknown] * 2
    assert len(calls) == 1
    again = await asyncio.gather(*(bench.authorize(key) for key in ("a", "b")), return_exceptions=True)
    if committed:
        assert [type(each) for each in again] == [KeyInFlight] * 2
    else:
        assert [cast("Reply", each).answer.status for each in again] == [201] * 2
    assert len(await db.rows("SELECT 1 FROM payments.payment")) == 3


@pytest.mark.parametrize("committed", [True, False])
async def test_a_lost_commit_of_an_end_is_found_out(bench: Bench, db: "RefpayDb", committed: bool) -> None:
    """Each is resolved exactly once, whether the batch had been written or not."""
    bench.database.lost, bench.database.committed = {2}, committed
    replies = await asyncio.gather(*(bench.authorize(key) for key in ("a", "b", "c")))
    assert [reply.answer.status for reply in replies] == [201] * 3
    assert len(await db.rows("SELECT 1 FROM outbox.event")) == 3
    assert len(await db.rows("SELECT 1 FROM audit.event WHERE action = 'authorize.succeeded'")) == 3
    again = await asyncio.gather(*(bench.authorize(key) for key in ("a", "b", "c")))
    assert [each.answer for each in again] == [each.answer for each in replies]


@pytest.mark.parametrize("by_key", [True, False])
async def test_a_plan_made_on_empty_tables_reads_them_by_their_keys(
    settings: "Settings", by_key: bool
) -> None:
    """It is kept while they grow; left to itself the planner reads so small a table as a whole."""
    database = await Database.connect(settings.database, most_connections=1, by_key=by_key)
    try:
        async with database.transaction() as connection:
            # The twin keeps its plan too, as it would after some executions.
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            plans = ""
            for name in ("_INTEND", "_RESOLVE"):
                statement = getattr(batch_repository, name)
                await connection.execute(f"PREPARE {name} AS {statement}")
                count = max(int(number) for number in re.findall(r"\$(\d+)", statement))
                nulls = ", ".join(["NULL"] * count)
                plans += "\n".join(
                    row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE {name} ({nulls})")
                )
    finally:
        await database.close()
    assert ("Seq Scan on" in plans or "Hash Join" in plans) is not by_key


async def test_the_rest_is_refused_as_by_the_database(bench: Bench, monkeypatch: Any) -> None:
    """What the database refuses of a batch it refuses of the one alone, and is told to that one."""

    async def refuse_all(*_: object) -> Any:
        raise asyncpg.CheckViolationError("no")

    monkeypatch.setattr(batch_repository, "write_intents", refuse_all)
    with pytest.raises(asyncpg.CheckViolationError):
        await bench.authorize("key")
