"""The only reader and writer of approvals."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from refpay.db.pool import Connection, Row

if TYPE_CHECKING:
    from refpay.identity.approvals import Approval

_LOCK_OPEN: Final = """
    SELECT * FROM identity.approval
    WHERE action = $1 AND subject_kind = $2 AND subject_id = $3 AND requested_by = $4
      AND status IN ('pending', 'approved') AND expires_at > $5
      AND ($6::bytea IS NULL OR fingerprint = $6 AND status = 'pending')
    ORDER BY status, requested_at DESC, id DESC LIMIT 1 FOR UPDATE
"""
_LOCK: Final = "SELECT * FROM identity.approval WHERE id = $1 FOR UPDATE"
_PENDING: Final = """
    SELECT * FROM identity.approval WHERE status = 'pending' AND expires_at > $1
    ORDER BY requested_at, id LIMIT $2
"""
_INSERT: Final = """
    INSERT INTO identity.approval (id, action, subject_kind, subject_id, content, fingerprint, reason,
                                   requested_by, requested_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_USE: Final = """
    UPDATE identity.approval SET status = 'used', used_at = $2
    WHERE id = $1 AND status = 'approved' AND expires_at > $2 RETURNING true
"""
_DECIDE: Final = """
    UPDATE identity.approval SET status = $2, decided_by = $3, decided_at = $4 WHERE id = $1
"""


async def lock_open(
    connection: Connection,
    action: str,
    subject_kind: str,
    subject_id: str,
    *,
    requested_by: str,
    now: datetime,
    pending: bytes | None = None,
) -> Row | None:
    """Return what is open and not too old, an approved one first, then the newest.

    With `pending` only what waits for a decision and has this fingerprint.
    """
    return await connection.fetchrow(_LOCK_OPEN, action, subject_kind, subject_id, requested_by, now, pending)


async def lock(connection: Connection, approval_id: UUID) -> Row | None:
    """Return one approval, whatever became of it."""
    return await connection.fetchrow(_LOCK, approval_id)


async def read_pending(connection: Connection, now: datetime, *, limit: int) -> Sequence[Row]:
    """Return what waits for a decision."""
    return await connection.fetch(_PENDING, now, limit)


async def insert(connection: Connection, approval: "Approval", *, fingerprint: bytes, now: datetime) -> None:
    """Write a pending approval down."""
    await connection.execute(
        _INSERT,
        approval.id,
        approval.wish.action,
        approval.wish.subject_kind,
        approval.wish.subject_id,
        json.dumps(approval.wish.content),
        fingerprint,
        approval.reason,
        approval.requested_by,
        now,
        approval.expires_at,
    )


async def mark_used(connection: Connection, approval_id: UUID, *, now: datetime) -> bool:
    """Mark an approved one as used up; return whether it could be."""
    return bool(await connection.fetchval(_USE, approval_id, now))


async def mark_decided(
    connection: Connection, approval_id: UUID, status: str, *, decided_by: str, now: datetime
) -> None:
    """Write down who decided what."""
    await connection.execute(_DECIDE, approval_id, status, decided_by, now)
