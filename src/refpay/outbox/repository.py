"""The only reader and writer of the outbox's rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from refpay.db.pool import Connection
from refpay.outbox.events import Event

_INSERT = "INSERT INTO outbox.event (id, operation_id, type, body, at) VALUES ($1, $2, $3, $4, $5)"
_UNPUBLISHED = "SELECT id, type, body FROM outbox.event WHERE published_at IS NULL ORDER BY seq LIMIT $1"
_MARK = "UPDATE outbox.event SET published_at = $2 WHERE id = ANY($1::uuid[]) AND published_at IS NULL"
_BACKLOG = "SELECT count(*) AS depth, min(at) AS oldest FROM outbox.event WHERE published_at IS NULL"
_PRUNE = """
    WITH pruned AS (
        DELETE FROM outbox.event WHERE id IN (
            SELECT id FROM outbox.event WHERE published_at < $1 ORDER BY published_at LIMIT $2)
        RETURNING 1)
    SELECT count(*) FROM pruned
"""


@dataclass(frozen=True, slots=True)
class Unpublished:
    """An event that is still to be published, as it was written."""

    id: UUID
    type: str
    body: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many messages wait, and since when the oldest does."""

    depth: int
    oldest: datetime | None


async def append(connection: Connection, event: Event) -> None:
    """Write an event inside the caller's transaction, the change's own."""
    await connection.execute(_INSERT, event.id, event.operation_id, event.type, event.encode(), event.at)


async def read_unpublished(connection: Connection, *, limit: int) -> Sequence[Unpublished]:
    """Return events not yet published, whenever they committed, in the order of writing."""
    return [Unpublished(**dict(row)) for row in await connection.fetch(_UNPUBLISHED, limit)]


async def mark_published(connection: Connection, ids: Sequence[UUID], now: datetime) -> None:
    """Note that JetStream has acknowledged these events."""
    await connection.execute(_MARK, ids, now)


async def read_backlog(connection: Connection) -> Backlog:
    """Return what is still to be published."""
    row = await connection.fetchrow(_BACKLOG)
    return Backlog(0, None) if row is None else Backlog(row["depth"], row["oldest"])


async def prune(connection: Connection, *, published_before: datetime, limit: int) -> int:
    """Delete published events of long ago; return how many."""
    return int(await connection.fetchval(_PRUNE, published_before, limit))
