"""Brings the schema to the newest revision, as the owner of the database."""

import asyncio
import os
from pathlib import Path
from typing import Final

from alembic import command, op
from alembic.config import Config
from asyncpg import PostgresError
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from refpay.errors import StartRefused
from refpay.settings import DatabaseSettings, read_database

_MIGRATIONS: Final = Path(__file__).with_name("migrations")


def run_scripts(folder: str, *names: str) -> None:
    """Run the SQL scripts of a revision, in the order in which they refer to each other.

    There is no way back, for what is known of money is not taken back: restore a backup.
    """
    for name in names:
        run_script(op.get_bind(), f"{folder}/{name}.sql")


def run_script(connection: Connection, name: str) -> None:
    """Run one SQL script of several statements inside the transaction that is open."""
    script = (_MIGRATIONS / "sql" / name).read_text(encoding="utf-8")
    # SQLAlchemy opens its transaction at the first statement of its own; the script bypasses it,
    # because the extended protocol takes one statement at a time.
    connection.execute(text("SELECT 1"))
    adapted = connection.connection.dbapi_connection
    assert adapted is not None, "a connection in use is connected"  # noqa: S101 narrows the type
    adapted.run_async(lambda driver: driver.execute(script))


def upgrade(settings: DatabaseSettings) -> None:
    """Run every revision that is missing, all or nothing.

    Raises StartRefused when the database is not reachable or refuses.
    """
    try:
        asyncio.run(upgrade_schema(settings))
    except (OSError, SQLAlchemyError, PostgresError) as problem:
        # What a script raises comes from the driver as it is, and then it is a sentence of ours.
        reason = type(problem).__name__
        if isinstance(problem, DBAPIError | PostgresError):
            reason = str(getattr(problem, "orig", problem))
        raise StartRefused(
            f"database cannot be upgraded: {settings.url} ({reason.splitlines()[0]})"
        ) from problem


async def upgrade_schema(settings: DatabaseSettings, revision: str = "head") -> None:
    """Run every revision up to one; raises OSError, SQLAlchemyError or PostgresError."""
    url = make_url(settings.url).set(drivername="postgresql+asyncpg", password=settings.password)
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": 5, "command_timeout": 120})
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run_revisions, revision)
            await connection.commit()
    finally:
        await engine.dispose()


def _run_revisions(connection: Connection, revision: str) -> None:
    config = Config()
    # ConfigParser reads `%` as interpolation, and a path may hold one.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def main(arguments: list[str]) -> None:
    """Run `upgrade`, the one command there is."""
    if arguments != ["upgrade"]:
        raise StartRefused(
            f"unknown command: {' '.join(arguments) or 'none'}; usage: python -m refpay.db upgrade"
        )
    upgrade(read_database(os.environ, user="refpay_owner", secret="refpay_owner_password"))  # noqa: S106 a file's name
