"""Read recent authorizations of card ranges, and block or unblock ranges with an audit record."""

from collections.abc import Sequence
from dataclasses import astuple
from datetime import datetime
from typing import Final

from refpay.audit.events import AuditEvent, Facts, SubjectKind
from refpay.audit.repository import record
from refpay.db.pool import Connection
from refpay.risk.model import (
    Assessment,
    AuthorizationAttempt,
    CardRange,
    CardRangeActivity,
    RecentAuthorizations,
)

# The actor of a block that no person made.
ACTOR: Final = "risk"
NEWEST_MAXIMUM: Final = 256
_ASSESSMENTS_MAXIMUM: Final = 10_000
_SHOWN_MAXIMUM: Final = 20
_BLOCKED_SHOWN_MAXIMUM: Final = 200

# One round trip for all. Authorizations from before a range was unblocked do not count again.
_BLOCKED_AND_RECENT = """
    SELECT coalesce(known.blocked, false) AS blocked, recent.answered, recent.declined
    FROM unnest($1::text[], $2::boolean[]) WITH ORDINALITY AS asked (card_range, small, place)
    LEFT JOIN risk.card_range AS known ON known.card_range = asked.card_range
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE answered) AS answered, count(*) FILTER (WHERE declined) AS declined
        FROM (SELECT answered, declined, amount_minor FROM risk.small_authorization AS small
              WHERE asked.small AND small.card_range = asked.card_range
                AND small.at > greatest($3::timestamptz, known.changed_at)
              ORDER BY small.at DESC LIMIT $5) AS newest
        WHERE newest.amount_minor <= $4) AS recent
    ORDER BY asked.place
"""
_RECORD = "INSERT INTO risk.finding (operation_id, at, card_range, rule, blocked) VALUES ($1, $2, $3, $4, $5)"
_READ = "SELECT card_range, blocked, changed_by, changed_at, reason FROM risk.card_range"
_LOCK = f"{_READ} WHERE card_range = $1 FOR UPDATE"
_READ_BLOCKED = f"{_READ} WHERE blocked ORDER BY changed_at DESC, card_range LIMIT $1"
_WRITE = """
    INSERT INTO risk.card_range AS known (card_range, blocked, changed_by, changed_at, reason)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (card_range) DO UPDATE SET
        blocked = excluded.blocked, changed_by = excluded.changed_by,
        changed_at = excluded.changed_at, reason = excluded.reason
    WHERE known.blocked <> excluded.blocked RETURNING card_range
"""
_READ_BUSIEST = """
    SELECT found.card_range, found.signals, found.blocked, recent.authorizations, recent.declined
    FROM (SELECT card_range, count(rule) AS signals, count(*) FILTER (WHERE blocked) AS blocked
          FROM (SELECT card_range, rule, blocked FROM risk.finding WHERE at > $1
                ORDER BY at DESC LIMIT $3) AS newest
          GROUP BY card_range ORDER BY count(rule) DESC, count(*) DESC, card_range LIMIT $4) AS found
    CROSS JOIN LATERAL (
        SELECT count(*) AS authorizations, count(*) FILTER (WHERE declined) AS declined
        FROM (SELECT declined, amount_minor FROM risk.small_authorization AS small
              WHERE small.card_range = found.card_range AND small.at > $1
              ORDER BY small.at DESC LIMIT $5) AS newest
        WHERE newest.amount_minor <= $2) AS recent
    ORDER BY found.signals DESC, found.blocked DESC, found.card_range
"""


async def read_recent(
    connection: Connection,
    asked: Sequence[tuple[str, bool]],
    *,
    since: datetime,
    at_most_minor: int,
    seconds: float,
) -> Sequence[tuple[bool, RecentAuthorizations]]:
    """Return for each range whether it is blocked, and its newest small authorizations.

    The second is read where it is asked for, at most `NEWEST_MAXIMUM` rows. Raises TimeoutError after
    `seconds`.
    """
    ranges, wanted = [card_range for card_range, _ in asked], [small for _, small in asked]
    rows = await connection.fetch(
        _BLOCKED_AND_RECENT, ranges, wanted, since, at_most_minor, NEWEST_MAXIMUM, timeout=seconds
    )
    return [(row["blocked"], RecentAuthorizations(row["answered"], row["declined"])) for row in rows]


async def record_assessment(
    connection: Connection, attempt: AuthorizationAttempt, assessment: Assessment
) -> None:
    """Write the assessment of an authorization."""
    await connection.execute(
        _RECORD, attempt.operation_id, attempt.at, attempt.card_range, assessment.rule, assessment.blocked
    )


async def lock_range(connection: Connection, card_range: str) -> CardRange | None:
    """Return a range if it was ever blocked, and lock it until this transaction ends."""
    row = await connection.fetchrow(_LOCK, card_range)
    return None if row is None else CardRange(**row)


async def write_range(connection: Connection, changed: CardRange) -> bool:
    """Block or unblock a range. Return False if it is so already."""
    return await connection.fetchval(_WRITE, *astuple(changed)) is not None


async def read_blocked(connection: Connection) -> Sequence[CardRange]:
    """Return the blocked ranges, newest first, at most a bounded number."""
    return [CardRange(**row) for row in await connection.fetch(_READ_BLOCKED, _BLOCKED_SHOWN_MAXIMUM)]


async def read_busiest(
    connection: Connection, *, since: datetime, at_most_minor: int
) -> Sequence[CardRangeActivity]:
    """Return the ranges that were suspicious or blocked since an instant, most signals first."""
    rows = await connection.fetch(
        _READ_BUSIEST, since, at_most_minor, _ASSESSMENTS_MAXIMUM, _SHOWN_MAXIMUM, NEWEST_MAXIMUM
    )
    return [CardRangeActivity(**row) for row in rows]


async def record_blocked(
    connection: Connection, attempt: AuthorizationAttempt, assessment: Assessment, *, correlation_id: str
) -> None:
    """Record an authorization that is blocked, and block its card range if this one made risk decide so."""
    await record_assessment(connection, attempt, assessment)
    if assessment.newly_blocked is not None:
        changed = CardRange(attempt.card_range, True, ACTOR, attempt.at, assessment.newly_blocked)
        # If several do so at once, the first one blocks the range and the others find it blocked.
        if await write_range(connection, changed):
            await record(connection, _audit(changed, correlation_id))


async def record_suspicious(
    connection: Connection, attempt: AuthorizationAttempt, assessment: Assessment
) -> None:
    """Record an authorization that a rule found suspicious."""
    if assessment.rule is not None:
        await record_assessment(connection, attempt, assessment)


async def change_range(
    connection: Connection, wanted: CardRange, correlation_id: str
) -> tuple[CardRange | None, bool]:
    """Block or unblock a range. Return its state, None if it was never blocked, and whether it changed."""
    before = await lock_range(connection, wanted.card_range)
    if before is None and not wanted.blocked:
        return None, False
    if not await write_range(connection, wanted):
        # It is so already. Without a row before, another transaction has just blocked it.
        return before or await lock_range(connection, wanted.card_range) or wanted, False
    await record(connection, _audit(wanted, correlation_id, before=before))
    return wanted, True


def _audit(after: CardRange, correlation_id: str, *, before: CardRange | None = None) -> AuditEvent:
    what = "card_range.blocked" if after.blocked else "card_range.unblocked"
    about = (after.changed_at, after.changed_by, what, SubjectKind.CARD_RANGE, after.card_range)
    was: Facts | None = None if before is None else {"blocked": before.blocked, "reason": before.reason}
    return AuditEvent(*about, was, {"blocked": after.blocked, "reason": after.reason}, correlation_id)
