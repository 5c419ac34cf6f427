"""Reads audit records, newest first, a bounded number of rows at a time."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from refpay.audit.events import SubjectKind
from refpay.db.pool import Database
from refpay.ids import first_id

# How many rows one page may look at for the sake of a filter that no index serves.
SCANNED_MAXIMUM: Final = 2_000
# The inner query is a fence: whatever is filtered outside, it reads one stretch of one index.
_LIST: Final = """
    WITH found AS MATERIALIZED (
        SELECT id, seq, at, actor, action, subject_kind, subject_id, before, after, correlation_id
        FROM audit.event WHERE id < $1 AND id >= $2 {found})
    SELECT * FROM found
    WHERE ($4::timestamptz IS NULL OR at >= $4) AND ($5::timestamptz IS NULL OR at < $5)
      AND ($6::text IS NULL OR actor = $6)
    ORDER BY id DESC LIMIT $3
"""
_ALL: Final = _LIST.format(found=f"ORDER BY id DESC LIMIT {SCANNED_MAXIMUM}")
_OF_SUBJECT: Final = _LIST.format(found="AND subject_kind = $7 AND subject_id = $8")
_LAST_SCANNED: Final = (
    "SELECT id FROM audit.event WHERE id < $1 AND id >= $2 ORDER BY id DESC OFFSET $3 LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records; a subject is its kind and its id. `at_from` belongs to the span, `at_to` does not."""

    subject: tuple[SubjectKind, str] | None = None
    actor: str | None = None
    at_from: datetime | None = None
    at_to: datetime | None = None


async def read_trail(
    database: Database, wanted: Filter, *, after: UUID | None, limit: int
) -> tuple[Sequence[dict[str, Any]], UUID | None]:
    """Return the next page of all records that fit, and after which id the next one goes on, if it does.

    A page may be short, or empty, and still have a next one: it looked at all the rows that it may.
    """
    # An id begins with the millisecond of `at`, so the primary order is the one of time.
    upper, lower = after or first_id(wanted.at_to, later_by_ms=1), first_id(wanted.at_from)
    rest = (limit + 1, wanted.at_from, wanted.at_to, wanted.actor)
    end = None
    async with database.transaction() as connection:
        # One instant: the end of other rows than those that were looked at shows some of them twice.
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        if wanted.subject is not None:
            rows = await connection.fetch(_OF_SUBJECT, upper, lower, *rest, *wanted.subject)
        else:
            rows = await connection.fetch(_ALL, upper, lower, *rest)
            if len(rows) <= limit:
                end = await connection.fetchval(_LAST_SCANNED, upper, lower, SCANNED_MAXIMUM - 1)
    events = [
        {**row, "before": row["before"] and json.loads(row["before"]), "after": json.loads(row["after"])}
        for row in rows[:limit]
    ]
    return events, rows[limit - 1]["id"] if len(rows) > limit else end
