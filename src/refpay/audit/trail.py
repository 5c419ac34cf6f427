"""Reads audit records, newest first."""

import json
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from refpay.audit.events import SubjectKind
from refpay.db.paging import NEWEST, Pages, Span
from refpay.db.pool import Database

_FOUND: Final = """
    SELECT id, seq, at, actor, action, subject_kind, subject_id, before, after, correlation_id
    FROM audit.event WHERE id < $1 AND id >= $2
"""
ALL: Final = Pages(_FOUND + NEWEST, own=0, at="at", by="actor")
# All of one subject are looked at, by its own index.
OF_SUBJECT: Final = Pages(f"{_FOUND} AND subject_kind = $3 AND subject_id = $4", own=2, at="at", by="actor")


async def read_trail(
    database: Database, span: Span, *, subject: tuple[SubjectKind, str] | None, actor: str | None
) -> tuple[Sequence[dict[str, Any]], UUID | None]:
    """Return the next page of all records that fit, and after which id another one goes on, if it does."""
    pages = ALL if subject is None else OF_SUBJECT
    rows, last = await pages.read(database, span, *(subject or ()), by=actor)
    events = [
        {**row, "before": row["before"] and json.loads(row["before"]), "after": json.loads(row["after"])}
        for row in rows
    ]
    return events, last
