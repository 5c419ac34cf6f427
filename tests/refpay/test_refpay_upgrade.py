"""The schema's upgrade when something comes between: one sentence, and nothing is changed."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refpay.db.pool import SCHEMA_REVISION
from refpay.db.upgrade import upgrade_schema
from refpay.errors import StartRefused
from refpay.settings import DatabaseSettings

if TYPE_CHECKING:
    from tests.refpay.conftest import Book

_WAITS = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = $1"
_END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1"
)


def _owner(book: "Book", secrets_folder: Path) -> DatabaseSettings:
    password = (secrets_folder / "refpay_owner_password").read_text().strip()
    return DatabaseSettings(book.url("refpay_owner"), "refpay_owner", password)


async def test_an_upgrade_whose_connection_is_lost_says_so(book: "Book", secrets_folder: Path) -> None:
    """Undoing meets the lost connection too, and that is not what people are told."""
    other = await book.connect("postgres")
    try:
        await other.execute("SELECT pg_advisory_lock(7305519001)")
        database = await other.fetchval("SELECT oid FROM pg_database WHERE datname = current_database()")
        upgrade = asyncio.create_task(upgrade_schema(_owner(book, secrets_folder)))
        async with asyncio.timeout(60):
            while not await other.fetchval(_WAITS, database):  # noqa: ASYNC110 - the server's event
                await asyncio.sleep(0.02)
        await other.execute(_END, other.get_server_pid())
        with pytest.raises(StartRefused, match="database cannot be upgraded"):
            await upgrade
    finally:
        await other.close()


async def test_a_newer_schema_is_not_called_upgraded(book: "Book", secrets_folder: Path) -> None:
    """An older program has nothing to do there; with its own schema it has nothing to say."""
    await upgrade_schema(_owner(book, secrets_folder))
    await book.rows("UPDATE public.alembic_version SET version_num = '0099'", role="postgres")
    with pytest.raises(StartRefused, match=f"is 0099, newer than .*{SCHEMA_REVISION}"):
        await upgrade_schema(_owner(book, secrets_folder))
