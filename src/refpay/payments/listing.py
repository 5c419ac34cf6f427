"""The door to many payments at once: a merchant's, newest first."""

from typing import Final
from uuid import UUID

from refpay.db.paging import NEWEST, Pages, Span
from refpay.db.pool import Database
from refpay.payments.model import Payment, PaymentStatus
from refpay.payments.repository import SELECT_PAYMENT, make_payment

_OWN: Final = f"{SELECT_PAYMENT} WHERE id < $1 AND id >= $2 AND merchant = $3"
# Each half by its own partial index; of the first there is at most one.
_HALVES: Final = " UNION ALL ".join(
    f"({_OWN} AND merchant_reference = $4 AND status {which} {NEWEST})"
    for which in ("NOT IN ('declined', 'failed')", "IN ('declined', 'failed')")
)
ALL: Final = Pages(f"{_OWN} {NEWEST}", own=1, at="created_at", by="status")
OF_REFERENCE: Final = Pages(
    f"SELECT * FROM ({_HALVES}) AS attempt {NEWEST}",  # noqa: S608 - constants of ours
    own=2,
    at="created_at",
    by="status",
)


async def list_payments(
    database: Database, merchant: str, span: Span, *, status: PaymentStatus | None, reference: str | None
) -> tuple[list[Payment], UUID | None]:
    """Return the next page, and after which id another one goes on, if it does.

    What is paid while somebody turns pages is before the first one.
    """
    pages, own = (ALL, (merchant,)) if reference is None else (OF_REFERENCE, (merchant, reference))
    rows, last = await pages.read(database, span, *own, by=status)
    return [make_payment(row) for row in rows], last
