"""Who owns the checks of a database: the lock of a session, asked of the server before each run."""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from moneypath.checks.errors import DatabaseLost
from moneypath.checks.gauges import LAST_SUCCESS, CheckGauges
from moneypath.checks.plan import plan
from moneypath.checks.session import answered, holds_lock, lock_key, read_only_connection, try_lock
from moneypath.checks.watching import Pace, SourceWatch
from moneypath.path.loader import load
from moneypath.polling import poll_until

from .declared import declare
from .foreign import Connection

UNLOCKING = "SELECT 'a' AS subject, now() AS since FROM pg_advisory_unlock_all() AS done WHERE done IS NULL"


async def test_one_session_holds_the_lock_until_it_ends(owner: Connection, dsn: str) -> None:
    """Another one gets it then, and not before; a lock of another name is another lock."""
    key, other = lock_key("a"), lock_key("b")
    assert 0 <= key < 2**63
    async with read_only_connection(dsn) as second:
        async with read_only_connection(dsn) as first:
            assert await try_lock(first, key)
            assert await holds_lock(first, key)
            assert (await try_lock(second, key), await holds_lock(second, key)) == (False, False)
            assert await try_lock(second, other)
            assert not await holds_lock(first, other)
            await first.execute("SELECT pg_advisory_unlock_all()")
            assert not await holds_lock(first, key)
            assert await try_lock(second, key)
        with pytest.raises(DatabaseLost):
            await holds_lock(first, key)


@pytest.mark.parametrize(
    "error", [asyncpg.InternalClientError("a state"), TimeoutError(), ConnectionResetError(104, "reset")]
)
async def test_whatever_a_dead_session_raises_is_a_lost_database(error: Exception) -> None:
    """The first is what asyncpg says of an idle session that the server ended a moment ago."""

    async def question() -> None:
        raise error

    with pytest.raises(DatabaseLost):
        await answered(question())


async def test_an_exporter_whose_lock_was_given_away_measures_nothing(
    owner: Connection, dsn: str, tmp_path: Path
) -> None:
    """A query unlocks it, as a pooler might: it is noticed before the next run, said, and begun anew."""
    secret = tmp_path / "dsn"
    secret.write_text(dsn, encoding="utf-8")
    secret.chmod(0o600)
    (tmp_path / "own.sql").write_text(UNLOCKING, encoding="utf-8")
    file = declare(tmp_path, {"own": {"query_file": "own.sql", "amount": "none"}})
    path = load(file)
    planned = plan(path, file)
    gauges = CheckGauges(planned, path.catalogue())
    told: list[Mapping[str, object]] = []
    watch = SourceWatch(
        planned.sources[0], planned.exponents, gauges, tell=told.append, pace=Pace(retry_first=0.05)
    )

    async def events() -> list[object]:
        return [event["event"] for event in told]

    watching = asyncio.create_task(watch.watch())
    try:
        seen = await poll_until(events, lambda one: len(one) > 3, every_seconds=0.02, within_seconds=30)
        assert seen[:4] == ["owner", "check_ran", "connecting", "owner"]
        assert told[2]["reason"] == "the session does not hold the lock any more"
        assert f'{LAST_SUCCESS}{{check="own"}}' in gauges.recorder.render().decode()
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def test_a_secret_that_turns_bad_is_said_and_tried_again(
    owner: Connection, dsn: str, tmp_path: Path
) -> None:
    """Its connection is ended and its file may be read by others: it is not used until it is private."""
    secret = tmp_path / "dsn"
    secret.write_text(dsn, encoding="utf-8")
    secret.chmod(0o644)
    (tmp_path / "own.sql").write_text("SELECT 'a' AS subject, now() AS since", encoding="utf-8")
    file = declare(tmp_path, {"own": {"query_file": "own.sql", "amount": "none"}})
    path = load(file)
    planned = plan(path, file)
    told: list[Mapping[str, object]] = []
    gauges = CheckGauges(planned, path.catalogue())
    watch = SourceWatch(
        planned.sources[0],
        planned.exponents,
        gauges,
        tell=told.append,
        pace=Pace(retry_first=0.05, retry_most=0.1),
    )

    async def last() -> object:
        return told[-1]["event"] if told else None

    watching = asyncio.create_task(watch.watch())
    try:
        await poll_until(last, lambda one: one == "connecting", every_seconds=0.02, within_seconds=30)
        assert "may be read by others (mode 0644)" in str(told[-1]["reason"])
        secret.chmod(0o600)
        found = await poll_until(last, lambda one: one == "check_ran", every_seconds=0.02, within_seconds=30)
        assert found == "check_ran"
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
