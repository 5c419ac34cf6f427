"""Two persons where money moves: one asks for exactly this, another agrees, and it is done once."""

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
# An approved one first, then the newest.
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


class Stage(StrEnum):
    """How far an approval has come; there is no way back."""

    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"
    USED = "used"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks to do; `content` says all of it: what, to whom, how much."""

    action: str
    subject_kind: SubjectKind
    subject_id: str
    content: Mapping[str, Any]

    @property
    def fingerprint(self) -> bytes:
        """Return a digest of exactly this."""
        parts = (self.action, self.subject_kind, self.subject_id, self.content)
        return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).digest()


@dataclass(frozen=True, slots=True)
class Asker:
    """Who acts, in which request, and when."""

    name: str
    correlation_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Approval(Wish):
    """A wish that was put to a second person, with all that whoever agrees has to see."""

    approval_id: UUID
    reason: str
    requested_by: str
    expires_at: datetime
    status: Stage
    decided_by: str | None

    def is_for(self, wish: Wish, status: Stage) -> bool:
        """Return whether it has come so far, for exactly this."""
        return self.status == status and self.fingerprint == wish.fingerprint


async def find_open(
    connection: Connection, wish: Wish, asker: Asker, *, pending: bytes | None = None
) -> Approval | None:
    """Return the asker's approval for this action and subject, whatever its content; an approved one first.

    With `pending` only one that waits and has this fingerprint. Locked until the end of the transaction.
    """
    subject = (wish.subject_kind, wish.subject_id)
    row = await connection.fetchrow(_LOCK_OPEN, wish.action, *subject, asker.name, asker.now, pending)
    return None if row is None else _read(row)


async def ask(connection: Connection, wish: Wish, asker: Asker, *, reason: str) -> Approval:
    """Put a wish to a second person; returns what is pending for exactly this already, if anything."""
    if found := await find_open(connection, wish, asker, pending=wish.fingerprint):
        return found
    said = (wish.action, wish.subject_kind, wish.subject_id)
    approval_id, expires_at = mint_id(asker.now), asker.now + LIFETIME
    approval = Approval(
        *said, wish.content, approval_id, reason, asker.name, expires_at, Stage.PENDING, decided_by=None
    )
    digest = wish.fingerprint
    await connection.execute(
        _INSERT,
        *(approval_id, *said, json.dumps(wish.content), digest, reason, asker.name, asker.now, expires_at),
    )
    await record(connection, _audit(approval, asker, "approval.requested", None, reason))
    return approval


async def use(connection: Connection, approval: Approval, wish: Wish, asker: Asker) -> bool:
    """Use an approval up for exactly this wish; False if it is not approved, not for this, or too old.

    To be called in the transaction that orders what was approved.
    """
    if not approval.is_for(wish, Stage.APPROVED) or approval.requested_by != asker.name:
        return False
    if not await connection.fetchval(_USE, approval.approval_id, asker.now):
        return False
    await record(connection, _audit(approval, asker, "approval.used", Stage.APPROVED, approval.reason))
    return True


async def decide(
    connection: Connection, approval_id: UUID, decider: Asker, *, agreed: bool, reason: str
) -> Approval:
    """Agree to a wish or refuse it; once, in time, and never one's own.

    Raises ApprovalUnknown, SecondPersonNeeded or ApprovalRefused.
    """
    row = await connection.fetchrow(_LOCK, approval_id)
    if row is None:
        raise ApprovalUnknown("there is no such approval")
    approval = _read(row)
    if approval.requested_by == decider.name:
        raise SecondPersonNeeded("whoever asked for it cannot decide: another person has to")
    if approval.status != Stage.PENDING:
        raise ApprovalRefused(f"the approval is decided already: {approval.status}")
    if decider.now >= approval.expires_at:
        raise ApprovalRefused("the approval has run out: let it be asked for again")
    status = Stage.APPROVED if agreed else Stage.REFUSED
    await connection.execute(_DECIDE, approval_id, status, decider.name, decider.now)
    await record(connection, _audit(approval, decider, f"approval.{status}", Stage.PENDING, reason))
    return replace(approval, status=status, decided_by=decider.name)


async def read_pending(connection: Connection, now: datetime) -> Sequence[Approval]:
    """Return what waits for a second person, the oldest first, at most SHOWN_MAXIMUM."""
    return [_read(row) for row in await connection.fetch(_PENDING, now, SHOWN_MAXIMUM)]


def _read(row: Row) -> Approval:
    return Approval(**{**row, "content": json.loads(row["content"])})


def _audit(approval: Approval, actor: Asker, action: str, before: Stage | None, reason: str) -> AuditEvent:
    which = {"approval_id": str(approval.approval_id)}
    after = {
        **which,
        "status": "pending" if before is None else action.partition(".")[2],
        "wish": approval.action,
        "fingerprint": approval.fingerprint.hex(),
        "requested_by": approval.requested_by,
        "reason": reason,
    }
    what = (actor.name, action, approval.subject_kind, approval.subject_id)
    was = None if before is None else {**which, "status": before}
    return AuditEvent(actor.now, *what, was, after, actor.correlation_id)
