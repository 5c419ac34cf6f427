"""Recording is as it was: in the transaction of the change, and it waits for no seal and no other record."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from refpay.audit.repository import record
from refpay.db.upgrade import upgrade_schema
from refpay.settings import DatabaseSettings

from .books import CHAINS, NOW, Book, event, open_book

if TYPE_CHECKING:
    from tests.refpay.conftest import Client, RefpayDb


async def test_a_record_goes_with_its_change(trail: Book) -> None:
    """Rolled back it was never there, and the chain has no gap."""
    await trail.write(2)
    with pytest.raises(RuntimeError, match="on purpose"):
        async with trail.database.transaction() as connection:
            await record(connection, event(1))
            raise RuntimeError("on purpose")
    await trail.write(1)
    trail.watch()
    assert await trail.seal() == 3
    assert (await trail.verify()).findings == []


async def test_nobody_waits_for_an_open_record_or_for_a_seal(trail: Book) -> None:
    """Not the next record; and a seal leaves out what may still be committed, and what came after."""
    early, sealer = await trail.db.connect(), await trail.db.connect()
    try:
        opened = early.transaction()
        await opened.start()
        await record(early, event(1))  # type: ignore[arg-type]
        async with sealer.transaction():
            assert await sealer.fetchval("SELECT audit.seal_events($1, 10)", NOW) == 0
            # The seal's lock is held, and a record is open: another one is written all the same.
            async with asyncio.timeout(20):
                await trail.write(1)
        assert await trail.seal() == 0
        await opened.commit()
    finally:
        await early.close()
        await sealer.close()
    assert await trail.seal() == 2
    assert (await trail.verify(kept=False)).findings == []


@pytest.mark.parametrize("column", ["seq", "written_in"])
async def test_the_service_cannot_choose_a_place_in_the_order(trail: Book, column: str) -> None:
    """The database sets both; with them a record could be put behind a seal."""
    statement = (
        f"INSERT INTO audit.event (id, at, actor, action, subject_kind, subject_id, after, correlation_id, {column})"  # noqa: S608, E501
        f" OVERRIDING SYSTEM VALUE VALUES (uuidv7(), now(), 'a', 'b', 'payment', 'c', '{{}}', 'd', '1')"
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await trail.db.rows(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO audit.seal SELECT * FROM ledger.seal",
        "DELETE FROM audit.seal",
        "TRUNCATE audit.seal",
        "UPDATE audit.seal SET seq = 9",
    ],
)
async def test_nobody_changes_the_seals_of_the_trail(trail: Book, statement: str) -> None:
    """The service has no right to, and the owner is refused until he takes the rule away."""
    await trail.sealed()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await trail.db.rows(statement)
    if not statement.startswith("INSERT"):
        with pytest.raises(asyncpg.RestrictViolationError, match=r"audit\.seal is append-only"):
            await trail.db.rows(statement, role="refpay_owner")


async def test_a_trail_of_before_is_sealed_first(
    db: "RefpayDb", secrets_folder: Path, tmp_path: Path
) -> None:
    """An upgraded database keeps every record, in one order with those that follow, and seals all of them."""
    name = f"{db.name}_before"
    password = (secrets_folder / "refpay_owner_password").read_text().strip()
    owner = DatabaseSettings(db.server.url("refpay_owner", name), "refpay_owner", password)
    await db.rows(f"CREATE DATABASE {name} OWNER refpay_owner", role="postgres")
    try:
        await upgrade_schema(owner, "0104")
        before = type(db)(db.server, name)
        connection = await before.connect()
        for number in range(3):
            await record(connection, event(number))  # type: ignore[arg-type]
        await connection.close()
        kept = await before.rows("SELECT * FROM audit.event ORDER BY seq")
        await upgrade_schema(owner)
        async with open_book(CHAINS["audit"], before, secrets_folder, tmp_path) as book:
            await book.write(2)
            watch = book.watch()
            assert await book.seal() == 5
            assert [(await watch.run_once()).findings for _ in range(2)] == [0, 0]
            assert {str(row["id"]) for row in kept} == set(book.written[:3])
            rows = await before.rows("SELECT * FROM audit.event ORDER BY seq")
        assert [{**row, "written_in": 0} for row in kept] == [{**row, "written_in": 0} for row in rows[:3]]
    finally:
        await db.rows(f"DROP DATABASE {name} WITH (FORCE)", role="postgres")


async def test_the_worker_seals_the_trail_and_shows_that_it_is_whole(
    api: "Client", db: "RefpayDb", live_settings: Any, serve: Callable[..., Any]
) -> None:
    """And once the owner changes an actor and seals anew, the gauge is not 0 within seconds."""
    from refpay.worker.main import open_worker

    async with open_worker(live_settings) as app, serve(app) as worker, asyncio.timeout(60):
        await api.captured()
        check = {"check": "audit_chain"}
        last = "moneypath_check_last_success_timestamp_seconds"
        while not await worker.metric(last, **check):  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.05)
        assert await worker.metric("moneypath_audit_chain_breaks") == 0
        [count] = await db.rows("SELECT count(*) FROM audit.event")
        log = live_settings.acknowledgements_folder / "audit.seals"
        while not await db.rows(f"SELECT FROM audit.seal HAVING sum(entries) >= {count['count']}"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        [newest] = await db.rows("SELECT max(seq) AS seq FROM audit.seal")
        while b"%d " % newest["seq"] not in log.read_bytes():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        book = Book(CHAINS["audit"], db, None, live_settings.acknowledgements_folder)  # type: ignore[arg-type]
        await book.as_owner(
            "UPDATE audit.event SET actor = 'nobody' WHERE seq = (SELECT min(seq) FROM audit.event)",
            "DELETE FROM audit.seal",
            f"SELECT audit.seal_events('{datetime.now(UTC).isoformat()}', 1000)",
        )
        while not await worker.metric("moneypath_audit_chain_breaks"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert await worker.metric("moneypath_check_violations", **check) >= 1
        assert await worker.metric("moneypath_ledger_chain_breaks") == 0
