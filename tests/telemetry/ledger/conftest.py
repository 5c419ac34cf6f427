"""A real PostgreSQL with a small ledger, a manual clock, and the recorded counts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from moneypath.stack import postgres
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor
from moneypath.telemetry import Catalogue, Recorder, setup

PASSWORD = "only-of-this-test"
SCHEMA = """
    CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
    CREATE TABLE entry (
        id int PRIMARY KEY,
        reference int CONSTRAINT one_reference UNIQUE DEFERRABLE INITIALLY DEFERRED
    );
    CREATE TABLE slow_entry (id int PRIMARY KEY);
    CREATE FUNCTION wait_in_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER wait_in_commit AFTER INSERT ON slow_entry
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_in_commit();
"""
EMPTY = "TRUNCATE account, entry, slow_entry; INSERT INTO account VALUES (1, 100), (2, 100)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests on the session's event loop, where the server is supervised."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("asyncio") is not None:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


class HandClock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[postgres.Postgres]:
    """Run PostgreSQL with the ledger's schema."""
    with PortPool({}) as ports:
        prepared = await postgres.prepare(
            tmp_path_factory.mktemp("ledger-postgres"),
            ports.reserve("postgres"),
            superuser_password=PASSWORD,
            roles={"ledger_owner": PASSWORD},
            owner="ledger_owner",
            database="ledger",
        )
        # Ten times faster, and as good a proof: fsync is for power cuts.
        spec = replace(prepared.spec, command=(*prepared.spec.command, "-c", "fsync=off"))
        async with Supervisor(tmp_path_factory.mktemp("ledger-servers")) as supervisor:
            await supervisor.start(spec)
            admin = await asyncpg.connect(prepared.dsn("postgres", "ledger"), timeout=30)
            await admin.execute(SCHEMA)
            await admin.close()
            yield prepared


@pytest.fixture
def clock() -> HandClock:
    """Return the clock of the recorder."""
    return HandClock()


@pytest.fixture
def recorder(catalogue: Catalogue, clock: HandClock) -> Recorder:
    """Return a recorder on the test's clock."""
    return setup(catalogue, service="ledger", clock=clock)


@pytest_asyncio.fixture(loop_scope="session")
async def rival(server: postgres.Postgres) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Return a superuser's connection to an empty ledger, to inspect, block and kill other sessions."""
    connection = await asyncpg.connect(server.dsn("postgres", "ledger"), timeout=30)
    await connection.execute(EMPTY)
    yield connection
    connection.terminate()


Outcomes = Callable[[], dict[str, float]]


@pytest.fixture
def outcomes(recorder: Recorder) -> Outcomes:
    """Return a function that reads the number of postings by outcome; each was counted and timed."""

    def read() -> dict[str, float]:
        counted: dict[str, dict[str, float]] = {"moneypath_ledger_writes_total": {}}
        counted["moneypath_ledger_write_duration_seconds_count"] = {}
        for line in recorder.render().decode().splitlines():
            name, _, labels = line.partition("{")
            if name in counted and (count := float(line.rsplit(" ", 1)[1])):
                kind, outcome = labels.split('"')[1:4:2]
                assert kind == "posting"
                counted[name][outcome] = count
        total, timed = counted.values()
        assert total == timed
        return total

    return read


@pytest.fixture
def drops(recorder: Recorder) -> Outcomes:
    """Return a function that reads the drops by reason."""

    def read() -> dict[str, float]:
        counted = {}
        for line in recorder.render().decode().splitlines():
            if line.startswith("moneypath_telemetry_drops_total{") and (
                count := float(line.rsplit(" ", 1)[1])
            ):
                counted[line.split('"')[1]] = count
        return counted

    return read


Until = Callable[..., Awaitable[Any]]


@pytest.fixture
def until(rival: "asyncpg.Connection[Any]") -> Until:
    """Return a function that waits until a query finds a row, and returns its first value."""
    return _waiting_on(rival)


def _waiting_on(connection: "asyncpg.Connection[Any]") -> Until:
    async def wait(query: str) -> Any:
        async with asyncio.timeout(60):
            while (found := await connection.fetchval(query)) is None:  # noqa: ASYNC110 - it has no event of ours
                await asyncio.sleep(0.005)
        return found

    return wait


@pytest_asyncio.fixture(loop_scope="session")
async def until_elsewhere(server: postgres.Postgres) -> AsyncIterator[Until]:
    """Return the same function with a connection of its own, for a rival that is busy."""
    connection = await asyncpg.connect(server.dsn("postgres", "ledger"), timeout=30)
    yield _waiting_on(connection)
    connection.terminate()
