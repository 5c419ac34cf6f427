"""Read one row per operation after each COMMIT, with everything the database has about it."""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

# Everything about a merchant in one statement, and so at one instant: one row per operation.
OPERATIONS_QUERY: Final = """
    SELECT operation.*, claimed.key AS claim, claimed.response_status AS answered, entry.kind AS posted,
           entry.accounts, entry.currencies, entry.amounts_minor AS amounts, audit.begun, audit.ended,
           (SELECT count(*) FROM outbox.event WHERE event.operation_id = operation.id) AS told
    FROM (
        SELECT payment.id AS payment_id, payment.amount_minor AS allowed, captured_minor,
               capture_reserved_minor, refunded_minor, refund_reserved_minor, released_minor,
               NULL::bigint AS approvals, merchant, provider, currency, merchant_reference,
               operation.id, kind, operation.status, operation.amount_minor, provider_key
        FROM payments.payment LEFT JOIN payments.operation ON operation.payment_id = payment.id
        WHERE merchant = $1
        UNION ALL
        SELECT NULL, payout.amount_minor, NULL, NULL, NULL, NULL, NULL,
               (SELECT count(*) FROM identity.approval
                WHERE status = 'used' AND subject_id = merchant || '/' || merchant_reference),
               merchant, provider, currency, merchant_reference,
               payout.id, coalesce(kind, 'payout'), operation.status, operation.amount_minor, provider_key
        FROM payments.payout LEFT JOIN payments.operation ON operation.id = payout.id
        WHERE merchant = $1
    ) AS operation
    LEFT JOIN payments.idempotency_key AS claimed ON claimed.operation_id = operation.id
    LEFT JOIN ledger.posted ON posted.operation_id = operation.id
    LEFT JOIN ledger.entry ON entry.id = posted.entry_id AND entry.operation_id = operation.id
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE action = operation.kind || '.begun') AS begun,
               count(*) FILTER (WHERE action IN (
                   operation.kind || '.succeeded', operation.kind || '.declined', operation.kind || '.failed'
               )) AS ended
        FROM audit.event WHERE subject_kind = 'operation' AND subject_id = operation.id::text) AS audit
    ORDER BY operation.payment_id, operation.id
"""
Row: TypeAlias = Any  # asyncpg.Record, a mapping by name


def posted_lines(row: Row) -> Iterator[tuple[str, str, int]]:
    """Yield the ledger lines of an operation, if it is posted."""
    if row["posted"] is not None:
        yield from zip(row["accounts"], row["currencies"], row["amounts"], strict=True)
