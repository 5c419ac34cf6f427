"""Read and write the rows of the outbox. Nothing else does."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from moneypath.telemetry.integrations.messages import Backlog
from refpay.db.pool import Connection
from refpay.outbox.events import Event

_INSERT = """
    INSERT INTO outbox.event (id, operation_id, type, body, at, headers) VALUES ($1, $2, $3, $4, $5, $6)
"""
_UNPUBLISHED = """
    SELECT id, type, body, headers FROM outbox.event WHERE published_at IS NULL ORDER BY seq LIMIT $1
"""
_MARK = "UPDATE outbox.event SET published_at = $2 WHERE id = ANY($1::uuid[]) AND published_at IS NULL"
_BACKLOG = "SELECT count(*) AS depth, min(at) AS oldest FROM outbox.event WHERE published_at IS NULL"


@dataclass(frozen=True, slots=True)
class Unpublished:
    """An event that is still to be published, as it was stored."""

    id: UUID
    type: str
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


async def append(connection: Connection, event: Event, headers: Mapping[str, str] | None = None) -> None:
    """Store an event in the caller's transaction, which is that of the change.

    `headers` go on its message.
    """
    values = (event.id, event.operation_id, event.type, event.encode(), event.at, json.dumps(headers or {}))
    await connection.execute(_INSERT, *values)


async def read_unpublished(connection: Connection, *, limit: int) -> Sequence[Unpublished]:
    """Return events that are not published, in the order of writing, however late they were committed."""
    rows = await connection.fetch(_UNPUBLISHED, limit)
    return [Unpublished(**{**dict(row), "headers": json.loads(row["headers"])}) for row in rows]


async def mark_published(connection: Connection, ids: Sequence[UUID], now: datetime) -> None:
    """Mark events that JetStream has acknowledged."""
    await connection.execute(_MARK, ids, now)


async def read_backlog(connection: Connection) -> Backlog:
    """Return the number and age of events that are not published."""
    row = await connection.fetchrow(_BACKLOG)
    return Backlog(row["depth"], row["oldest"].timestamp()) if row and row["depth"] else Backlog(0)
