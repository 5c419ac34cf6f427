"""The settings of PostgreSQL without which a power cut takes back what was acknowledged."""

from collections.abc import Mapping
from typing import Final

from refpay.db.pool import Connection

# Every value of `synchronous_commit` but `off` waits until the log is on our own disk.
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "fsync": ("on",),
    "synchronous_commit": ("on", "local", "remote_write", "remote_apply"),
    "full_page_writes": ("on",),
}


async def read_settings(connection: Connection) -> Mapping[str, str]:
    """Return them as this session has them, whatever its role, its database and the server say."""
    query = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY ($1)"
    return {row["name"]: row["setting"] for row in await connection.fetch(query, list(NEEDED))}
