"""Read audit records, newest first."""

import json
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from refpay.audit.events import SubjectKind
from refpay.db.paging import NEWEST, PagedQuery, PageRequest
from refpay.db.pool import Database

_FOUND: Final = """
    SELECT id, seq, at, actor, action, subject_kind, subject_id, before, after, correlation_id
    FROM audit.event WHERE id < $1 AND id >= $2
"""
ALL: Final = PagedQuery(_FOUND + NEWEST, own=0, at="at", by="actor")
# Records of one subject have an index of their own, so all of them are read.
OF_SUBJECT: Final = PagedQuery(
    f"{_FOUND} AND subject_kind = $3 AND subject_id = $4", own=2, at="at", by="actor"
)


async def read_trail(
    database: Database,
    page_request: PageRequest,
    *,
    subject: tuple[SubjectKind, str] | None,
    actor: str | None,
) -> tuple[Sequence[dict[str, Any]], UUID | None]:
    """Return the next page of matching records, and the id after which another begins, if one does."""
    pages = ALL if subject is None else OF_SUBJECT
    rows, last = await pages.read(database, page_request, *(subject or ()), by=actor)
    events = [
        {**row, "before": row["before"] and json.loads(row["before"]), "after": json.loads(row["after"])}
        for row in rows
    ]
    return events, last
