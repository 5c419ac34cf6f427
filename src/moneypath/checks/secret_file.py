"""Read the address of a database from a file that only its owner can read."""

import os
import stat
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from moneypath.checks.errors import SecretFileUnusable

SECRET_BYTES_MAX: Final = 4096
SCHEMES: Final = ("postgresql", "postgres")
# The rule of libpq for a key file. Root's own may be read by a group, as secrets are mounted.
_NOT_OURS: Final = stat.S_IRWXG | stat.S_IRWXO
_NOT_ROOTS: Final = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
_HINT: Final = "Write postgresql://user:password@host:port/database into it, and run chmod 600."


def read_dsn(file: Path) -> str:
    """Return the address in a file; raises SecretFileUnusable, which quotes nothing of the file."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            # Of the open file: the name may lead elsewhere a moment later.
            problem = _problem(os.fstat(descriptor))
            content = b"" if problem else stream.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise SecretFileUnusable(
            f"The address of the database cannot be read: {file} ({error.strerror}).", hint=_HINT
        ) from None
    if problem:
        raise SecretFileUnusable(f"{file} {problem}.", hint=_HINT)
    dsn = _address(content)
    if dsn is None:
        raise SecretFileUnusable(f"{file} does not hold the address of a PostgreSQL database.", hint=_HINT)
    return dsn


def place_of(dsn: str) -> str:
    """Return host, port and database of an address, and neither user nor password."""
    parts = urlsplit(dsn)
    return f"{parts.hostname or 'local socket'}:{parts.port or 5432}{parts.path}"


def _problem(status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    refused = _NOT_ROOTS if status.st_uid == 0 and os.geteuid() != 0 else _NOT_OURS
    if status.st_mode & refused:
        return f"may be read by others (mode {stat.S_IMODE(status.st_mode):04o})"
    return ""


def _address(content: bytes) -> str | None:
    if len(content) > SECRET_BYTES_MAX:
        return None
    try:
        dsn = content.decode("ascii").strip()
        parts = urlsplit(dsn)
        # Reading the port raises if it is none.
        known = parts.scheme in SCHEMES and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    return dsn if known and dsn.isprintable() and " " not in dsn else None
