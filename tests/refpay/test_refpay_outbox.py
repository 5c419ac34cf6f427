"""Out of the database, into JetStream: with its change or not at all, in order, once, whoever is killed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from refpay.clock import SystemClock
from refpay.db.pool import Database
from refpay.ids import mint_id
from refpay.outbox import repository
from refpay.outbox.events import Event, EventType, decode
from refpay.outbox.relay import prune, relay
from refpay.outbox.streams import EVENTS, Queue
from refpay.worker.main import open_worker

if TYPE_CHECKING:
    from tests.refpay.conftest import Broker, Client, RefpayDb

    from refpay.settings import Settings

WITHIN_SECONDS = 30
COUNTS = {
    Queue.NOTIFICATIONS: "messages.notification",
    Queue.COMPLIANCE_LOG: "messages.compliance_entry",
}


def make_event(**changed: Any) -> Event:
    """Return an event of an operation of its own."""
    now = datetime.now(UTC)
    fields = {
        "id": mint_id(now),
        "type": EventType.CAPTURED,
        "at": now,
        "operation_id": mint_id(now),
        "payment_id": mint_id(now),
        "merchant": "shop",
        "provider": "north",
        "currency": "EUR",
        "amount_minor": 1000,
    }
    return Event(**{**fields, **changed})


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition of another process, which has no event to await."""
    async with asyncio.timeout(WITHIN_SECONDS):
        while not await condition():  # noqa: ASYNC110 - another process has no event of ours
            await asyncio.sleep(0.02)


async def count(db: "RefpayDb", table: str, where: str = "true") -> int:
    """Count rows."""
    return int((await db.rows(f"SELECT count(*) AS n FROM {table} WHERE {where}"))[0]["n"])  # noqa: S608


@pytest_asyncio.fixture(loop_scope="session")
async def database(settings: "Settings") -> AsyncIterator[Database]:
    """Open a pool on the test's database."""
    opened = await Database.connect(settings.database, most_connections=4)
    yield opened
    await opened.close()


async def fill(database: Database, number: int) -> list[Event]:
    """Write events, each in a transaction of its own hundred."""
    events = [make_event() for _ in range(number)]
    for start in range(0, number, 100):
        async with database.transaction() as connection:
            for event in events[start : start + 100]:
                await repository.append(connection, event)
    return events


async def stored(broker: "Broker") -> list[UUID]:
    """Return the ids of what the stream of events took, in its order; nobody may have consumed it."""
    async with broker.session() as session:
        last = (await session.stream.stream_info(EVENTS)).state.last_seq
        messages = [await session.stream.get_msg(EVENTS, seq=number + 1) for number in range(last)]
    return [decode(message.data or b"").id for message in messages]


async def test_every_settled_operation_has_one_event_of_its_own_transaction(
    api: "Client", db: "RefpayDb"
) -> None:
    """Authorized, captured, refunded: one event each, of the instant of the change, without the card."""
    payment = await api.captured(card_token="tok_411111_00ff")
    await api.post(f"/v1/payments/{payment['id']}/refunds", {"amount_minor": 300})
    rows = await db.rows(
        "SELECT event.type, event.body, event.at = operation.settled_at AS together,"
        " event.xmin = operation.xmin AS one"
        " FROM outbox.event JOIN payments.operation ON operation.id = event.operation_id ORDER BY event.seq"
    )
    assert [row["type"] for row in rows] == ["payment.authorized", "payment.captured", "payment.refunded"]
    assert all(row["together"] and row["one"] for row in rows)
    assert [decode(row["body"].encode()).amount_minor for row in rows] == [1000, 1000, 300]
    assert not any("411111" in row["body"] or "card" in row["body"] for row in rows)


async def test_an_event_that_cannot_be_written_takes_its_change_with_it(
    api: "Client", db: "RefpayDb"
) -> None:
    """And the other way round: what is rolled back leaves no event. Nothing is captured in half."""
    payment = (await api.authorize()).body
    owner = await db.connect("refpay_owner")
    try:
        await owner.execute("ALTER TABLE outbox.event ADD CONSTRAINT none CHECK (type <> 'payment.captured')")
        assert (await api.post(f"/v1/payments/{payment['id']}/capture")).status == 500
        assert await count(db, "ledger.entry", "kind <> 'hold'") == 0
        assert await count(db, "payments.operation", "kind = 'capture' AND settled_at IS NOT NULL") == 0
        assert await count(db, "outbox.event", "type = 'payment.captured'") == 0
    finally:
        await owner.close()


async def test_a_transaction_that_commits_late_is_late_and_not_lost(
    database: Database, broker: "Broker", db: "RefpayDb"
) -> None:
    """Its number is smaller than what was published before it."""
    early, late = make_event(), make_event()
    async with broker.session() as session:
        async with database.transaction() as slow:
            await repository.append(slow, late)
            async with database.transaction() as quick:
                await repository.append(quick, early)
            assert await relay(database, SystemClock(), session) == 1
        assert await relay(database, SystemClock(), session) == 1
        assert await relay(database, SystemClock(), session) == 0
    assert await stored(broker) == [early.id, late.id]
    assert [row["id"] for row in await db.rows("SELECT id FROM outbox.event ORDER BY seq")] == [
        late.id,
        early.id,
    ]


async def test_events_keep_their_order_and_are_stored_once(database: Database, broker: "Broker") -> None:
    """More than a batch, by two relays at once: as they were written, each once."""
    events = await fill(database, 300)
    async with broker.session() as first, broker.session() as second:
        await asyncio.gather(*(relay(database, SystemClock(), one) for one in (first, second)))
    taken = await stored(broker)
    assert len(taken) == len(set(taken)) == 300
    # Two relays interleave; each one alone keeps the order.
    assert set(taken) == {event.id for event in events}


async def test_one_relay_keeps_the_order_of_writing(database: Database, broker: "Broker") -> None:
    """With many publications in flight."""
    events = await fill(database, 300)
    async with broker.session() as session:
        assert await relay(database, SystemClock(), session) == 300
    assert await stored(broker) == [event.id for event in events]


async def test_a_crash_between_publishing_and_marking_publishes_once(
    database: Database, broker: "Broker", db: "RefpayDb"
) -> None:
    """The mark fails; the next round publishes again, and JetStream keeps one."""
    await fill(database, 20)
    owner = await db.connect("refpay_owner")
    async with broker.session() as session:
        await owner.execute("REVOKE UPDATE (published_at) ON outbox.event FROM refpay_app")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await relay(database, SystemClock(), session)
        await owner.execute("GRANT UPDATE (published_at) ON outbox.event TO refpay_app")
        await owner.close()
        assert await relay(database, SystemClock(), session) == 20
    assert len(await stored(broker)) == 20
    assert await count(db, "outbox.event", "published_at IS NULL") == 0


async def test_only_what_was_published_long_ago_is_pruned(
    database: Database, broker: "Broker", db: "RefpayDb"
) -> None:
    """A bounded number, nothing that waits; and the database refuses what the service should not do."""
    await fill(database, 3)

    class Later(SystemClock):
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(hours=2)

    keep = timedelta(hours=1)
    assert await prune(database, Later(), keep) == 0
    async with broker.session() as session:
        await relay(database, SystemClock(), session)
    waiting = (await fill(database, 1))[0]
    assert await prune(database, SystemClock(), keep) == 0
    assert await prune(database, Later(), keep) == 3
    assert [row["id"] for row in await db.rows("SELECT id FROM outbox.event")] == [waiting.id]
    for role, statement, refusal in (
        ("refpay_app", "DELETE FROM outbox.event", asyncpg.RestrictViolationError),
        ("refpay_owner", "DELETE FROM outbox.event", asyncpg.RestrictViolationError),
        ("refpay_owner", "TRUNCATE outbox.event", asyncpg.RestrictViolationError),
        ("refpay_app", "UPDATE outbox.event SET body = 'x'", asyncpg.InsufficientPrivilegeError),
        ("refpay_app", "DELETE FROM messages.notification", asyncpg.InsufficientPrivilegeError),
        ("refpay_app", "UPDATE messages.compliance_entry SET body = 'x'", asyncpg.InsufficientPrivilegeError),
        ("refpay_owner", "DELETE FROM messages.compliance_entry", asyncpg.RestrictViolationError),
    ):
        with pytest.raises(refusal):
            await db.rows(statement, role=role)


async def test_an_event_is_published_once_by_the_databases_word(database: Database, db: "RefpayDb") -> None:
    """Its mark is neither taken back nor set again."""
    event = (await fill(database, 1))[0]
    async with database.transaction() as connection:
        await repository.mark_published(connection, [event.id], datetime.now(UTC))
    with pytest.raises(asyncpg.RestrictViolationError):
        await db.rows("UPDATE outbox.event SET published_at = NULL")


@asynccontextmanager
async def running(settings: "Settings", serve: Any) -> AsyncIterator["Client"]:
    """Run a worker in this process and speak to it."""
    async with open_worker(settings) as app, serve(app) as client:
        yield client


def consumed(db: "RefpayDb", number: int) -> Callable[[], Any]:
    """Return a condition: both queues have had their effect that often, or more."""

    async def holds() -> bool:
        return all([await count(db, table) >= number for table in COUNTS.values()])

    return holds


@asynccontextmanager
async def kept_unmarked(db: "RefpayDb", number: int) -> AsyncIterator[None]:
    """Keep the newest events from being marked as published, however fast a relay is."""
    connection = await db.connect("postgres")
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM outbox.event ORDER BY seq DESC LIMIT $1 FOR UPDATE", number)
            yield
    finally:
        await connection.close()


async def test_a_killed_nats_loses_and_doubles_nothing(
    database: Database, broker: "Broker", db: "RefpayDb", messaging_settings: "Settings", serve: Any
) -> None:
    """Killed while publishing and consuming; what is written meanwhile waits, and all is delivered once."""
    await fill(database, 1500)
    async with running(messaging_settings, serve) as worker:
        async with kept_unmarked(db, 100):
            await until(consumed(db, 1))
            await broker.kill()
            left = await count(db, "outbox.event", "published_at IS NULL")
        assert left >= 100
        await fill(database, 100)
        await until(
            lambda: gauge_is(worker, 'moneypath_queue_depth{queue="outbox"}', left + 100, at_most=True)
        )
        await until(lambda: is_absent(worker, "moneypath_queue_depth", "notifications"))
        assert await is_absent(worker, "moneypath_queue_oldest_timestamp_seconds", "compliance_log")
        assert "moneypath_dead_letter_depth{" not in await exposition(worker)
        assert await worker.metric("moneypath_queue_oldest_timestamp_seconds", queue="outbox") > 0
        assert (await worker.get("/readyz", by=None)).status == 200
        await broker.restart()
        await until(consumed(db, 1600))
        for series in (f'moneypath_queue_depth{{queue="{queue}"}}' for queue in ("outbox", *Queue)):
            await until(partial(gauge_is, worker, series, 0))
        assert "moneypath_queue_oldest_timestamp_seconds{" not in await exposition(worker)
        assert 'moneypath_dead_letter_depth{queue="notifications",reason="rejected"} 0' in await exposition(
            worker
        )
    for table in COUNTS.values():
        assert await count(db, table) == 1600
    assert await count(db, "outbox.event", "published_at IS NULL") == 0


async def test_a_worker_starts_and_settles_without_nats(
    settings: "Settings", database: Database, db: "RefpayDb", serve: Any
) -> None:
    """It is ready; the outbox's depth and age show what waits, and nothing claims to know the queues."""
    waiting = (await fill(database, 2))[0]
    async with running(settings, serve) as worker:
        await until(lambda: gauge_is(worker, 'moneypath_queue_depth{queue="outbox"}', 2))
        await until(lambda: is_ready(worker))
        oldest = await worker.metric("moneypath_queue_oldest_timestamp_seconds", queue="outbox")
        assert oldest == pytest.approx(waiting.at.timestamp(), abs=0.001)
        assert await is_absent(worker, "moneypath_queue_depth", "notifications")


async def is_ready(worker: "Client") -> bool:
    """Return whether every loop has gone well lately."""
    return (await worker.get("/readyz", by=None)).status == 200


async def exposition(worker: "Client") -> str:
    """Return the worker's metrics."""
    return (await worker.get("/metrics", by=None)).raw.decode()


async def is_absent(worker: "Client", name: str, queue: str) -> bool:
    """Return whether a series is not there, which is not the same as 0."""
    return f'{name}{{queue="{queue}"}}' not in await exposition(worker)


async def gauge_is(worker: "Client", series: str, value: float, *, at_most: bool = False) -> bool:
    """Return whether a gauge is there with this value."""
    for line in (await exposition(worker)).splitlines():
        if line.startswith(series):
            shown = float(line.rsplit(" ", 1)[1])
            return shown == value or (at_most and 0 < shown <= value)
    return False
