"""Alembic's entry: runs the revisions on the one connection that `refpay.db.upgrade` hands over."""

from typing import Final

from alembic import context
from sqlalchemy import Connection, text

# Any constant does; it only has to be the same in every process that upgrades.
_UPGRADE_LOCK: Final = 7_305_519_001


def run(connection: Connection) -> None:
    """Run what is missing, one transaction in all, one upgrade at a time."""
    context.configure(connection=connection, version_table_schema="public")
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        context.run_migrations()


run(context.config.attributes["connection"])
