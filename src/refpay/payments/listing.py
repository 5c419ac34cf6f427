"""Lists a merchant's payments, newest first, a bounded number of rows at a time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from refpay.db.pool import Database
from refpay.ids import first_id
from refpay.payments.model import Payment, PaymentStatus
from refpay.payments.repository import SELECT_PAYMENT, make_payment

# How many rows one page may look at for the sake of a filter that no index serves.
SCANNED_MAXIMUM: Final = 2_000
_SCANNED: Final = f"""
    {SELECT_PAYMENT} WHERE merchant = $1 AND id < $2 AND id >= $3 AND {{}}
    ORDER BY id DESC LIMIT {SCANNED_MAXIMUM}
"""
_EVERY: Final = _SCANNED.format("$4::text IS NULL")
# Each half by its own partial index; of the first there is at most one.
_HALVES: Final = " UNION ALL ".join(
    f"({_SCANNED.format(f'merchant_reference = $4 AND status {which}')})"
    for which in ("NOT IN ('declined', 'failed')", "IN ('declined', 'failed')")
)
_ATTEMPTS: Final = f"SELECT * FROM ({_HALVES}) AS attempt ORDER BY id DESC LIMIT {SCANNED_MAXIMUM}"  # noqa: S608 - constants
# The inner query is a fence: whatever is filtered outside, it reads one stretch of one index.
_LIST: Final = """
    WITH found AS MATERIALIZED ({}) SELECT * FROM found
    WHERE ($5::timestamptz IS NULL OR created_at >= $5) AND ($6::timestamptz IS NULL OR created_at < $6)
      AND ($7::text IS NULL OR status = $7)
    ORDER BY id DESC LIMIT $8
"""
_LAST_SCANNED: Final = f"SELECT id FROM ({{}}) AS found ORDER BY id DESC OFFSET {SCANNED_MAXIMUM - 1} LIMIT 1"  # noqa: S608 - constants
_ALL: Final = _LIST.format(_EVERY)
_END: Final = _LAST_SCANNED.format(_EVERY)
_BY_REFERENCE: Final = _LIST.format(_ATTEMPTS)
_END_BY_REFERENCE: Final = _LAST_SCANNED.format(_ATTEMPTS)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which payments of a merchant; `created_from` belongs to the span, `created_to` does not."""

    status: PaymentStatus | None = None
    merchant_reference: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Payments, and after which id the next page goes on; None if there is nothing more.

    A page may be short, or empty, and still have a next one: it looked at all the rows that it may.
    """

    payments: list[Payment]
    after: UUID | None


class Listing:
    """The door to many payments at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, merchant: str, wanted: Filter, *, after: UUID | None, limit: int) -> Page:
        """Return the next page; what is paid while somebody turns pages is before the first one."""
        # An id begins with the millisecond of `created_at`, so the primary order is the one of time.
        upper = after or first_id(wanted.created_to, later_by_ms=1)
        lower = first_id(wanted.created_from)
        scope = (merchant, upper, lower, wanted.merchant_reference)
        kept = (wanted.created_from, wanted.created_to, wanted.status)
        every = wanted.merchant_reference is None
        end = None
        async with self._database.transaction() as connection:
            # One instant: the end of other rows than those that were looked at shows some of them twice.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            rows = await connection.fetch(_ALL if every else _BY_REFERENCE, *scope, *kept, limit + 1)
            if len(rows) <= limit:
                end = await connection.fetchval(_END if every else _END_BY_REFERENCE, *scope)
        payments = [make_payment(row) for row in rows[:limit]]
        return Page(payments, payments[-1].id if len(rows) > limit else end)
