"""SIGKILL of a real worker in the middle of relay and consumption: every event is delivered once."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest_asyncio

from refpay.db.pool import Database
from refpay.ids import mint_id
from refpay.outbox import repository
from refpay.outbox.events import Event, EventType
from refpay.outbox.streams import DEAD, EVENTS, Queue

if TYPE_CHECKING:
    from tests.refpay.conftest import Broker, RefpayDb

    from refpay.settings import Settings

WITHIN_SECONDS = 40
EVENTS_WRITTEN = 400


@pytest_asyncio.fixture(loop_scope="session")
async def events(messaging_settings: "Settings") -> list[Event]:
    """Write events that nobody has published."""
    database = await Database.connect(messaging_settings.database, most_connections=1)
    now = datetime.now(UTC)
    written = [
        Event(mint_id(now), EventType.CAPTURED, now, mint_id(now), mint_id(now), "shop", "north", "EUR", 1)
        for _ in range(EVENTS_WRITTEN)
    ]
    async with database.transaction() as connection:
        for event in written:
            await repository.append(connection, event)
    await database.close()
    return written


@asynccontextmanager
async def worker(environment: Mapping[str, str]) -> AsyncIterator[Any]:
    """Run a worker; kill it when the block ends."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "refpay.worker",
        env={**environment, "PATH": os.defpath},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert running.stdout is not None
        async with asyncio.timeout(WITHIN_SECONDS):
            assert json.loads(await running.stdout.readline())["event"] == "listening"
        yield running
    finally:
        running.kill()
        await running.wait()


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition of another process, which has no event to await."""
    async with asyncio.timeout(WITHIN_SECONDS):
        while not await condition():  # noqa: ASYNC110 - another process has no event of ours
            await asyncio.sleep(0.02)


async def count(db: "RefpayDb", table: str, where: str = "true") -> int:
    """Count rows."""
    return int((await db.rows(f"SELECT count(*) AS n FROM {table} WHERE {where}"))[0]["n"])  # noqa: S608


async def delivered_once(db: "RefpayDb") -> bool:
    """Return whether both queues have delivered every event; more than once fails at once."""
    delivered = [await count(db, table) for table in ("messages.notification", "messages.compliance_entry")]
    assert max(delivered) <= EVENTS_WRITTEN
    return delivered == [EVENTS_WRITTEN] * 2


@asynccontextmanager
async def locked(db: "RefpayDb", *tables: str) -> AsyncIterator[None]:
    """Keep everybody from writing tables, so that a worker stops in the middle of it."""
    connection = await db.connect("postgres")
    transaction = connection.transaction()
    await transaction.start()
    for table in tables:
        await connection.execute(f"LOCK TABLE {table} IN SHARE MODE")
    try:
        yield
    finally:
        await transaction.rollback()
        await connection.close()


async def test_killed_between_publishing_and_marking(
    events: list[Event], messaging_environment: dict[str, str], db: "RefpayDb", broker: "Broker"
) -> None:
    """JetStream has a batch that the database does not know of; the next worker publishes it in vain."""

    async def published() -> bool:
        async with broker.session() as session:
            return (await session.stream.stream_info(EVENTS)).state.last_seq > 0

    async with locked(db, "outbox.event"), worker(messaging_environment):
        await until(published)
        assert await count(db, "outbox.event", "published_at IS NOT NULL") == 0
    async with worker(messaging_environment):
        await until(lambda: delivered_once(db))
        await until(lambda: all_marked(db))
    async with broker.session() as session:
        assert (await session.stream.stream_info(EVENTS)).state.last_seq == len(events)


async def all_marked(db: "RefpayDb") -> bool:
    """Return whether the outbox is empty."""
    return await count(db, "outbox.event", "published_at IS NULL") == 0


async def test_killed_in_the_middle_of_both_effects(
    events: list[Event], messaging_environment: dict[str, str], db: "RefpayDb", broker: "Broker"
) -> None:
    """Delivered, not committed, not acknowledged: the next worker is given them again."""

    async def delivered() -> bool:
        async with broker.session() as session:
            infos = [await session.stream.consumer_info(EVENTS, queue) for queue in Queue]
        return all((info.num_ack_pending or 0) > 0 for info in infos)

    tables = ("messages.notification", "messages.compliance_entry")
    async with locked(db, *tables), worker(messaging_environment):
        await until(delivered)
    async with worker(messaging_environment):
        await until(lambda: delivered_once(db))
    assert await count(db, "messages.compliance_breaks") == 0
    async with broker.session() as session:
        assert (await session.stream.stream_info(DEAD)).state.last_seq == 0


async def test_killed_again_and_again(
    events: list[Event], messaging_environment: dict[str, str], db: "RefpayDb"
) -> None:
    """Five workers, each killed as soon as it has delivered something new; then one that may live."""

    async def more() -> bool:
        return await count(db, "messages.notification") > before

    for _ in range(5):
        before = await count(db, "messages.notification")
        if before == EVENTS_WRITTEN:
            break
        async with worker(messaging_environment):
            await until(more)
    async with worker(messaging_environment):
        await until(lambda: delivered_once(db))
