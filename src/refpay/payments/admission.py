"""Puts what risk says into effect, on record and audited, in the first transaction of an authorization."""

from typing import Final

from refpay.audit.events import AuditEvent, SubjectKind
from refpay.audit.repository import record
from refpay.db.pool import Connection
from refpay.risk import repository
from refpay.risk.errors import RiskBlocked
from refpay.risk.model import Assessment, Attempt, CardRange

# Who blocked a range when nobody did.
ACTOR: Final = "risk"


async def refuse_blocked(
    connection: Connection, attempt: Attempt, assessment: Assessment, *, correlation_id: str
) -> None:
    """Raise RiskBlocked, a definitive answer, for what is blocked; what is not goes on."""
    if not assessment.blocked:
        return
    await repository.record_finding(connection, attempt, assessment)
    if assessment.newly_blocked is not None:
        changed = CardRange(attempt.card_range, True, ACTOR, attempt.at, assessment.newly_blocked)
        # Of several at once the first one blocks the range; the others find it blocked.
        if await repository.write_range(connection, changed):
            await record(connection, range_changed(changed, correlation_id))
    raise RiskBlocked(assessment)


async def note_suspicious(connection: Connection, attempt: Attempt, assessment: Assessment) -> None:
    """Put on record that a rule found an authorization suspicious, if one did."""
    if assessment.rule is not None:
        await repository.record_finding(connection, attempt, assessment)


def range_changed(after: CardRange, correlation_id: str, *, before: CardRange | None = None) -> AuditEvent:
    """Return the audit record of a range that was blocked or unblocked."""
    return AuditEvent(
        at=after.changed_at,
        actor=after.changed_by,
        action="card_range.blocked" if after.blocked else "card_range.unblocked",
        subject_kind=SubjectKind.CARD_RANGE,
        subject_id=after.card_range,
        before=None if before is None else {"blocked": before.blocked, "reason": before.reason},
        after={"blocked": after.blocked, "reason": after.reason},
        correlation_id=correlation_id,
    )
