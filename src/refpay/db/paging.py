"""Pages of rows whose ids are in the order of time: newest first, a bounded number of rows at a time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from refpay.db.pool import Database, Row
from refpay.ids import first_id

# How many rows one page may look at for the sake of a filter that no index serves.
SCANNED_MAXIMUM: Final = 2_000
NEWEST: Final = f"ORDER BY id DESC LIMIT {SCANNED_MAXIMUM}"


@dataclass(frozen=True, slots=True)
class Span:
    """Which page: at most `limit` rows below the id `after`, since `begin` and before `end`."""

    after: UUID | None
    limit: int
    begin: datetime | None = None
    end: datetime | None = None


class Pages:
    """One listing: its rows are those of `scanned`, out of which its readers may filter.

    `scanned` finds rows with ids below $1 and not below $2 by values from $3 on, as many as `own`; if it
    ends in NEWEST, a page may be short, or empty, and still have a next one: it looked at all that it may.
    """

    def __init__(self, scanned: str, *, own: int, at: str, by: str) -> None:
        """Filter by the instant `at` and the column `by`."""
        begin, end, value, limit = (f"${own + number}" for number in range(3, 7))
        # The inner query is a fence: whatever is filtered outside, it reads one stretch of one index.
        self.page = f"""
            WITH found AS MATERIALIZED ({scanned}) SELECT * FROM found
            WHERE ({begin}::timestamptz IS NULL OR {at} >= {begin})
              AND ({end}::timestamptz IS NULL OR {at} < {end}) AND ({value}::text IS NULL OR {by} = {value})
            ORDER BY id DESC LIMIT {limit}
        """  # noqa: S608 - constants of ours
        last = f"SELECT id FROM ({scanned}) AS found ORDER BY id DESC OFFSET {SCANNED_MAXIMUM - 1} LIMIT 1"  # noqa: S608 - the same
        self.last_scanned = last if scanned.endswith(NEWEST) else None

    async def read(
        self, database: Database, span: Span, *own: str, by: str | None
    ) -> tuple[list[Row], UUID | None]:
        """Return the next page, and after which id the one after that goes on, if there is one."""
        # An id begins with the millisecond of its row's instant, so the primary order is the one of time.
        scope = (span.after or first_id(span.end, later_by_ms=1), first_id(span.begin), *own)
        limit, end = span.limit, None
        async with database.transaction() as connection:
            # One instant: the end of other rows than those that were looked at shows some of them twice.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            rows = await connection.fetch(self.page, *scope, span.begin, span.end, by, limit + 1)
            if len(rows) <= limit and self.last_scanned:
                end = await connection.fetchval(self.last_scanned, *scope)
        return rows[:limit], rows[limit - 1]["id"] if len(rows) > limit else end
