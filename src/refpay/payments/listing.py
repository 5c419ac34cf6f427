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
# The inner query is a fence: whatever is filtered outside, it reads one stretch of one index.
_SCANNED: Final = f"""
    {SELECT_PAYMENT} WHERE merchant = $1 AND id < $2 AND id >= $3 ORDER BY id DESC LIMIT {SCANNED_MAXIMUM}
"""
# Each half by its own partial index.
_OF_REFERENCE: Final = f"""
    {SELECT_PAYMENT}
    WHERE merchant = $1 AND id < $2 AND id >= $3 AND (
        merchant_reference = $8 AND status NOT IN ('declined', 'failed')
        OR merchant_reference = $8 AND status IN ('declined', 'failed'))
"""
_LIST: Final = """
    WITH found AS MATERIALIZED ({found}) SELECT * FROM found
    WHERE ($5::timestamptz IS NULL OR created_at >= $5) AND ($6::timestamptz IS NULL OR created_at < $6)
      AND ($7::text IS NULL OR status = $7)
    ORDER BY id DESC LIMIT $4
"""
_ALL: Final = _LIST.format(found=_SCANNED)
_BY_REFERENCE: Final = _LIST.format(found=_OF_REFERENCE)
_LAST_SCANNED: Final = """
    SELECT id FROM payments.payment WHERE merchant = $1 AND id < $2 AND id >= $3
    ORDER BY id DESC OFFSET $4 LIMIT 1
"""


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
        span = (wanted.created_from, wanted.created_to, wanted.status)
        end = None
        async with self._database.transaction() as connection:
            if wanted.merchant_reference is not None:
                reference = wanted.merchant_reference
                rows = await connection.fetch(
                    _BY_REFERENCE, merchant, upper, lower, limit + 1, *span, reference
                )
            else:
                rows = await connection.fetch(_ALL, merchant, upper, lower, limit + 1, *span)
                if len(rows) <= limit:
                    end = await connection.fetchval(
                        _LAST_SCANNED, merchant, upper, lower, SCANNED_MAXIMUM - 1
                    )
        payments = [make_payment(row) for row in rows[:limit]]
        return Page(payments, payments[-1].id if len(rows) > limit else end)
