"""Read the PostgreSQL settings without which a power cut loses acknowledged writes."""

from collections.abc import Mapping
from typing import Final

from refpay.db.pool import Connection

# Every value of `synchronous_commit` but `off` waits until the log is on our own disk.
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "fsync": ("on",),
    "synchronous_commit": ("on", "local", "remote_write", "remote_apply"),
    "full_page_writes": ("on",),
}


# The settings of a session that begins now. The most specific one wins, in the order of PostgreSQL.
_OVERRIDES: Final = """
    SELECT setting FROM pg_catalog.pg_db_role_setting, unnest(setconfig) AS setting
    WHERE setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user))
      AND setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
    ORDER BY setrole <> 0, setdatabase <> 0
"""
_ON: Final = dict.fromkeys(("true", "yes", "1"), "on")
_SETTINGS: Final = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY ($1)"


async def read_settings(connection: Connection) -> Mapping[str, str]:
    """Return the settings of this session or, where those are unsafe, of a session that begins now."""
    names = list(NEEDED)
    found = {row["name"]: row["setting"] for row in await connection.fetch(_SETTINGS, names)}
    overrides = [row["setting"].partition("=") for row in await connection.fetch(_OVERRIDES)]
    # Stored as it was written, so other words for `on` are read too.
    newest = {name: _ON.get(value.lower(), value.lower()) for name, _, value in overrides if name in NEEDED}
    return found | {name: value for name, value in newest.items() if value not in NEEDED[name]}
