"""The only reader and writer of the outbox's rows."""

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
    """An event that is still to be published, as it was written."""

    id: UUID
    type: str
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


async def append(connection: Connection, event: Event, headers: Mapping[str, str] | None = None) -> None:
    """Write an event inside the caller's transaction, the change's own; `headers` go on its message."""
    values = (event.id, event.operation_id, event.type, event.encode(), event.at, json.dumps(headers or {}))
    await connection.execute(_INSERT, *values)


async def read_unpublished(connection: Connection, *, limit: int) -> Sequence[Unpublished]:
    """Return events not yet published, whenever they committed, in the order of writing."""
    rows = await connection.fetch(_UNPUBLISHED, limit)
    return [Unpublished(**{**dict(row), "headers": json.loads(row["headers"])}) for row in rows]


async def mark_published(connection: Connection, ids: Sequence[UUID], now: datetime) -> None:
    """Note that JetStream has acknowledged these events."""
    await connection.execute(_MARK, ids, now)


async def read_backlog(connection: Connection) -> Backlog:
    """Return what is still to be published."""
    row = await connection.fetchrow(_BACKLOG)
    return Backlog(row["depth"], row["oldest"].timestamp()) if row and row["depth"] else Backlog(0)
