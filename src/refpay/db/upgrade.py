"""Brings the schema to the newest revision, as the owner of the database."""

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg

from refpay.db.pool import SCHEMA_REVISION, open_connection
from refpay.errors import StartRefused
from refpay.settings import DatabaseSettings, read_database

_SQL: Final = Path(__file__).parent / "migrations" / "sql"
# What each revision runs, in the order in which the scripts refer to each other. There is no way back, for
# what is known of money is not taken back: restore a backup.
REVISIONS: Final[Mapping[str, str]] = {
    "0001": "payments ledger routing audit oracle privileges",
    "0002": "outbox messages audit_subjects privileges",
    "0003": "reconciliation privileges",
    "0004": "risk audit privileges",
    "0005": "outbox",
    # Nothing is watched before the old entries are carried over.
    "0006": "entries archive partitions seals carried_over guards checks",
    "0007": "payments carried_over claims audit outbox reconciliation oracle privileges",
    "0008": "identity",
    "0010": "listing",
    "0011": "names",
    "0012": "settled released",
}
_MONTHS_AHEAD: Final = 3
# Any constant does; it only has to be the same in every process that upgrades.
_UPGRADE_LOCK: Final = 7_305_519_001
# The table has the name and form that Alembic gave it, which wrote it down at first.
_TABLE: Final = "CREATE TABLE IF NOT EXISTS public.alembic_version (version_num varchar(32) PRIMARY KEY)"


async def upgrade_schema(settings: DatabaseSettings, revision: str = SCHEMA_REVISION) -> None:
    """Run every revision up to one that is missing, all or nothing, one upgrade at a time.

    Raises StartRefused when the database is not reachable or refuses.
    """
    try:
        async with open_connection(settings, command_seconds=120) as connection, connection.transaction():
            await _run_missing(connection, revision)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as problem:
        # What a script raises is a sentence of ours.
        reason = str(problem).partition("\n")[0] if isinstance(problem, asyncpg.PostgresError) else ""
        raise StartRefused(
            f"database cannot be upgraded: {settings.url} ({reason or type(problem).__name__})"
        ) from problem


async def _run_missing(connection: "asyncpg.Connection[asyncpg.Record]", revision: str) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _UPGRADE_LOCK)
    await connection.execute(_TABLE)
    reached = await connection.fetchval("SELECT version_num FROM public.alembic_version") or ""
    if reached > revision:
        raise StartRefused(f"database schema is {reached}, newer than what is wanted: {revision}")
    for number, names in REVISIONS.items():
        if not reached < number <= revision:
            continue
        for name in names.split():
            await connection.execute((_SQL / number / f"{name}.sql").read_text(encoding="utf-8"))
        if number == "0006":
            await connection.execute(
                "SELECT ledger.make_partitions($1, $2)", datetime.now(UTC), _MONTHS_AHEAD
            )
        await connection.execute("DELETE FROM public.alembic_version")
        await connection.execute("INSERT INTO public.alembic_version VALUES ($1)", number)


def main(arguments: list[str]) -> None:
    """Run `upgrade`, the one command there is."""
    if arguments != ["upgrade"]:
        raise StartRefused(
            f"unknown command: {' '.join(arguments) or 'none'}; usage: python -m refpay.db upgrade"
        )
    owner = read_database(os.environ, user="refpay_owner", secret="refpay_owner_password")  # noqa: S106 a file's name
    asyncio.run(upgrade_schema(owner))
