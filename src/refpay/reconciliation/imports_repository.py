"""Store how far the import of a revision has come. Every change holds the provider's lock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from refpay.db.pool import Connection

_FIELDS: Final = "sequence, revision, replaces, digest, stored, compared"
_OPEN: Final = f"""
    SELECT {_FIELDS} FROM reconciliation.import WHERE provider = $1 AND sequence = $2 AND ended_at IS NULL
"""  # noqa: S608 - a fragment of our own
_IN_FORCE: Final = f"""
    SELECT {_FIELDS} FROM (
        SELECT import.*
        FROM reconciliation.import JOIN reconciliation.report USING (provider, sequence, revision)
        WHERE ended_at IS NULL OFFSET 0) AS import
    WHERE provider = $1 ORDER BY sequence LIMIT 1
"""  # noqa: S608 - a fragment of our own
_BEGIN: Final = f"""
    INSERT INTO reconciliation.import (provider, sequence, revision, replaces, digest, begun_at)
    SELECT $1, $2, coalesce(max(revision), 0) + 1, $3, $4, $5
    FROM reconciliation.import WHERE provider = $1 AND sequence = $2
    RETURNING {_FIELDS}
"""  # noqa: S608 - a fragment of our own
_ADVANCE: Final = """
    UPDATE reconciliation.import SET stored = $4, compared = $5
    WHERE provider = $1 AND sequence = $2 AND revision = $3
"""
_END: Final = """
    UPDATE reconciliation.import SET ended_at = $4 WHERE provider = $1 AND sequence = $2 AND revision = $3
"""
_KEYS: Final = """
    SELECT key FROM reconciliation.line
    WHERE provider = $1 AND sequence = $2 AND revision = $3 AND position >= $4 AND position < $5
"""


@dataclass(frozen=True, slots=True)
class Import:
    """An import that has not ended. `stored` and `compared` count lines.

    `compared` goes on, after the lines of the revision, through those of the revision that it replaces.
    """

    sequence: int
    revision: int
    replaces: int
    digest: str
    stored: int
    compared: int


async def find_open(connection: Connection, provider: str, sequence: int) -> Import | None:
    """Return the import of a report that has not ended."""
    row = await connection.fetchrow(_OPEN, provider, sequence)
    return None if row is None else Import(**row)


async def find_in_force(connection: Connection, provider: str) -> Import | None:
    """Return the first import whose revision is in force and not wholly compared."""
    row = await connection.fetchrow(_IN_FORCE, provider)
    return None if row is None else Import(**row)


async def begin_import(
    connection: Connection, provider: str, sequence: int, *, replaces: int, digest: str, now: datetime
) -> Import:
    """Begin an import, under a revision that no import of the report has had."""
    row = await connection.fetchrow(_BEGIN, provider, sequence, replaces, digest, now)
    assert row is not None, "INSERT returns its row"  # noqa: S101 narrows the type
    return Import(**row)


async def advance_import(connection: Connection, provider: str, one: Import) -> None:
    """Write how much is stored and compared."""
    await connection.execute(_ADVANCE, provider, one.sequence, one.revision, one.stored, one.compared)


async def end_import(connection: Connection, provider: str, one: Import, *, now: datetime) -> None:
    """End an import: it is done, or another one takes its place."""
    await connection.execute(_END, provider, one.sequence, one.revision, now)


async def read_keys(
    connection: Connection, provider: str, sequence: int, revision: int, *, first: int, lines: int
) -> Sequence[str]:
    """Return the keys of so many lines of a revision from position `first`; fewer at its end."""
    rows = await connection.fetch(_KEYS, provider, sequence, revision, first, first + lines)
    return [row["key"] for row in rows]
