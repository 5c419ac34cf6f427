"""The disk of a real NATS is full while messages flow: named, healed once it is free, nothing lost."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import structlog.testing
from tests.refpay.conftest import Broker, environment_of, read_file
from tests.refpay.test_refpay_outbox import count, exposition, fill, gauge_is, is_ready, until
from tests.stack.full_disk import SmallDisk, small_disk

from moneypath.stack import nats
from moneypath.stack.nats_healing import Patience, healing
from refpay.db.pool import Database
from refpay.outbox.streams import DEAD, EVENTS
from refpay.settings import Settings, read_settings
from refpay.worker.main import open_worker

if TYPE_CHECKING:
    from tests.refpay.conftest import Client, RefpayDb

    from moneypath.stack.ports import PortPool
    from moneypath.stack.supervisor import Supervisor

TABLES = ("messages.notification", "messages.compliance_entry")
# A minute is what is promised; this machine is shared.
HEALED_WITHIN_SECONDS = 60
NAMED_WITHIN_SECONDS = 15
QUICK = Patience(least_free_bytes=4 * 1024**2, every_seconds=0.2, after_start_seconds=1.0)
REFUSED = 'moneypath_broker_writes_refused{cause="disk_full"}'


@pytest_asyncio.fixture(loop_scope="session")
async def disk(tmp_path: Path) -> AsyncIterator[SmallDisk]:
    """Mount a disk of 24 MB for the broker alone."""
    with small_disk(tmp_path / "disk", 24) as mounted:
        yield mounted


@pytest_asyncio.fixture(loop_scope="session")
async def cramped(
    supervisor: "Supervisor", ports: "PortPool", secrets_folder: Path, disk: SmallDisk
) -> AsyncIterator[Broker]:
    """Run a NATS server on the small disk."""
    name = f"nats-cramped-{disk.folder.parent.name.replace('_', '-')[:40]}"
    server = await nats.prepare(
        disk.folder / "nats",
        ports.reserve(name),
        ports.reserve(f"{name}-monitoring"),
        user="refpay",
        password=read_file(secrets_folder, "nats_password"),
        name=name,
    )
    await supervisor.start(server.spec)
    yield Broker(supervisor, server)
    await supervisor.stop(name)


@pytest.fixture
def cramped_settings(db: "RefpayDb", secrets_folder: Path, cramped: Broker) -> Settings:
    """Return the settings of a worker of that server, which knows where its messages are."""
    return read_settings(
        environment_of(
            db,
            secrets_folder,
            REFPAY_NATS_URL=cramped.server.url,
            REFPAY_NATS_MONITORING_URL=cramped.server.monitoring_url,
            REFPAY_MESSAGES_FOLDER=str(cramped.server.folder),
            REFPAY_ACK_WAIT_SECONDS="1",
            REFPAY_RELAY_INTERVAL_SECONDS="0.02",
        )
    )


@pytest_asyncio.fixture(loop_scope="session")
async def database(cramped_settings: Settings) -> AsyncIterator[Database]:
    """Open a pool on the test's database."""
    opened = await Database.connect(cramped_settings.database, most_connections=4)
    yield opened
    await opened.close()


@asynccontextmanager
async def flowing(database: Database) -> AsyncIterator[list[int]]:
    """Write ten events every 50 ms while the block lasts, as payments do; yield how many there are."""
    written = [0]

    async def write() -> None:
        while True:
            await fill(database, 10)
            written[0] += 10
            await asyncio.sleep(0.05)

    task = asyncio.create_task(write())
    try:
        yield written
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def is_published(db: "RefpayDb") -> bool:
    """Return whether the outbox is empty."""
    return await count(db, "outbox.event", "published_at IS NULL") == 0


async def at_least(db: "RefpayDb", table: str, number: int) -> bool:
    """Return whether a table has so many rows."""
    return await count(db, table) >= number


async def is_healed(db: "RefpayDb", least: int) -> bool:
    """Return whether both queues delivered every event that was written and nothing waits."""
    number = await count(db, "outbox.event")
    assert number >= least
    delivered = [await count(db, table) for table in TABLES]
    return delivered == [number] * 2 and await is_published(db)


async def ready(worker: "Client") -> dict[str, Any]:
    """Return what readiness says, which has to be yes once every job has run."""
    await until(partial(is_ready, worker))
    answer = await worker.get("/readyz", by=None)
    assert answer.status == 200, answer.raw
    body: dict[str, Any] = answer.body
    return body


async def test_a_full_disk_is_named_and_healed_and_nothing_is_lost_or_doubled(
    cramped_settings: Settings,
    cramped: Broker,
    disk: SmallDisk,
    database: Database,
    db: "RefpayDb",
    serve: Any,
) -> None:
    """Filled while messages flow, full for five seconds, freed: the outbox drains, each event there once."""
    said: list[str] = []
    with structlog.testing.capture_logs() as logs:
        async with (
            open_worker(cramped_settings) as app,
            serve(app) as worker,
            healing(cramped.supervisor, cramped.server, said.append, QUICK),
        ):
            async with flowing(database) as written:
                await until(partial(at_least, db, TABLES[1], 50))
                assert "troubles" not in await ready(worker)
                assert await gauge_is(worker, REFUSED, 0)
                disk.fill()
                full_since = time.monotonic()
                await until(partial(gauge_is, worker, REFUSED, 1))
                named = time.monotonic() - full_since
                assert (await ready(worker))["troubles"] == {"broker": "disk_full"}
                waiting = await count(db, "outbox.event", "published_at IS NULL")
                while time.monotonic() - full_since < 5:
                    await fill(database, 1)
                    written[0] += 1
                    disk.fill()
                    await asyncio.sleep(0.05)
                assert await count(db, "outbox.event", "published_at IS NULL") > waiting
                assert said == [], "it is not started again while its disk is full"
                disk.free()
                freed = time.monotonic()
                async with asyncio.timeout(HEALED_WITHIN_SECONDS):
                    await until(partial(gauge_is, worker, REFUSED, 0))
                    taken = time.monotonic() - freed
            async with asyncio.timeout(HEALED_WITHIN_SECONDS):
                await until(partial(is_healed, db, written[0]))
                healed = time.monotonic() - freed
            assert "troubles" not in await ready(worker)
            async with cramped.session() as session:
                assert (await session.stream.stream_info(EVENTS)).state.messages == 0
                assert (await session.stream.stream_info(DEAD)).state.messages == 0
    assert named < NAMED_WITHIN_SECONDS
    assert taken <= healed < HEALED_WITHIN_SECONDS
    assert len(said) == 1
    assert "no space left on device" in said[0]
    changes = [entry for entry in logs if entry["event"].startswith("broker_")]
    causes = [entry.get("cause") for entry in changes if entry["event"] == "broker_refuses_writes"]
    assert "disk_full" in causes
    # What was under way when the server was started again is not answered.
    assert set(causes) <= {"disk_full", "unanswered"}
    assert changes[-1]["event"] == "broker_takes_writes"


async def test_without_a_start_the_server_never_takes_messages_again(
    cramped_settings: Settings,
    cramped: Broker,
    disk: SmallDisk,
    database: Database,
    db: "RefpayDb",
    serve: Any,
) -> None:
    """The twin: with space again and nobody who starts it, it stays named; a start by hand heals it."""
    async with open_worker(cramped_settings) as app, serve(app) as worker:
        async with flowing(database) as written:
            await until(partial(at_least, db, TABLES[1], 50))
            disk.fill()
            await until(partial(gauge_is, worker, REFUSED, 1))
            disk.free()
            seen = await count(db, TABLES[0])
            before = written[0]
            await until(lambda: _has_grown(written, before + 200))
            assert await gauge_is(worker, REFUSED, 1)
        assert await count(db, "outbox.event", "published_at IS NULL") > 0
        assert await count(db, TABLES[0]) - seen <= 500
        await cramped.restart()
        await until(partial(is_healed, db, written[0]))
        await until(partial(gauge_is, worker, REFUSED, 0))


async def _has_grown(written: list[int], number: int) -> bool:
    return written[0] >= number


async def test_a_full_stream_is_named_as_a_limit_and_drains_by_itself(
    cramped_settings: Settings, cramped: Broker, database: Database, db: "RefpayDb", serve: Any
) -> None:
    """What JetStream refuses with an answer needs no start: the limit is raised and the outbox drains."""
    limit = 'moneypath_broker_writes_refused{cause="limit_reached"}'
    async with open_worker(cramped_settings) as app, serve(app) as worker:
        await until(partial(gauge_is, worker, limit, 0))
        async with cramped.session() as session:
            config = (await session.stream.stream_info(EVENTS)).config
            await session.stream.update_stream(replace(config, max_bytes=1))
            await fill(database, 20)
            await until(partial(gauge_is, worker, limit, 1))
            assert (await ready(worker))["troubles"] == {"broker": "limit_reached"}
            await session.stream.update_stream(config)
        await until(partial(is_healed, db, 20))
        await until(partial(gauge_is, worker, limit, 0))


async def test_while_the_broker_is_away_nothing_is_claimed_and_readiness_says_so(
    cramped_settings: Settings, cramped: Broker, serve: Any
) -> None:
    """An outage of the broker is no refusal: the series is absent, and its backlog alerts."""
    async with open_worker(cramped_settings) as app, serve(app) as worker:
        await until(partial(gauge_is, worker, REFUSED, 0))
        await until(partial(is_ready, worker))
        await cramped.kill()
        await until(lambda: _is_silent(worker))
        assert (await ready(worker))["troubles"] == {"broker": "unreachable"}
        await cramped.restart()
        await until(partial(gauge_is, worker, REFUSED, 0))


async def _is_silent(worker: "Client") -> bool:
    return "moneypath_broker_writes_refused{" not in await exposition(worker)


async def test_the_disk_of_the_messages_is_measured_and_one_that_nobody_names_is_not(
    cramped_settings: Settings, disk: SmallDisk, serve: Any
) -> None:
    """Nearly empty, then full; the database's disk has no series, because nobody says where it is."""
    fills = 'moneypath_disk_fill_ratio{disk="messages"}'
    async with open_worker(cramped_settings) as app, serve(app) as worker:
        await until(lambda: _is_measured(worker, "messages", at_most=0.5))
        disk.fill()
        await until(partial(gauge_is, worker, fills, 1))
        assert await gauge_is(worker, 'moneypath_disk_free_bytes{disk="messages"}', 0)
        assert await _is_measured(worker, "receipts", at_most=1)
        assert 'disk="database"' not in await exposition(worker)
        disk.free()
        await until(lambda: _is_measured(worker, "messages", at_most=0.5))


async def _is_measured(worker: "Client", disk: str, *, at_most: float) -> bool:
    name = f'moneypath_disk_fill_ratio{{disk="{disk}"}}'
    return await gauge_is(worker, name, at_most, at_most=True)
