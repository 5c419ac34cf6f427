"""List a merchant's payments, newest first."""

from typing import Final
from uuid import UUID

from refpay.db.paging import NEWEST, PagedQuery, PageRequest
from refpay.db.pool import Database
from refpay.payments.model import Payment, PaymentStatus
from refpay.payments.repository import SELECT_PAYMENT, make_payment

_OWN: Final = f"{SELECT_PAYMENT} WHERE id < $1 AND id >= $2 AND merchant = $3"
# Each half uses its own partial index. The first half has at most one row.
_HALVES: Final = " UNION ALL ".join(
    f"({_OWN} AND merchant_reference = $4 AND status {which} {NEWEST})"
    for which in ("NOT IN ('declined', 'failed')", "IN ('declined', 'failed')")
)
ALL: Final = PagedQuery(f"{_OWN} {NEWEST}", own=1, at="created_at", by="status")
OF_REFERENCE: Final = PagedQuery(
    f"SELECT * FROM ({_HALVES}) AS attempt {NEWEST}",  # noqa: S608 - constants of ours
    own=2,
    at="created_at",
    by="status",
)


async def list_payments(
    database: Database,
    merchant: str,
    page_request: PageRequest,
    *,
    status: PaymentStatus | None,
    reference: str | None,
) -> tuple[list[Payment], UUID | None]:
    """Return the next page, and the id after which the page after it begins, if there is one.

    Payments made while somebody pages through are before the first page.
    """
    pages, own = (ALL, (merchant,)) if reference is None else (OF_REFERENCE, (merchant, reference))
    rows, last = await pages.read(database, page_request, *own, by=status)
    return [make_payment(row) for row in rows], last
