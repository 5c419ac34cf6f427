"""Reads and writes payments and operations."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from refpay.db.pool import Connection, Row
from refpay.money import Currency
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment, PaymentStatus

SELECT_PAYMENT: Final = """
    SELECT id, merchant, merchant_reference, status, amount_minor, currency, card_range, provider,
           captured_minor, refunded_minor, refund_reserved_minor, created_at
    FROM payments.payment
"""
_PAYMENT = f"{SELECT_PAYMENT} WHERE id = $1"
_OPERATION = """
    SELECT id, payment_id, kind, status, amount_minor, provider_key, provider_reference, decline_code,
           principal, idempotency_key, correlation_id, created_at, call_deadline, settle_after,
           next_query_at, query_attempts
    FROM payments.operation
"""
_INSERT_PAYMENT = """
    INSERT INTO payments.payment (
        id, merchant, merchant_reference, status, amount_minor, currency, card_range, provider, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (merchant, merchant_reference) WHERE status NOT IN ('declined', 'failed') DO NOTHING
    RETURNING id
"""
_INSERT_OPERATION = """
    INSERT INTO payments.operation (
        id, payment_id, kind, status, amount_minor, provider_key, principal, idempotency_key, correlation_id,
        created_at, call_deadline, settle_after, next_query_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""
_SETTLE_OPERATION = """
    UPDATE payments.operation
    SET status = $2, provider_reference = $3, decline_code = $4, settled_at = $5, settled_by = $6
    WHERE id = $1
"""
_UPDATE_PAYMENT = """
    UPDATE payments.payment
    SET status = $2, captured_minor = $3, refunded_minor = $4, refund_reserved_minor = $5
    WHERE id = $1
"""
# Waits for whoever is settling them: a COMMIT whose client is gone may still be going on.
_WAIT = "SELECT id FROM payments.operation WHERE id = ANY ($1::uuid[]) ORDER BY id FOR SHARE"
_DUE = f"""
    {_OPERATION}
    WHERE status IN ('started', 'indeterminate') AND settle_after <= $1 AND next_query_at <= $1
    ORDER BY next_query_at, id LIMIT $2
"""
_POSTPONE = """
    UPDATE payments.operation SET next_query_at = $2, query_attempts = query_attempts + 1
    WHERE id = $1 AND status IN ('started', 'indeterminate')
"""


async def insert_payment(connection: Connection, payment: Payment) -> bool:
    """Write a new payment; False if another live charge of the merchant has its reference."""
    written = await connection.fetchval(
        _INSERT_PAYMENT,
        payment.id,
        payment.merchant,
        payment.merchant_reference,
        payment.status,
        payment.amount_minor,
        payment.currency,
        payment.card_range,
        payment.provider,
        payment.created_at,
    )
    return written is not None


async def insert_operation(connection: Connection, operation: Operation) -> None:
    """Write a new operation."""
    await connection.execute(
        _INSERT_OPERATION,
        operation.id,
        operation.payment_id,
        operation.kind,
        operation.status,
        operation.amount_minor,
        operation.provider_key,
        operation.principal,
        operation.idempotency_key,
        operation.correlation_id,
        operation.created_at,
        operation.call_deadline,
        operation.settle_after,
        operation.next_query_at,
    )


async def read_payment(connection: Connection, payment_id: UUID) -> Payment | None:
    """Return a payment."""
    row = await connection.fetchrow(_PAYMENT, payment_id)
    return None if row is None else make_payment(row)


async def lock_payment(connection: Connection, payment_id: UUID) -> Payment | None:
    """Return a payment that nobody else changes until this transaction ends.

    Always the first lock of a transaction, before any operation of the payment.
    """
    row = await connection.fetchrow(f"{_PAYMENT} FOR NO KEY UPDATE", payment_id)
    return None if row is None else make_payment(row)


async def read_operation(connection: Connection, operation_id: UUID) -> Operation | None:
    """Return an operation."""
    row = await connection.fetchrow(f"{_OPERATION} WHERE id = $1", operation_id)
    return None if row is None else _operation(row)


async def lock_operation(connection: Connection, operation_id: UUID) -> Operation | None:
    """Return an operation that nobody else changes until this transaction ends."""
    row = await connection.fetchrow(f"{_OPERATION} WHERE id = $1 FOR NO KEY UPDATE", operation_id)
    return None if row is None else _operation(row)


async def read_operations(connection: Connection, payment_id: UUID) -> Sequence[Operation]:
    """Return a payment's operations, oldest first; there are at most `OPERATIONS_MAXIMUM`."""
    rows = await connection.fetch(f"{_OPERATION} WHERE payment_id = $1 ORDER BY created_at, id", payment_id)
    return [_operation(row) for row in rows]


async def settle_operation(
    connection: Connection, operation: Operation, *, settled_at: datetime | None, by: str | None
) -> None:
    """Write an operation's status and what the provider said; the database refuses a second final one."""
    await connection.execute(
        _SETTLE_OPERATION,
        operation.id,
        operation.status,
        operation.provider_reference,
        operation.decline_code,
        settled_at,
        by,
    )


async def update_payment(connection: Connection, payment: Payment) -> None:
    """Write a payment's status and amounts."""
    await connection.execute(
        _UPDATE_PAYMENT,
        payment.id,
        payment.status,
        payment.captured_minor,
        payment.refunded_minor,
        payment.refund_reserved_minor,
    )


async def wait_for_operations(connection: Connection, operation_ids: Sequence[UUID]) -> None:
    """Wait until no transaction is changing the operations; what is read afterwards is what became of it."""
    await connection.execute(_WAIT, operation_ids)


async def read_due(connection: Connection, now: datetime, *, limit: int) -> Sequence[Operation]:
    """Return unresolved operations past their deadline whose turn to be asked about has come."""
    return [_operation(row) for row in await connection.fetch(_DUE, now, limit)]


async def postpone(connection: Connection, operation_id: UUID, next_query_at: datetime) -> None:
    """Note that asking was in vain, and when to ask again."""
    await connection.execute(_POSTPONE, operation_id, next_query_at)


def make_payment(row: Row) -> Payment:
    """Return the payment of a row of SELECT_PAYMENT."""
    fields = dict(row)
    fields["status"] = PaymentStatus(fields["status"])
    fields["currency"] = Currency(fields["currency"])
    return Payment(**fields)


def _operation(row: Row) -> Operation:
    fields = dict(row)
    fields["kind"] = OperationKind(fields["kind"])
    fields["status"] = OperationStatus(fields["status"])
    return Operation(**fields)
