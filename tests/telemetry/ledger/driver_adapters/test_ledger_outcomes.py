"""Every outcome of a ledger write, produced in a real PostgreSQL through every library."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

if TYPE_CHECKING:
    from tests.telemetry.ledger.conftest import HandClock
    from tests.telemetry.ledger.driver_adapters.conftest import DriverAdapter

    Rival = asyncpg.Connection[Any]
else:
    Rival = Any

Outcomes = Callable[[], dict[str, float]]
Until = Callable[..., Awaitable[Any]]

INSERT = "INSERT INTO entry VALUES (1)"
WRITER_PID = "SELECT pid FROM pg_stat_activity WHERE application_name = 'adapter'"
IN_COMMIT = f"{WRITER_PID} AND wait_event = 'advisory' AND query LIKE 'COMMIT%'"


async def entries(rival: Rival) -> int:
    """Return how many entries the ledger holds."""
    found: int = await rival.fetchval("SELECT count(*) FROM (TABLE slow_entry UNION SELECT id FROM entry)")
    return found


async def test_committed(adapter: "DriverAdapter", rival: Rival, outcomes: Outcomes) -> None:
    """The positive twin of all tests below."""
    await adapter.write(INSERT, "UPDATE account SET balance = 50 WHERE id = 1")
    assert outcomes() == {"committed": 1}
    await adapter.write("INSERT INTO entry VALUES (2)")
    assert outcomes() == {"committed": 2}
    assert await entries(rival) == 2


async def test_unique_violation_is_rejected(adapter: "DriverAdapter", outcomes: Outcomes) -> None:
    """The entry exists already."""
    with pytest.raises(Exception, match="duplicate key"):
        await adapter.write(INSERT, INSERT)
    assert outcomes() == {"rejected": 1}


async def test_deferred_violation_is_rejected_by_commit(
    adapter: "DriverAdapter", rival: Rival, outcomes: Outcomes
) -> None:
    """COMMIT finds it. The server answered, so the outcome is known."""
    with pytest.raises(Exception, match="one_reference"):
        await adapter.write("INSERT INTO entry VALUES (1, 7)", "INSERT INTO entry VALUES (2, 7)")
    assert outcomes() == {"rejected": 1}
    assert await entries(rival) == 0


async def test_serialization_failure_is_a_conflict(
    adapter: "DriverAdapter", rival: Rival, outcomes: Outcomes
) -> None:
    """Another transaction changed the row after our snapshot was taken."""
    with pytest.raises(Exception, match="could not serialize"):
        await adapter.write(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SELECT balance FROM account",
            lambda: rival.execute("UPDATE account SET balance = 1 WHERE id = 1"),
            "UPDATE account SET balance = 2 WHERE id = 1",
        )
    assert outcomes() == {"conflict_retried": 1}


async def test_serialization_failure_in_commit_is_a_conflict(
    adapter: "DriverAdapter", rival: Rival, outcomes: Outcomes
) -> None:
    """Two transactions read what the other wrote; the second COMMIT is refused."""

    async def write_skew() -> None:
        async with rival.transaction(isolation="serializable"):
            await rival.fetch("SELECT sum(balance) FROM account")
            await rival.execute("UPDATE account SET balance = 1 WHERE id = 2")

    with pytest.raises(Exception, match="could not serialize"):
        await adapter.write(
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SELECT sum(balance) FROM account",
            "UPDATE account SET balance = 2 WHERE id = 1",
            write_skew,
        )
    assert outcomes() == {"conflict_retried": 1}


async def test_deadlock_is_a_conflict(
    adapter: "DriverAdapter", rival: Rival, until_elsewhere: Until, outcomes: Outcomes
) -> None:
    """Each holds what the other needs; ours detects the deadlock and is aborted."""
    other = asyncio.create_task(_lock_both(rival, blocked := asyncio.Event()))

    async def rival_waits() -> None:
        blocked.set()
        await until_elsewhere("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")

    with pytest.raises(Exception, match="deadlock detected"):
        await adapter.write(
            "SET LOCAL deadlock_timeout = '1ms'",
            "SELECT 1 FROM account WHERE id = 1 FOR UPDATE",
            rival_waits,
            "SELECT 1 FROM account WHERE id = 2 FOR UPDATE",
        )
    await other
    assert outcomes() == {"conflict_retried": 1}


async def _lock_both(rival: Rival, go: asyncio.Event) -> None:
    async with rival.transaction():
        await rival.execute("SET LOCAL deadlock_timeout = '1h'")
        await rival.execute("SELECT 1 FROM account WHERE id = 2 FOR UPDATE")
        await go.wait()
        await rival.execute("SELECT 1 FROM account WHERE id = 1 FOR UPDATE")


async def test_lock_that_is_not_had_in_time_is_a_conflict(
    adapter: "DriverAdapter", rival: Rival, outcomes: Outcomes
) -> None:
    """Another transaction holds the row."""
    async with rival.transaction():
        await rival.execute("SELECT 1 FROM account WHERE id = 1 FOR UPDATE")
        with pytest.raises(Exception, match="lock timeout"):
            await adapter.write(
                "SET LOCAL lock_timeout = '1ms'", "UPDATE account SET balance = 1 WHERE id = 1"
            )
    assert outcomes() == {"conflict_retried": 1}


async def test_statement_time_out_is_a_failure(adapter: "DriverAdapter", outcomes: Outcomes) -> None:
    """The statement took too long, without a conflict."""
    with pytest.raises(Exception, match="statement timeout"):
        await adapter.write("SET LOCAL statement_timeout = '1ms'", "SELECT pg_sleep(60)")
    assert outcomes() == {"failed": 1}


async def test_cancelled_commit_is_a_failure(
    adapter: "DriverAdapter", rival: Rival, until: Until, outcomes: Outcomes
) -> None:
    """The server answered COMMIT with an error and still runs, so the transaction was rolled back."""
    await rival.execute("SELECT pg_advisory_lock(42)")
    writing = asyncio.create_task(adapter.write("INSERT INTO slow_entry VALUES (1)"))
    await rival.execute("SELECT pg_cancel_backend($1)", await until(IN_COMMIT))
    with pytest.raises(Exception, match="canceling statement"):
        await writing
    assert outcomes() == {"failed": 1}
    assert await entries(rival) == 0


async def test_server_process_that_dies_in_the_block_is_a_failure(
    adapter: "DriverAdapter", rival: Rival, until: Until, outcomes: Outcomes, drops: Outcomes
) -> None:
    """COMMIT was never sent, and our code copes with the lost connection."""

    async def kill() -> None:
        await rival.execute("SELECT pg_terminate_backend($1)", await until(WRITER_PID))
        await until(f"SELECT 1 WHERE NOT EXISTS ({WRITER_PID})")

    with pytest.raises(Exception, match=r"."):
        await adapter.write(INSERT, kill, "INSERT INTO entry VALUES (2)")
    assert (outcomes(), drops()) == ({"failed": 1}, {})
    assert await entries(rival) == 0


async def test_server_process_that_dies_in_commit_is_unknown(
    adapter: "DriverAdapter", rival: Rival, until: Until, outcomes: Outcomes
) -> None:
    """COMMIT was sent and no answer can come."""
    await rival.execute("SELECT pg_advisory_lock(42)")
    writing = asyncio.create_task(adapter.write("INSERT INTO slow_entry VALUES (1)"))
    await rival.execute("SELECT pg_terminate_backend($1)", await until(IN_COMMIT))
    with pytest.raises(Exception, match=r"."):
        await writing
    assert outcomes() == {"unknown": 1}


async def test_session_that_times_out_in_commit_is_unknown(
    adapter: "DriverAdapter", rival: Rival, outcomes: Outcomes
) -> None:
    """The server sends an SQLSTATE, but ends the session."""
    await rival.execute("SELECT pg_advisory_lock(42)")
    with pytest.raises(Exception, match=r"."):
        await adapter.write("INSERT INTO slow_entry VALUES (1)", "SET LOCAL transaction_timeout = '50ms'")
    assert outcomes() == {"unknown": 1}


async def test_error_of_the_caller_is_a_failure(
    adapter: "DriverAdapter", rival: Rival, outcomes: Outcomes
) -> None:
    """The transaction is rolled back, and the error passes on unchanged."""

    async def refuse() -> None:
        raise adapter.Refused

    with pytest.raises(adapter.Refused):
        await adapter.write(INSERT, refuse)
    assert outcomes() == {"failed": 1}
    assert await entries(rival) == 0


async def test_error_raised_from_a_violation_is_rejected(
    adapter: "DriverAdapter", outcomes: Outcomes
) -> None:
    """A service's own error counts by its cause, the driver's error."""
    with pytest.raises(adapter.Refused):
        await adapter.write(INSERT, adapter.rename(INSERT))
    assert outcomes() == {"rejected": 1}


async def test_swallowed_error_is_no_commit(
    adapter: "DriverAdapter", rival: Rival, outcomes: Outcomes
) -> None:
    """PostgreSQL answers such a COMMIT with ROLLBACK, which no library reports."""
    await adapter.write(INSERT, adapter.swallow(INSERT))
    assert await entries(rival) == 0
    assert outcomes() == {"failed": 1}


async def test_error_behind_a_savepoint_harms_nothing(
    adapter: "DriverAdapter", rival: Rival, outcomes: Outcomes
) -> None:
    """The positive twin: after a rollback to the savepoint the rest is committed."""
    await adapter.write(INSERT, adapter.swallow(INSERT, saved=True))
    assert await entries(rival) == 1
    assert outcomes() == {"committed": 1}


async def test_duration_includes_commit(
    adapter: "DriverAdapter",
    rival: Rival,
    until: Until,
    clock: "HandClock",
    read: Callable[..., float | None],
) -> None:
    """Two seconds pass in the block and five in COMMIT."""

    async def two_seconds() -> None:
        clock.seconds += 2

    await rival.execute("SELECT pg_advisory_lock(42)")
    writing = asyncio.create_task(adapter.write("INSERT INTO slow_entry VALUES (1)", two_seconds))
    await until(IN_COMMIT)
    clock.seconds += 5
    await rival.execute("SELECT pg_advisory_unlock(42)")
    await writing
    labels = {"kind": "posting", "outcome": "committed"}
    assert read("moneypath_ledger_write_duration_seconds_sum", **labels) == 7


async def test_unknown_kind_is_dropped_and_the_money_written(
    adapter: "DriverAdapter", rival: Rival, outcomes: Outcomes, drops: Outcomes
) -> None:
    """A mistake in setting up telemetry costs a record, never an entry."""
    await adapter.write(INSERT, kind="card 4111 1111 1111 1111")
    assert await entries(rival) == 1
    assert (outcomes(), drops()) == ({}, {"unknown_value": 2})


async def test_cancelled_while_commit_runs_is_unknown(
    async_adapter: "DriverAdapter", rival: Rival, until: Until, outcomes: Outcomes
) -> None:
    """A caller that stops waiting does not learn the answer to COMMIT."""
    await rival.execute("SELECT pg_advisory_lock(42)")
    writing = asyncio.create_task(async_adapter.write("INSERT INTO slow_entry VALUES (1)"))
    await until(IN_COMMIT)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert outcomes() == {"unknown": 1}


async def test_cancelled_in_the_block_is_a_failure(
    async_adapter: "DriverAdapter", rival: Rival, outcomes: Outcomes
) -> None:
    """The negative twin: COMMIT was never sent."""
    reached = asyncio.Event()

    async def wait() -> None:
        reached.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(async_adapter.write(INSERT, wait))
    await reached.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert outcomes() == {"failed": 1}
    assert await entries(rival) == 0
