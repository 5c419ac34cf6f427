"""Dual control: one person asks to move money, another approves exactly that, and it is done once."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from refpay.audit.events import AuditEvent, SubjectKind
from refpay.audit.repository import record
from refpay.db.pool import Connection, Row
from refpay.identity.errors import ApprovalRefused, ApprovalUnknown, SecondPersonNeeded
from refpay.ids import mint_id

LIFETIME: Final = timedelta(minutes=15)
SHOWN_MAXIMUM: Final = 100

_SELECT: Final = """
    SELECT action, subject_kind, subject_id, content, id AS approval_id, reason, requested_by, expires_at,
           status, decided_by
    FROM identity.approval
"""
# Approved ones sort before pending ones, then the newest first.
_LOCK_OPEN: Final = f"""
    {_SELECT}
    WHERE action = $1 AND subject_kind = $2 AND subject_id = $3 AND requested_by = $4
      AND status IN ('pending', 'approved') AND expires_at > $5
      AND ($6::bytea IS NULL OR fingerprint = $6 AND status = 'pending')
    ORDER BY status, requested_at DESC, id DESC LIMIT 1 FOR UPDATE
"""
_LOCK: Final = f"{_SELECT} WHERE id = $1 FOR UPDATE"
_PENDING: Final = f"{_SELECT} WHERE status = 'pending' AND expires_at > $1 ORDER BY requested_at, id LIMIT $2"
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


class ApprovalStatus(StrEnum):
    """The status of an approval. It only moves forward."""

    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"
    USED = "used"


@dataclass(frozen=True, slots=True)
class ApprovalCommand:
    """What somebody asks to do. `content` holds all of it: what, to whom, how much."""

    action: str
    subject_kind: SubjectKind
    subject_id: str
    content: Mapping[str, Any]

    @property
    def fingerprint(self) -> bytes:
        """Return a digest of the whole command."""
        parts = (self.action, self.subject_kind, self.subject_id, self.content)
        return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).digest()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, in which request, and when."""

    name: str
    correlation_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Approval(ApprovalCommand):
    """A command that a second person has to approve, with everything that this person needs to see."""

    approval_id: UUID
    reason: str
    requested_by: str
    expires_at: datetime
    status: ApprovalStatus
    decided_by: str | None

    def is_for(self, requested: ApprovalCommand, status: ApprovalStatus) -> bool:
        """Return whether the approval has this status and is for exactly this command."""
        return self.status == status and self.fingerprint == requested.fingerprint


async def find_open(
    connection: Connection, requested: ApprovalCommand, requester: Actor, *, pending: bytes | None = None
) -> Approval | None:
    """Return the requester's open approval for this action and subject, approved ones first, and lock it.

    Its content may differ. With `pending`, only a pending approval with this fingerprint is returned.
    """
    subject = (requested.subject_kind, requested.subject_id)
    row = await connection.fetchrow(
        _LOCK_OPEN, requested.action, *subject, requester.name, requester.now, pending
    )
    return None if row is None else _read(row)


async def request(
    connection: Connection, requested: ApprovalCommand, requester: Actor, *, reason: str
) -> Approval:
    """Request an approval. Returns the pending one if exactly this was requested before."""
    if found := await find_open(connection, requested, requester, pending=requested.fingerprint):
        return found
    approval = Approval(
        requested.action,
        requested.subject_kind,
        requested.subject_id,
        requested.content,
        approval_id=mint_id(requester.now),
        reason=reason,
        requested_by=requester.name,
        expires_at=requester.now + LIFETIME,
        status=ApprovalStatus.PENDING,
        decided_by=None,
    )
    await connection.execute(
        _INSERT,
        approval.approval_id,
        approval.action,
        approval.subject_kind,
        approval.subject_id,
        json.dumps(approval.content),
        approval.fingerprint,
        reason,
        requester.name,
        requester.now,
        approval.expires_at,
    )
    await record(connection, _audit(approval, requester, "approval.requested", None, reason))
    return approval


async def use(
    connection: Connection, approval: Approval, requested: ApprovalCommand, requester: Actor
) -> bool:
    """Use up an approval for exactly this command.

    Returns False if it is not approved, not for this, or expired.

    Call it in the transaction that carries out what was approved.
    """
    if not approval.is_for(requested, ApprovalStatus.APPROVED) or approval.requested_by != requester.name:
        return False
    if not await connection.fetchval(_USE, approval.approval_id, requester.now):
        return False
    await record(
        connection, _audit(approval, requester, "approval.used", ApprovalStatus.APPROVED, approval.reason)
    )
    return True


async def decide(
    connection: Connection, approval_id: UUID, decider: Actor, *, agreed: bool, reason: str
) -> Approval:
    """Approve or refuse a command: once, before it expires, and never one's own.

    Raises ApprovalUnknown, SecondPersonNeeded or ApprovalRefused.
    """
    row = await connection.fetchrow(_LOCK, approval_id)
    if row is None:
        raise ApprovalUnknown("There is no such approval.")
    approval = _read(row)
    if approval.requested_by == decider.name:
        raise SecondPersonNeeded("You asked for it yourself: another person has to decide.")
    if approval.status != ApprovalStatus.PENDING:
        raise ApprovalRefused(f"The approval is already {approval.status}.")
    if decider.now >= approval.expires_at:
        raise ApprovalRefused("The approval has expired: it has to be requested again.")
    status = ApprovalStatus.APPROVED if agreed else ApprovalStatus.REFUSED
    await connection.execute(_DECIDE, approval_id, status, decider.name, decider.now)
    await record(connection, _audit(approval, decider, f"approval.{status}", ApprovalStatus.PENDING, reason))
    return replace(approval, status=status, decided_by=decider.name)


async def read_pending(connection: Connection, now: datetime) -> Sequence[Approval]:
    """Return pending approvals, oldest first, at most SHOWN_MAXIMUM."""
    return [_read(row) for row in await connection.fetch(_PENDING, now, SHOWN_MAXIMUM)]


def _read(row: Row) -> Approval:
    return Approval(**{**row, "content": json.loads(row["content"])})


def _audit(
    approval: Approval, actor: Actor, action: str, before: ApprovalStatus | None, reason: str
) -> AuditEvent:
    which = {"approval_id": str(approval.approval_id)}
    after = {
        **which,
        "status": "pending" if before is None else action.partition(".")[2],
        "action": approval.action,
        "fingerprint": approval.fingerprint.hex(),
        "requested_by": approval.requested_by,
        "reason": reason,
    }
    what = (actor.name, action, approval.subject_kind, approval.subject_id)
    was = None if before is None else {**which, "status": before}
    return AuditEvent(actor.now, *what, was, after, actor.correlation_id)
