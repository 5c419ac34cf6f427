"""Read pages of rows with time-ordered ids, newest first. Each page reads a bounded number of rows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from refpay.db.pool import Database, Row
from refpay.ids import first_id

# How many rows one page may scan for a filter that has no index.
SCANNED_MAXIMUM: Final = 2_000
NEWEST: Final = f"ORDER BY id DESC LIMIT {SCANNED_MAXIMUM}"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The page that is wanted: at most `limit` rows with ids below `after`, from `begin` and before `end`."""

    after: UUID | None
    limit: int
    begin: datetime | None = None
    end: datetime | None = None


class PagedQuery:
    """A list of rows that can be filtered.

    `scanned` selects rows with ids below $1 and not below $2. It takes `own` further values, from $3 on. If
    it ends in NEWEST, each page scans a bounded number of rows, so a page may be short or empty and still
    have a next one.
    """

    def __init__(self, scanned: str, *, own: int, at: str, by: str) -> None:
        """Filter by the timestamp column `at` and the column `by`."""
        begin, end, value, limit = (f"${own + number}" for number in range(3, 7))
        # MATERIALIZED keeps the filters outside, so the inner query reads one range of one index.
        self.page = f"""
            WITH found AS MATERIALIZED ({scanned}) SELECT * FROM found
            WHERE ({begin}::timestamptz IS NULL OR {at} >= {begin})
              AND ({end}::timestamptz IS NULL OR {at} < {end}) AND ({value}::text IS NULL OR {by} = {value})
            ORDER BY id DESC LIMIT {limit}
        """  # noqa: S608 - constants of ours
        last = f"SELECT id FROM ({scanned}) AS found ORDER BY id DESC OFFSET {SCANNED_MAXIMUM - 1} LIMIT 1"  # noqa: S608 - the same
        self.last_scanned = last if scanned.endswith(NEWEST) else None

    async def read(
        self, database: Database, page_request: PageRequest, *own: str, by: str | None
    ) -> tuple[list[Row], UUID | None]:
        """Return the next page, and the id after which another page begins, if there is one."""
        # An id begins with the millisecond of its row, so the order of ids is the order of time.
        scope = (
            page_request.after or first_id(page_request.end, later_by_ms=1),
            first_id(page_request.begin),
            *own,
        )
        limit, end = page_request.limit, None
        async with database.transaction() as connection:
            # One snapshot: if rows came in between, the end of the scan would not fit its rows.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            rows = await connection.fetch(
                self.page, *scope, page_request.begin, page_request.end, by, limit + 1
            )
            if len(rows) <= limit and self.last_scanned:
                end = await connection.fetchval(self.last_scanned, *scope)
        return rows[:limit], rows[limit - 1]["id"] if len(rows) > limit else end
