"""Puts into effect what risk or a person says: on record and audited, in the caller's transaction."""

from typing import Final

from refpay.audit.events import AuditEvent, Facts, SubjectKind
from refpay.audit.repository import record
from refpay.db.pool import Connection
from refpay.risk.errors import RiskBlocked
from refpay.risk.model import Assessment, Attempt, CardRange
from refpay.risk.repository import lock_range, read_blocked, read_busiest, record_finding, write_range

__all__ = ["change_range", "note_suspicious", "read_blocked", "read_busiest", "refuse_blocked"]

# Who blocked a range when nobody did.
ACTOR: Final = "risk"


async def refuse_blocked(
    connection: Connection, attempt: Attempt, assessment: Assessment, *, correlation_id: str
) -> None:
    """Raise RiskBlocked, a definitive answer, for what is blocked; what is not goes on."""
    if not assessment.blocked:
        return
    await record_finding(connection, attempt, assessment)
    if assessment.newly_blocked is not None:
        changed = CardRange(attempt.card_range, True, ACTOR, attempt.at, assessment.newly_blocked)
        # Of several at once the first one blocks the range; the others find it blocked.
        if await write_range(connection, changed):
            await record(connection, _audit(changed, correlation_id))
    raise RiskBlocked(assessment)


async def note_suspicious(connection: Connection, attempt: Attempt, assessment: Assessment) -> None:
    """Put on record that a rule found an authorization suspicious, if one did."""
    if assessment.rule is not None:
        await record_finding(connection, attempt, assessment)


async def change_range(
    connection: Connection, wanted: CardRange, correlation_id: str
) -> tuple[CardRange | None, bool]:
    """Block or unblock a range; return how it stands, None if never blocked, and whether that is new."""
    before = await lock_range(connection, wanted.card_range)
    if before is None and not wanted.blocked:
        return None, False
    if not await write_range(connection, wanted):
        # It is so already; without a row before, somebody else blocked it a moment ago.
        return before or await lock_range(connection, wanted.card_range) or wanted, False
    await record(connection, _audit(wanted, correlation_id, before=before))
    return wanted, True


def _audit(after: CardRange, correlation_id: str, *, before: CardRange | None = None) -> AuditEvent:
    what = "card_range.blocked" if after.blocked else "card_range.unblocked"
    about = (after.changed_at, after.changed_by, what, SubjectKind.CARD_RANGE, after.card_range)
    was: Facts | None = None if before is None else {"blocked": before.blocked, "reason": before.reason}
    return AuditEvent(*about, was, {"blocked": after.blocked, "reason": after.reason}, correlation_id)
