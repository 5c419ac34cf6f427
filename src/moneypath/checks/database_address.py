"""Read the address of a database from a file that only its owner can read."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from moneypath.secret_files import SecretFileUnusable, read_private

SCHEMES: Final = ("postgresql", "postgres")
_HINT: Final = "Write postgresql://user:password@host:port/database into it, and run chmod 600."


def read_dsn(file: Path) -> str:
    """Return the address in a file; raises SecretFileUnusable, which quotes nothing of the file."""
    dsn = _address(read_private(file))
    if dsn is None:
        raise SecretFileUnusable(f"{file} does not hold the address of a PostgreSQL database.", hint=_HINT)
    return dsn


def place_of(dsn: str) -> str:
    """Return host, port and database of an address, and neither user nor password."""
    parts = urlsplit(dsn)
    return f"{parts.hostname or 'local socket'}:{parts.port or 5432}{parts.path}"


def _address(content: bytes) -> str | None:
    try:
        dsn = content.decode("ascii").strip()
        parts = urlsplit(dsn)
        # Reading the port raises if it is none.
        known = parts.scheme in SCHEMES and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    return dsn if known and dsn.isprintable() and " " not in dsn else None
