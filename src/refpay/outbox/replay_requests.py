"""Store requests for replays of dead letters, and the numbers that the worker last counted."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from refpay.db.pool import Connection

_REPLAY = """
    SELECT id, queue, requested_by, requested_at, reason, correlation_id, begun_at, up_to, found, finished_at
    FROM messages.replay
"""
# Waits for a concurrent request for the same queue, and then finds it.
_INSERT = """
    INSERT INTO messages.replay (id, queue, requested_by, requested_at, reason, correlation_id)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (queue) WHERE begun_at IS NULL DO NOTHING RETURNING id
"""
_BEGIN = """
    UPDATE messages.replay SET begun_at = coalesce(begun_at, $2), up_to = coalesce(up_to, $3),
        found = coalesce(found, $4)
    WHERE id = $1 AND finished_at IS NULL RETURNING up_to
"""
_FINISH = "UPDATE messages.replay SET finished_at = $2 WHERE id = $1 AND finished_at IS NULL"
_SHOW = """
    INSERT INTO messages.dead_letter_depth (queue, reason, depth, observed_at)
    SELECT seen.*, $4::timestamptz FROM unnest($1::text[], $2::text[], $3::bigint[]) AS seen
    ON CONFLICT (queue, reason) DO UPDATE SET depth = excluded.depth, observed_at = excluded.observed_at
"""
_DEPTHS = "SELECT queue, reason, depth, observed_at FROM messages.dead_letter_depth ORDER BY queue, reason"


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """A request to replay a queue's dead letters up to a sequence, which is fixed when the replay begins."""

    id: UUID
    queue: str
    requested_by: str
    requested_at: datetime
    reason: str
    correlation_id: str
    begun_at: datetime | None = None
    up_to: int | None = None
    found: int | None = None
    finished_at: datetime | None = None


async def insert(connection: Connection, request: ReplayRequest) -> bool:
    """Store a request; return False if another request for the queue has not begun yet."""
    return await connection.fetchval(_INSERT, *astuple(request)[:6]) is not None


async def read(connection: Connection, request_id: UUID) -> ReplayRequest | None:
    """Return a request, or None."""
    return next(iter(await _read(connection, "WHERE id = $1", request_id)), None)


async def read_waiting(connection: Connection, queue: str) -> ReplayRequest | None:
    """Return the request for a queue that has not begun, or None."""
    return next(iter(await _read(connection, "WHERE queue = $1 AND begun_at IS NULL", queue)), None)


async def read_open(connection: Connection, *, limit: int) -> Sequence[ReplayRequest]:
    """Return requests that are not finished, oldest first."""
    return await _read(connection, "WHERE finished_at IS NULL ORDER BY requested_at, id LIMIT $1", limit)


async def read_newest(connection: Connection, *, limit: int) -> Sequence[ReplayRequest]:
    """Return the latest requests, newest first."""
    return await _read(connection, "ORDER BY requested_at DESC, id DESC LIMIT $1", limit)


async def _read(connection: Connection, which: str, value: object) -> list[ReplayRequest]:
    return [ReplayRequest(**row) for row in await connection.fetch(f"{_REPLAY} {which}", value)]


async def begin(connection: Connection, request_id: UUID, now: datetime, up_to: int, found: int) -> int:
    """Fix a request's last letter, once, and return it; return 0 if the request is finished."""
    return await connection.fetchval(_BEGIN, request_id, now, up_to, found) or 0


async def finish(connection: Connection, request_id: UUID, now: datetime) -> None:
    """Mark a request as finished, once."""
    await connection.execute(_FINISH, request_id, now)


async def show_depths(
    connection: Connection, depths: Mapping[tuple[str, str], int], observed_at: datetime
) -> None:
    """Store what the worker counted, by queue and reason."""
    queues, reasons = zip(*depths, strict=True)
    await connection.execute(_SHOW, queues, reasons, list(depths.values()), observed_at)


async def read_depths(connection: Connection) -> Sequence[dict[str, Any]]:
    """Return what the worker last counted: queue, reason, depth and when."""
    return [dict(row) for row in await connection.fetch(_DEPTHS)]
