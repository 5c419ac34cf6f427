"""Requests to replay dead letters, and what the worker last saw of them."""

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
# Waits for another transaction that asks for the same queue, and then sees its request.
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
    """A wish to replay a queue's dead letters up to a sequence, which is fixed when it begins."""

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
    """Write a request; False if another one for the queue has not begun yet."""
    return await connection.fetchval(_INSERT, *astuple(request)[:6]) is not None


async def read(connection: Connection, request_id: UUID) -> ReplayRequest | None:
    """Return a request."""
    return next(iter(await _read(connection, "WHERE id = $1", request_id)), None)


async def read_waiting(connection: Connection, queue: str) -> ReplayRequest | None:
    """Return the request of a queue that has not begun."""
    return next(iter(await _read(connection, "WHERE queue = $1 AND begun_at IS NULL", queue)), None)


async def read_open(connection: Connection, *, limit: int) -> Sequence[ReplayRequest]:
    """Return requests that have not ended, oldest first."""
    return await _read(connection, "WHERE finished_at IS NULL ORDER BY requested_at, id LIMIT $1", limit)


async def read_newest(connection: Connection, *, limit: int) -> Sequence[ReplayRequest]:
    """Return the latest requests, newest first."""
    return await _read(connection, "ORDER BY requested_at DESC, id DESC LIMIT $1", limit)


async def _read(connection: Connection, which: str, value: object) -> list[ReplayRequest]:
    return [ReplayRequest(**row) for row in await connection.fetch(f"{_REPLAY} {which}", value)]


async def begin(connection: Connection, request_id: UUID, now: datetime, up_to: int, found: int) -> int:
    """Fix what a request is about, once; return up to which letter, 0 if somebody else has carried it out."""
    return await connection.fetchval(_BEGIN, request_id, now, up_to, found) or 0


async def finish(connection: Connection, request_id: UUID, now: datetime) -> None:
    """Note that a request has been carried out, once."""
    await connection.execute(_FINISH, request_id, now)


async def show_depths(
    connection: Connection, depths: Mapping[tuple[str, str], int], observed_at: datetime
) -> None:
    """Write what the worker sees, by queue and reason."""
    queues, reasons = zip(*depths, strict=True)
    await connection.execute(_SHOW, queues, reasons, list(depths.values()), observed_at)


async def read_depths(connection: Connection) -> Sequence[dict[str, Any]]:
    """Return what the worker last saw: queue, reason, depth and when."""
    return [dict(row) for row in await connection.fetch(_DEPTHS)]
