"""The exporter on a real PostgreSQL that is killed, stopped, locked, read-only, and comes back."""

import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
import pytest

from moneypath.stack import postgres
from moneypath.stack.ports import PortPool
from moneypath.stack.postgres import Postgres
from moneypath.stack.supervisor import Supervisor

from .declared import declare
from .exporting import LAST_SUCCESS, VIOLATIONS, Exporting, Scrape, exporting, runs
from .foreign import BALANCE_IS_SUM, LEDGER, NEGATIVE, Connection

MONEY = 'moneypath_check_violation_minor_units{check="balances",currency="%s"}'
OLDEST = 'moneypath_check_oldest_violation_timestamp_seconds{check="balances"}'
CHECKS = {
    "balances": {"ready": BALANCE_IS_SUM, "amount": "major"},
    "debts": {"ready": {**NEGATIVE, "table": ["Books & Co", "wallet"]}, "amount": "major"},
}


@dataclass(frozen=True, slots=True)
class Ledger:
    """A database with a foreign ledger, and a declaration that checks it."""

    supervisor: Supervisor
    database: Postgres
    file: Path

    async def owner(self) -> Connection:
        """Open a connection of the owner."""
        connection = await asyncpg.connect(self.database.dsn("owner"), timeout=30)
        await connection.execute('SET search_path = "Books & Co"')
        return connection

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and to all of its processes."""
        server = psutil.Process(self.supervisor.pids()["postgres"])
        for process in (server, *server.children()):
            process.send_signal(number)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    """Start a database with a ledger in which one balance is 5.00 too high."""
    with PortPool({}) as ports:
        async with Supervisor(tmp_path / "run") as supervisor:
            database = await postgres.prepare(
                tmp_path / "run" / "postgres",
                ports.reserve("postgres"),
                superuser_password="password-of-admin",
                roles={"owner": "password-of-owner", "auditor": "password-of-auditor"},
                owner="owner",
                database="books",
            )
            await supervisor.start(database.spec)
            superuser = await asyncpg.connect(database.dsn("postgres", "books"), timeout=30)
            await superuser.execute("GRANT CREATE ON DATABASE books TO owner; ALTER ROLE owner CREATEROLE")
            await superuser.close()
            made = await asyncpg.connect(database.dsn("owner"), timeout=30)
            await made.execute(LEDGER.replace("ALTER ROLE auditor", "-- ALTER ROLE auditor"))
            await made.execute("UPDATE wallet SET total = total + 5 WHERE holder = '@bob'")
            await made.close()
            secret = tmp_path / "dsn"
            secret.write_text(database.dsn("auditor"), encoding="utf-8")
            secret.chmod(0o600)
            yield Ledger(supervisor, database, declare(tmp_path, CHECKS))


def known(found: Scrape) -> bool:
    """Tell whether the results of both checks are shown."""
    return all(VIOLATIONS % check in found for check in CHECKS)


def unknown(found: Scrape) -> bool:
    """Tell whether neither result is shown."""
    return not any(VIOLATIONS % check in found for check in CHECKS)


async def forgotten(exporter: Exporting, before: Scrape) -> Scrape:
    """Wait until nothing is shown but the time of the last success, which does not move."""
    found = await exporter.until(unknown)
    assert MONEY % "EUR" not in found
    assert OLDEST not in found
    for check in CHECKS:
        assert found[LAST_SUCCESS % check] >= before[LAST_SUCCESS % check]
    later = await exporter.until(
        lambda one: runs(one, "debts", "unreachable") > runs(found, "debts", "unreachable")
    )
    assert [later[LAST_SUCCESS % c] for c in CHECKS] == [found[LAST_SUCCESS % c] for c in CHECKS]
    assert unknown(later)
    return later


async def renewed(exporter: Exporting, before: Scrape) -> Scrape:
    """Wait until both checks have succeeded again."""
    return await exporter.until(
        lambda found: (
            known(found)
            and all(found[LAST_SUCCESS % check] > before[LAST_SUCCESS % check] for check in CHECKS)
        )
    )


async def test_what_is_found_is_shown_by_check_and_currency(ledger: Ledger) -> None:
    """Violations, money, age, last success and runs; a currency without any is 0; nothing names a row."""
    async with exporting(ledger.file) as exporter:
        found = await exporter.until(known)
        assert (found[VIOLATIONS % "balances"], found[VIOLATIONS % "debts"]) == (1, 0)
        assert {unit: found[MONEY % unit] for unit in ("EUR", "USD", "JPY", "KWD")} == {
            "EUR": 500, "USD": 0, "JPY": 0, "KWD": 0,
        }  # fmt: skip
        assert found['moneypath_check_unreadable_violations{check="balances"}'] == 0
        assert found[OLDEST] < found[LAST_SUCCESS % "balances"]
        assert runs(found, "balances", "succeeded") >= 1
        assert runs(found, "balances", "timed_out") == 0
        assert not [name for name in found if "@bob" in name]
        assert (await exporter.health())["sources"] == {"dsn": "owner"}
        owner = await ledger.owner()
        await owner.execute("UPDATE wallet SET total = 12.25 WHERE holder = '@bob'")
        await owner.close()
        mended = await exporter.until(lambda one: one.get(VIOLATIONS % "balances") == 0)
        assert (mended[MONEY % "EUR"], OLDEST in mended) == (0, False)


async def test_a_database_that_is_killed_is_unknown_until_it_is_back(ledger: Ledger) -> None:
    """Numbers absent, last success kept, failed runs counted; after the restart all is measured again."""
    async with exporting(ledger.file) as exporter:
        before = await exporter.until(known)
        await ledger.supervisor.kill("postgres")
        gone = await forgotten(exporter, before)
        assert (await exporter.health())["sources"] == {"dsn": "connecting"}
        await ledger.supervisor.restart("postgres")
        assert (await renewed(exporter, gone))[VIOLATIONS % "balances"] == 1


async def test_a_database_that_stands_still_is_unknown_until_it_goes_on(ledger: Ledger) -> None:
    """Stopped in the middle: every scrape is answered within its two seconds all the same."""
    async with exporting(ledger.file) as exporter:
        before = await exporter.until(known)
        ledger.signal(signal.SIGSTOP)
        try:
            gone = await forgotten(exporter, before)
        finally:
            ledger.signal(signal.SIGCONT)
        await renewed(exporter, gone)


async def test_a_database_that_only_reads_is_checked(ledger: Ledger) -> None:
    """As a standby: the lock is taken and the checks run."""
    await ledger.supervisor.stop("postgres")
    standby = ledger.database.data_folder / "standby.signal"
    standby.touch()
    if ledger.database.spec.uid is not None:
        os.chown(standby, ledger.database.spec.uid, ledger.database.spec.gid or -1)
    await ledger.supervisor.restart("postgres")
    owner = await ledger.owner()
    assert await owner.fetchval("SELECT pg_is_in_recovery()")
    await owner.close()
    async with exporting(ledger.file) as exporter:
        found = await exporter.until(known)
        assert (found[VIOLATIONS % "balances"], found[MONEY % "EUR"]) == (1, 500)


async def test_a_slow_check_ages_alone(ledger: Ledger) -> None:
    """A table that is locked: its check fails and is unknown, the other one is measured as before."""
    async with exporting(ledger.file) as exporter:
        before = await exporter.until(known)
        owner = await ledger.owner()
        async with owner.transaction():
            await owner.execute("LOCK TABLE transfer IN ACCESS EXCLUSIVE MODE")
            found = await exporter.until(lambda one: runs(one, "balances", "timed_out") > 0)
            later = await exporter.until(
                lambda one: (
                    runs(one, "balances", "timed_out") > 1
                    and one[LAST_SUCCESS % "debts"] > found[LAST_SUCCESS % "debts"]
                )
            )
            assert (VIOLATIONS % "balances" in later, later[VIOLATIONS % "debts"]) == (False, 0)
            assert later[LAST_SUCCESS % "balances"] == found[LAST_SUCCESS % "balances"]
        await owner.close()
        await renewed(exporter, {**before, LAST_SUCCESS % "balances": later[LAST_SUCCESS % "balances"]})


async def test_of_two_exporters_one_owns_and_the_other_takes_over(ledger: Ledger) -> None:
    """The second shows no value at all; when the first is killed, it does what the first did."""
    async with exporting(ledger.file) as first:
        await first.until(known)
        async with exporting(ledger.file) as second:
            await second.until_standing("standby")
            shown = await second.scrape()
            assert {name.partition("{")[0] for name in shown} == {"moneypath_check_runs_total"}
            assert sum(shown.values()) == 0
            assert known(await first.scrape())
            await first.kill()
            found = await second.until(known)
            assert found[VIOLATIONS % "balances"] == 1
            assert (await second.health())["sources"] == {"dsn": "owner"}


async def test_an_owner_that_lost_its_session_stands_by_without_a_value(ledger: Ledger) -> None:
    """Its connection is ended and the other takes over at once: the first shows not even an old success."""
    async with exporting(ledger.file) as first:
        await first.until(known)
        async with exporting(ledger.file) as second:
            await second.until_standing("standby")
            superuser = await asyncpg.connect(ledger.database.dsn("postgres", "books"), timeout=30)
            # The first is stopped meanwhile, so that the second asks before it is back.
            owners = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
            for pid in [row["pid"] for row in await superuser.fetch(owners)]:
                os.kill(first.process.pid, signal.SIGSTOP)
                await superuser.fetchval("SELECT pg_terminate_backend($1)", pid)
            await superuser.close()
            await second.until(known)
            os.kill(first.process.pid, signal.SIGCONT)
            found = await first.until(lambda one: LAST_SUCCESS % "balances" not in one)
            assert unknown(found)
            assert (await first.health())["sources"] == {"dsn": "standby"}
