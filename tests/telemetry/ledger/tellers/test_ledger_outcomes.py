"""Every outcome of a ledger write, made for real in PostgreSQL, through every library."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

if TYPE_CHECKING:
    from tests.telemetry.ledger.conftest import HandClock
    from tests.telemetry.ledger.tellers.conftest import Teller

    Rival = asyncpg.Connection[Any]
else:
    Rival = Any

Outcomes = Callable[[], dict[str, float]]
Until = Callable[..., Awaitable[Any]]

INSERT = "INSERT INTO entry VALUES (1)"
TELLER = "SELECT pid FROM pg_stat_activity WHERE application_name = 'teller'"
IN_COMMIT = f"{TELLER} AND wait_event = 'advisory' AND query LIKE 'COMMIT%'"


async def entries(rival: Rival) -> int:
    """Return how many entries the ledger holds."""
    found: int = await rival.fetchval("SELECT count(*) FROM (TABLE slow_entry UNION SELECT id FROM entry)")
    return found


async def test_committed(teller: "Teller", rival: Rival, outcomes: Outcomes) -> None:
    """The benign twin of all that follow."""
    await teller.write(INSERT, "UPDATE account SET balance = 50 WHERE id = 1")
    assert outcomes() == {"committed": 1}
    await teller.write("INSERT INTO entry VALUES (2)")
    assert outcomes() == {"committed": 2}
    assert await entries(rival) == 2


async def test_unique_violation_is_rejected(teller: "Teller", outcomes: Outcomes) -> None:
    """The entry is there already."""
    with pytest.raises(Exception, match="duplicate key"):
        await teller.write(INSERT, INSERT)
    assert outcomes() == {"rejected": 1}


async def test_deferred_violation_is_rejected_by_commit(
    teller: "Teller", rival: Rival, outcomes: Outcomes
) -> None:
    """COMMIT itself finds it; the server answered, so nothing about it is unknown."""
    with pytest.raises(Exception, match="one_reference"):
        await teller.write("INSERT INTO entry VALUES (1, 7)", "INSERT INTO entry VALUES (2, 7)")
    assert outcomes() == {"rejected": 1}
    assert await entries(rival) == 0


async def test_serialization_failure_is_a_conflict(
    teller: "Teller", rival: Rival, outcomes: Outcomes
) -> None:
    """Another transaction changed the row after our snapshot was taken."""
    with pytest.raises(Exception, match="could not serialize"):
        await teller.write(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SELECT balance FROM account",
            lambda: rival.execute("UPDATE account SET balance = 1 WHERE id = 1"),
            "UPDATE account SET balance = 2 WHERE id = 1",
        )
    assert outcomes() == {"conflict_retried": 1}


async def test_serialization_failure_in_commit_is_a_conflict(
    teller: "Teller", rival: Rival, outcomes: Outcomes
) -> None:
    """Two that each read what the other wrote: the second to commit is refused in COMMIT."""

    async def write_skew() -> None:
        async with rival.transaction(isolation="serializable"):
            await rival.fetch("SELECT sum(balance) FROM account")
            await rival.execute("UPDATE account SET balance = 1 WHERE id = 2")

    with pytest.raises(Exception, match="could not serialize"):
        await teller.write(
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SELECT sum(balance) FROM account",
            "UPDATE account SET balance = 2 WHERE id = 1",
            write_skew,
        )
    assert outcomes() == {"conflict_retried": 1}


async def test_deadlock_is_a_conflict(
    teller: "Teller", rival: Rival, until_elsewhere: Until, outcomes: Outcomes
) -> None:
    """Each holds what the other wants; ours looks for the deadlock first and is the victim."""
    other = asyncio.create_task(_lock_both(rival, blocked := asyncio.Event()))

    async def rival_waits() -> None:
        blocked.set()
        await until_elsewhere("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")

    with pytest.raises(Exception, match="deadlock detected"):
        await teller.write(
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
    teller: "Teller", rival: Rival, outcomes: Outcomes
) -> None:
    """Somebody else holds the row."""
    async with rival.transaction():
        await rival.execute("SELECT 1 FROM account WHERE id = 1 FOR UPDATE")
        with pytest.raises(Exception, match="lock timeout"):
            await teller.write(
                "SET LOCAL lock_timeout = '1ms'", "UPDATE account SET balance = 1 WHERE id = 1"
            )
    assert outcomes() == {"conflict_retried": 1}


async def test_statement_time_out_is_a_failure(teller: "Teller", outcomes: Outcomes) -> None:
    """Nothing stood in the way, the statement took too long."""
    with pytest.raises(Exception, match="statement timeout"):
        await teller.write("SET LOCAL statement_timeout = '1ms'", "SELECT pg_sleep(60)")
    assert outcomes() == {"failed": 1}


async def test_cancelled_commit_is_a_failure(
    teller: "Teller", rival: Rival, until: Until, outcomes: Outcomes
) -> None:
    """The server answered COMMIT with an error and lives on: the transaction was surely rolled back."""
    await rival.execute("SELECT pg_advisory_lock(42)")
    writing = asyncio.create_task(teller.write("INSERT INTO slow_entry VALUES (1)"))
    await rival.execute("SELECT pg_cancel_backend($1)", await until(IN_COMMIT))
    with pytest.raises(Exception, match="canceling statement"):
        await writing
    assert outcomes() == {"failed": 1}
    assert await entries(rival) == 0


async def test_server_process_that_dies_in_the_block_is_a_failure(
    teller: "Teller", rival: Rival, until: Until, outcomes: Outcomes, drops: Outcomes
) -> None:
    """COMMIT was never sent; and nothing of ours stumbles over a connection that is gone."""

    async def kill() -> None:
        await rival.execute("SELECT pg_terminate_backend($1)", await until(TELLER))
        await until(f"SELECT 1 WHERE NOT EXISTS ({TELLER})")

    with pytest.raises(Exception, match=r"."):
        await teller.write(INSERT, kill, "INSERT INTO entry VALUES (2)")
    assert (outcomes(), drops()) == ({"failed": 1}, {})
    assert await entries(rival) == 0


async def test_server_process_that_dies_in_commit_is_unknown(
    teller: "Teller", rival: Rival, until: Until, outcomes: Outcomes
) -> None:
    """COMMIT was sent and nobody is left to answer."""
    await rival.execute("SELECT pg_advisory_lock(42)")
    writing = asyncio.create_task(teller.write("INSERT INTO slow_entry VALUES (1)"))
    await rival.execute("SELECT pg_terminate_backend($1)", await until(IN_COMMIT))
    with pytest.raises(Exception, match=r"."):
        await writing
    assert outcomes() == {"unknown": 1}


async def test_session_that_times_out_in_commit_is_unknown(
    teller: "Teller", rival: Rival, outcomes: Outcomes
) -> None:
    """The server says why, with an SQLSTATE, and ends the session all the same."""
    await rival.execute("SELECT pg_advisory_lock(42)")
    with pytest.raises(Exception, match=r"."):
        await teller.write("INSERT INTO slow_entry VALUES (1)", "SET LOCAL transaction_timeout = '50ms'")
    assert outcomes() == {"unknown": 1}


async def test_error_of_the_caller_is_a_failure(teller: "Teller", rival: Rival, outcomes: Outcomes) -> None:
    """It rolls back, and passes on as it is."""

    async def refuse() -> None:
        raise teller.Refused

    with pytest.raises(teller.Refused):
        await teller.write(INSERT, refuse)
    assert outcomes() == {"failed": 1}
    assert await entries(rival) == 0


async def test_error_raised_from_a_violation_is_rejected(teller: "Teller", outcomes: Outcomes) -> None:
    """A service that names the driver's error in its own words has it counted for what it was."""
    with pytest.raises(teller.Refused):
        await teller.write(INSERT, teller.rename(INSERT))
    assert outcomes() == {"rejected": 1}


async def test_swallowed_error_is_no_commit(teller: "Teller", rival: Rival, outcomes: Outcomes) -> None:
    """PostgreSQL answers such a COMMIT with ROLLBACK, and no library says so."""
    await teller.write(INSERT, teller.swallow(INSERT))
    assert await entries(rival) == 0
    assert outcomes() == {"failed": 1}


async def test_error_behind_a_savepoint_harms_nothing(
    teller: "Teller", rival: Rival, outcomes: Outcomes
) -> None:
    """The twin: what was rolled back to the savepoint leaves the rest to be committed."""
    await teller.write(INSERT, teller.swallow(INSERT, saved=True))
    assert await entries(rival) == 1
    assert outcomes() == {"committed": 1}


async def test_duration_includes_commit(
    teller: "Teller", rival: Rival, until: Until, clock: "HandClock", read: Callable[..., float | None]
) -> None:
    """Two seconds pass in the block and five in COMMIT."""

    async def two_seconds() -> None:
        clock.seconds += 2

    await rival.execute("SELECT pg_advisory_lock(42)")
    writing = asyncio.create_task(teller.write("INSERT INTO slow_entry VALUES (1)", two_seconds))
    await until(IN_COMMIT)
    clock.seconds += 5
    await rival.execute("SELECT pg_advisory_unlock(42)")
    await writing
    labels = {"kind": "posting", "outcome": "committed"}
    assert read("moneypath_ledger_write_duration_seconds_sum", **labels) == 7


async def test_unknown_kind_is_dropped_and_the_money_written(
    teller: "Teller", rival: Rival, outcomes: Outcomes, drops: Outcomes
) -> None:
    """A mistake in wiring telemetry costs a record, never an entry."""
    await teller.write(INSERT, kind="card 4111 1111 1111 1111")
    assert await entries(rival) == 1
    assert (outcomes(), drops()) == ({}, {"unknown_value": 2})


async def test_cancelled_while_commit_runs_is_unknown(
    async_teller: "Teller", rival: Rival, until: Until, outcomes: Outcomes
) -> None:
    """Whoever stops waiting for the answer to COMMIT does not know it."""
    await rival.execute("SELECT pg_advisory_lock(42)")
    writing = asyncio.create_task(async_teller.write("INSERT INTO slow_entry VALUES (1)"))
    await until(IN_COMMIT)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert outcomes() == {"unknown": 1}


async def test_cancelled_in_the_block_is_a_failure(
    async_teller: "Teller", rival: Rival, outcomes: Outcomes
) -> None:
    """The twin: COMMIT was never sent."""
    reached = asyncio.Event()

    async def wait() -> None:
        reached.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(async_teller.write(INSERT, wait))
    await reached.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert outcomes() == {"failed": 1}
    assert await entries(rival) == 0
