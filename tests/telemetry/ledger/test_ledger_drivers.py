"""Particular cases of psycopg and asyncpg: implicit savepoints, and lost connections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import psycopg
import pytest
import pytest_asyncio

from moneypath.stack import postgres
from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.integrations.asyncpg import ledger_write as asyncpg_write
from moneypath.telemetry.integrations.psycopg import ledger_write as psycopg_write

Outcomes = Callable[[], dict[str, float]]
Until = Callable[..., Awaitable[Any]]
Rival = Any
INSERT = "INSERT INTO entry VALUES (1)"


@pytest_asyncio.fixture(loop_scope="session")
async def connection(server: postgres.Postgres) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Return an asyncpg connection."""
    opened = await asyncpg.connect(server.dsn("postgres", "ledger"), timeout=30)
    yield opened
    opened.terminate()


@pytest_asyncio.fixture(loop_scope="session")
async def psycopg_connection(server: postgres.Postgres) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Return a psycopg connection with its defaults, without autocommit."""
    async with await psycopg.AsyncConnection.connect(server.dsn("postgres", "ledger")) as opened:
        yield opened


async def count(rival: Rival) -> int:
    """Return how many entries there are."""
    found: int = await rival.fetchval("SELECT count(*) FROM entry")
    return found


async def test_write_without_a_change_is_not_counted(
    connection: "asyncpg.Connection[Any]",
    psycopg_connection: psycopg.AsyncConnection[Any],
    recorder: Recorder,
    rival: Rival,
    outcomes: Outcomes,
    drops: Outcomes,
) -> None:
    """A replay finds its entry already posted: neither a ledger write nor a drop."""
    async with asyncpg_write(connection, recorder, kind="posting") as write:
        write.nothing_written()
    async with psycopg_write(psycopg_connection, recorder, kind="posting") as write:
        write.nothing_written()
    assert (outcomes(), drops()) == ({}, {})


async def test_savepoint_of_psycopg_is_no_commit(
    psycopg_connection: psycopg.AsyncConnection[Any],
    recorder: Recorder,
    rival: Rival,
    outcomes: Outcomes,
    drops: Outcomes,
) -> None:
    """A query before the block has begun a transaction, so the block commits nothing."""
    await psycopg_connection.execute("SELECT 1")
    async with psycopg_write(psycopg_connection, recorder, kind="posting"):
        await psycopg_connection.execute(INSERT)
    assert await count(rival) == 0
    assert (outcomes(), drops()) == ({}, {"unfinished": 1})


async def test_savepoint_of_asyncpg_is_no_commit(
    connection: "asyncpg.Connection[Any]",
    recorder: Recorder,
    rival: Rival,
    outcomes: Outcomes,
    drops: Outcomes,
) -> None:
    """A ledger write inside another is recorded once, as the outer one."""
    with pytest.raises(ZeroDivisionError):
        async with asyncpg_write(connection, recorder, kind="posting"):
            async with asyncpg_write(connection, recorder, kind="fee"):
                await connection.execute(INSERT)
            raise ZeroDivisionError
    assert await count(rival) == 0
    assert (outcomes(), drops()) == ({"failed": 1}, {"unfinished": 1})


async def test_rollback_of_psycopg_is_a_failure(
    psycopg_connection: psycopg.AsyncConnection[Any], recorder: Recorder, rival: Rival, outcomes: Outcomes
) -> None:
    """It ends the block without an exception."""
    async with psycopg_write(psycopg_connection, recorder, kind="posting"):
        await psycopg_connection.execute(INSERT)
        raise psycopg.Rollback
    assert await count(rival) == 0
    assert outcomes() == {"failed": 1}


async def test_psycopg_sends_no_commit_on_a_connection_known_to_be_lost(
    psycopg_connection: psycopg.AsyncConnection[Any], recorder: Recorder, rival: Rival, outcomes: Outcomes
) -> None:
    """The block catches the error, psycopg ends it silently, and nothing is committed."""
    async with psycopg_write(psycopg_connection, recorder, kind="posting"):
        await psycopg_connection.execute(INSERT)
        await rival.execute("SELECT pg_terminate_backend($1)", psycopg_connection.info.backend_pid)
        with pytest.raises(psycopg.OperationalError):
            await psycopg_connection.execute("SELECT pg_sleep(60)")
    assert await count(rival) == 0
    assert outcomes() == {"failed": 1}


async def test_asyncpg_sends_no_commit_on_a_connection_known_to_be_lost(
    connection: "asyncpg.Connection[Any]", recorder: Recorder, rival: Rival, outcomes: Outcomes
) -> None:
    """It notices the loss between two statements. COMMIT was not sent, so the outcome is known."""
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    with pytest.raises(asyncpg.InterfaceError):
        async with asyncpg_write(connection, recorder, kind="posting"):
            await connection.execute(INSERT)
            await rival.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
            await lost.wait()
    assert outcomes() == {"failed": 1}


async def test_loss_in_commit_is_raised_by_the_library_itself(
    server: postgres.Postgres, recorder: Recorder, rival: Rival, until: Until, outcomes: Outcomes
) -> None:
    """A lost pooled connection cannot be reset either; our code hides none of these errors."""
    await rival.execute("SELECT pg_advisory_lock(42)")
    async with asyncpg.create_pool(server.dsn("postgres", "ledger"), min_size=0, max_size=1) as pool:

        async def write() -> None:
            async with pool.acquire() as pooled, asyncpg_write(pooled, recorder, kind="posting"):
                await pooled.execute("INSERT INTO slow_entry VALUES (1)")

        writing = asyncio.create_task(write())
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE 'COMMIT%'"
        await rival.execute("SELECT pg_terminate_backend($1)", await until(waiting))
        with pytest.raises(asyncpg.PostgresError) as told:
            await writing
    assert isinstance(told.value, asyncpg.AdminShutdownError | asyncpg.PostgresConnectionError)
    assert outcomes() == {"unknown": 1}


async def test_loss_that_the_block_swallowed_is_raised_by_the_library_itself(
    server: postgres.Postgres, recorder: Recorder, rival: Rival, outcomes: Outcomes
) -> None:
    """The pooled connection is lost when the block ends; asyncpg raises, and COMMIT is never sent."""
    async with asyncpg.create_pool(server.dsn("postgres", "ledger"), min_size=0, max_size=1) as pool:
        with pytest.raises(asyncpg.InterfaceError, match=r"Transaction\.__aexit__"):
            async with pool.acquire() as pooled, asyncpg_write(pooled, recorder, kind="posting"):
                await rival.execute("SELECT pg_terminate_backend($1)", pooled.get_server_pid())
                with pytest.raises(asyncpg.PostgresError):
                    await pooled.execute("SELECT pg_sleep(60)")
    assert outcomes() == {"failed": 1}


async def test_connection_that_is_closed_is_a_failure(
    connection: "asyncpg.Connection[Any]",
    psycopg_connection: psycopg.AsyncConnection[Any],
    recorder: Recorder,
    outcomes: Outcomes,
) -> None:
    """BEGIN could not be sent; the library's error passes on."""
    await connection.close()
    await psycopg_connection.close()
    with pytest.raises(asyncpg.InterfaceError):
        async with asyncpg_write(connection, recorder, kind="posting"):
            pass
    with pytest.raises(psycopg.OperationalError):
        async with psycopg_write(psycopg_connection, recorder, kind="posting"):
            pass
    assert outcomes() == {"failed": 2}


@pytest.mark.parametrize(("entries", "expected"), [((1, 2), "committed"), ((1, 1), "rejected")])
async def test_pipeline_of_psycopg(
    psycopg_connection: psycopg.AsyncConnection[Any],
    recorder: Recorder,
    rival: Rival,
    outcomes: Outcomes,
    entries: tuple[int, int],
    expected: str,
) -> None:
    """Its errors arrive at the end of the block."""
    try:
        async with (
            psycopg_connection.pipeline(),
            psycopg_write(psycopg_connection, recorder, kind="posting"),
        ):
            for entry in entries:
                await psycopg_connection.execute("INSERT INTO entry VALUES (%s)", (entry,))
    except psycopg.errors.UniqueViolation:
        assert expected == "rejected"
    assert outcomes() == {expected: 1}
    assert await count(rival) == (2 if expected == "committed" else 0)


async def test_isolation_is_handed_to_asyncpg(
    connection: "asyncpg.Connection[Any]", recorder: Recorder
) -> None:
    """The isolation level is passed on by keyword."""
    show = "SELECT current_setting('transaction_isolation')"
    async with asyncpg_write(connection, recorder, kind="posting", isolation="serializable"):
        assert await connection.fetchval(show) == "serializable"
    async with asyncpg_write(connection, recorder, kind="posting"):
        assert await connection.fetchval(show) == "read committed"


async def test_nothing_is_left_on_the_connection(
    connection: "asyncpg.Connection[Any]", recorder: Recorder, rival: Rival
) -> None:
    """The query logger is removed at the end of the block, also after an error."""
    held: Any = connection
    async with asyncpg_write(connection, recorder, kind="posting"):
        await connection.execute(INSERT)
    assert not held._query_loggers
    with pytest.raises(asyncpg.UniqueViolationError):
        async with asyncpg_write(connection, recorder, kind="posting"):
            await connection.execute(INSERT)
    assert not held._query_loggers


async def test_service_that_records_no_ledger_still_writes_it(
    connection: "asyncpg.Connection[Any]", catalogue: Catalogue, rival: Rival
) -> None:
    """A metric that setup does not name costs a drop, never an entry."""
    recorder = setup(catalogue, service="ledger", metrics=())
    async with asyncpg_write(connection, recorder, kind="posting"):
        await connection.execute(INSERT)
    assert await count(rival) == 1
    assert b'moneypath_telemetry_drops_total{reason="unknown_metric"} 1' in recorder.render()
