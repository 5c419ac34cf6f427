"""Bring the schema to the newest revision, as the owner of the database.

The rule for a new revision is in `migrations/README.md`.
"""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg

from refpay.db.pool import SCHEMA_REVISION, open_connection
from refpay.errors import StartRefused
from refpay.settings import DatabaseSettings, read_database

MIGRATIONS: Final = Path(__file__).parent / "migrations"
# A folder for each revision, in this order; its scripts run in the order of their names. There is no
# downgrade, because nothing that is known of money is taken back: restore a backup instead.
REVISIONS: Final = ("0100", "0101", "0102", "0103", "0104", "0105")
_MONTHS_AHEAD: Final = 3
# Any constant does; it only has to be the same in every process that upgrades.
_UPGRADE_LOCK: Final = 7_305_519_001
# The table has the name and form that Alembic gave it, which first wrote the revision there.
_TABLE: Final = "CREATE TABLE IF NOT EXISTS public.alembic_version (version_num varchar(32) PRIMARY KEY)"


async def upgrade_schema(settings: DatabaseSettings, revision: str = SCHEMA_REVISION) -> None:
    """Run every missing revision up to this one, in one transaction and one upgrade at a time.

    Raises StartRefused if the database cannot be reached or refuses a script, or if its revision cannot be
    upgraded.
    """
    try:
        async with open_connection(settings, command_seconds=120) as connection, connection.transaction():
            await _run_missing(connection, revision)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as problem:
        # An error that a script raises is one of our own sentences.
        reason = str(problem).partition("\n")[0] if isinstance(problem, asyncpg.PostgresError) else ""
        raise StartRefused(
            f"The database cannot be upgraded: {settings.url} ({reason or type(problem).__name__})."
        ) from problem


async def _run_missing(connection: "asyncpg.Connection[asyncpg.Record]", revision: str) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _UPGRADE_LOCK)
    await connection.execute(_TABLE)
    reached = await connection.fetchval("SELECT version_num FROM public.alembic_version") or ""
    _refuse_other_schemas(reached, revision)
    for number in REVISIONS:
        if not reached < number <= revision:
            continue
        for script in sorted((MIGRATIONS / number).glob("*.sql")):
            await connection.execute(script.read_text(encoding="utf-8"))
        await connection.execute("DELETE FROM public.alembic_version")
        await connection.execute("INSERT INTO public.alembic_version VALUES ($1)", number)
    if not reached:
        # Later months are made by the worker.
        await connection.execute("SELECT ledger.make_partitions($1, $2)", datetime.now(UTC), _MONTHS_AHEAD)


def _refuse_other_schemas(reached: str, revision: str) -> None:
    """Raise StartRefused for a schema that is newer than wanted, or whose revision is no longer supported."""
    if reached > revision:
        raise StartRefused(f"The database schema is {reached}, newer than what is wanted: {revision}.")
    if reached and reached not in REVISIONS:
        raise StartRefused(
            f"The database schema is {reached}, from before revision {REVISIONS[0]}, and cannot be upgraded: "
            "drop the database, create it again, and run `python -m refpay.db upgrade`."
        )


def main(arguments: list[str]) -> None:
    """Run the command `upgrade`."""
    if arguments != ["upgrade"]:
        raise StartRefused(
            f"The command is unknown: {' '.join(arguments) or 'none'}. Usage: python -m refpay.db upgrade"
        )
    owner = read_database(os.environ, user="refpay_owner", secret="refpay_owner_password")  # noqa: S106 a file's name
    asyncio.run(upgrade_schema(owner))
