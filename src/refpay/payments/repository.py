"""Read and write payments and operations."""

from collections.abc import Sequence
from dataclasses import astuple
from datetime import datetime
from operator import itemgetter
from typing import Final
from uuid import UUID

from refpay.db.pool import Connection, Row
from refpay.errors import InvariantViolation
from refpay.money import Currency
from refpay.payments.model import (
    Operation,
    OperationKind,
    OperationStatus,
    Payment,
    PaymentStatus,
    Payout,
    Subject,
)

PAUSE_MAXIMUM_SECONDS: Final = 5.0
OPERATIONS_MAXIMUM: Final = 100
# Of those. A provider that keeps refusing to release a hold must leave room for refunds.
EXPIRIES_MAXIMUM: Final = 24

SELECT_PAYMENT: Final = """
    SELECT id, merchant, merchant_reference, status, amount_minor, currency, card_range, provider,
           captured_minor, refunded_minor, capture_reserved_minor, refund_reserved_minor, released_minor,
           charged_back_minor, created_at
    FROM payments.payment
"""
_COLUMNS = """
    id, payment_id, kind, status, amount_minor, provider_key, provider_reference, decline_code, principal,
    idempotency_key, correlation_id, created_at, call_deadline, settle_after, next_query_at,
    coalesce(lease_until, call_deadline) AS lease_until, query_attempts, parent_id, parent_reference
"""
_OPERATION = f"SELECT {_COLUMNS} FROM payments.operation"  # noqa: S608 - a constant of ours
_PAYOUT = """
    SELECT id, merchant, merchant_reference, amount_minor, currency, provider, created_at
    FROM payments.payout WHERE id = $1
"""
_INSERT_OPERATION = """
    INSERT INTO payments.operation (
        id, payment_id, kind, status, amount_minor, provider_key, principal, idempotency_key, correlation_id,
        created_at, call_deadline, settle_after, next_query_at, parent_id, parent_reference)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
"""
_SETTLE_OPERATION = """
    UPDATE payments.operation
    SET status = $2, provider_reference = $3, decline_code = $4, settled_at = $5, settled_by = $6
    WHERE id = $1
"""
_UPDATE_PAYMENT = """
    UPDATE payments.payment
    SET status = $2, captured_minor = $3, refunded_minor = $4, capture_reserved_minor = $5,
        refund_reserved_minor = $6, released_minor = $7, charged_back_minor = $8
    WHERE id = $1
"""
# Waits for transactions that resolve them: a COMMIT may still be running when its client is gone.
_WAIT = "SELECT id FROM payments.operation WHERE id = ANY ($1::uuid[]) ORDER BY id FOR SHARE"
# Taken before it is queried or sent, so that no other process does so meanwhile: a retry waits for the lease,
# another worker skips the row. If this process dies, the operation is due again after the pause.
_TAKE_DUE = f"""
    UPDATE payments.operation
    SET lease_until = $2, query_attempts = query_attempts + 1,
        -- Spread by the id, so that what failed together does not come back together.
        next_query_at = $1 + least($3::float8 * 2 ^ least(query_attempts, 16), $4::float8)
            * (0.5 + (hashtextextended(id::text, query_attempts) & 1023) / 1024.0) * interval '1 second'
    WHERE id IN (
        SELECT id FROM payments.operation
        WHERE status IN ('started', 'indeterminate') AND next_query_at <= $1
          AND coalesce(lease_until, call_deadline) <= $1
        ORDER BY next_query_at, id LIMIT $5 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING {_COLUMNS}
"""  # noqa: S608 - a constant of ours
_TAKE_OVER = f"""
    UPDATE payments.operation
    SET lease_until = $3, call_deadline = $3, settle_after = $4, next_query_at = $4,
        query_attempts = query_attempts + 1
    WHERE id = $1 AND status = 'started' AND coalesce(lease_until, call_deadline) <= $2
    RETURNING {_COLUMNS}
"""  # noqa: S608 - a constant of ours
_LOCK_EXPIRED = f"""
    {SELECT_PAYMENT} AS payment
    WHERE status IN ('authorized', 'captured', 'refunded', 'charged_back')
      AND released_minor < amount_minor - captured_minor AND created_at < $1
      AND NOT EXISTS (
          SELECT FROM payments.operation
          WHERE payment_id = payment.id AND (status IN ('started', 'indeterminate')
                OR kind = 'expiry' AND created_at > $2))
      AND EXISTS (SELECT FROM payments.operation
                  WHERE payment_id = payment.id AND kind = 'authorize' AND status = 'succeeded')
      AND (SELECT count(*) < $4 AND count(*) FILTER (WHERE kind = 'expiry') < $5
           FROM payments.operation WHERE payment_id = payment.id)
    ORDER BY created_at, id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
"""  # noqa: S608 - a constant of ours
# Serializes payouts of one merchant. Nothing else takes this lock.
_LOCK_PAYOUTS = "SELECT pg_advisory_xact_lock(hashtextextended('payout ' || $1, 0))"
# A payout that came too late was posted, whatever the status of its operation.
_PAID_OUT = """
    SELECT count(*) = $3 OR bool_or(status NOT IN ('declined', 'failed') OR entry_id IS NOT NULL)
    FROM (SELECT id FROM payments.payout WHERE merchant = $1 AND merchant_reference = $2 LIMIT $3) AS attempt
    JOIN payments.operation USING (id) LEFT JOIN ledger.posted ON posted.operation_id = id
"""
# OFFSET 0 makes the planner start with unresolved operations, because the table of payouts only grows.
_PROMISED = """
    SELECT (SELECT coalesce(sum(refund_reserved_minor), 0) FROM payments.payment
            WHERE merchant = $1 AND currency = $2 AND refund_reserved_minor > 0)
         + (SELECT coalesce(sum(payout.amount_minor), 0)
            FROM (SELECT id FROM payments.operation
                  WHERE kind = 'payout' AND status IN ('started', 'indeterminate') OFFSET 0) AS unresolved,
                 LATERAL (SELECT * FROM payments.payout WHERE id = unresolved.id OFFSET 0) AS payout
            WHERE merchant = $1 AND currency = $2)
"""
# What may have gone out since $3: nothing is sent after its call deadline, which a process that resumes it
# moves. Without an outcome a payout may still be resumed, so it counts however old it is.
_SENT = """
    SELECT coalesce(sum(payout.amount_minor), 0)
    FROM (SELECT id
          FROM (SELECT id, principal FROM payments.operation
                WHERE kind = 'payout' AND status IN ('started', 'indeterminate') OFFSET 0) AS unresolved
          WHERE principal = $1
          UNION ALL
          SELECT id
          FROM (SELECT id, status FROM payments.operation
                WHERE kind = 'payout' AND principal = $1 AND call_deadline >= $3 OFFSET 0) AS late
          WHERE status = 'succeeded' OR status IN ('declined', 'failed')
                AND EXISTS (SELECT FROM ledger.posted WHERE operation_id = late.id)
          OFFSET 0) AS sent,
         LATERAL (SELECT * FROM payments.payout WHERE id = sent.id OFFSET 0) AS payout
    WHERE currency = $2
"""
_INSERT_PAYOUT = """
    INSERT INTO payments.payout (
        id, merchant, merchant_reference, amount_minor, currency, provider, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_INSERT_EVENT = """
    INSERT INTO payments.webhook_event (provider, event_id, type, received_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING event_id
"""
_DELETE_EVENTS = """
    DELETE FROM payments.webhook_event WHERE (provider, event_id) IN (
        SELECT provider, event_id FROM payments.webhook_event
        WHERE received_at < $1 ORDER BY received_at LIMIT $2)
"""
_FIND = f"""
    {_OPERATION} WHERE provider_key = $2 AND coalesce(
        (SELECT provider FROM payments.payment WHERE id = payment_id),
        (SELECT provider FROM payments.payout WHERE payout.id = operation.id)) = $1
"""  # noqa: S608 - a constant of ours


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
        operation.parent_id,
        operation.parent_reference,
    )


async def read_payment(connection: Connection, payment_id: UUID) -> Payment | None:
    """Return a payment."""
    row = await connection.fetchrow(f"{SELECT_PAYMENT} WHERE id = $1", payment_id)
    return None if row is None else make_payment(row)


async def lock_payment(connection: Connection, payment_id: UUID) -> Payment | None:
    """Lock a payment until this transaction ends, and return it.

    It is always the first lock of a transaction, before any operation of the payment.
    """
    row = await connection.fetchrow(f"{SELECT_PAYMENT} WHERE id = $1 FOR NO KEY UPDATE", payment_id)
    return None if row is None else make_payment(row)


async def read_operation(connection: Connection, operation_id: UUID) -> Operation | None:
    """Return an operation."""
    row = await connection.fetchrow(f"{_OPERATION} WHERE id = $1", operation_id)
    return None if row is None else _operation(row)


async def lock_operation(connection: Connection, operation_id: UUID) -> Operation | None:
    """Lock an operation until this transaction ends, and return it."""
    row = await connection.fetchrow(f"{_OPERATION} WHERE id = $1 FOR NO KEY UPDATE", operation_id)
    return None if row is None else _operation(row)


async def read_operations(connection: Connection, payment_id: UUID) -> Sequence[Operation]:
    """Return a payment's operations, oldest first, at most `OPERATIONS_MAXIMUM`."""
    rows = await connection.fetch(f"{_OPERATION} WHERE payment_id = $1 ORDER BY created_at, id", payment_id)
    return [_operation(row) for row in rows]


async def resolve_operation(
    connection: Connection, operation: Operation, *, settled_at: datetime | None, by: str | None
) -> None:
    """Write an operation's status and what the provider said. The database refuses a second final status."""
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
        payment.capture_reserved_minor,
        payment.refund_reserved_minor,
        payment.released_minor,
        payment.charged_back_minor,
    )


async def wait_for_operations(connection: Connection, operation_ids: Sequence[UUID]) -> None:
    """Wait until no transaction is changing the operations, so that the next read sees what they did."""
    await connection.execute(_WAIT, operation_ids)


async def insert_payout(connection: Connection, payout: Payout) -> None:
    """Write a new payout. Its operation is written in the same transaction."""
    await connection.execute(_INSERT_PAYOUT, *astuple(payout))


async def lock_payouts(connection: Connection, merchant: str) -> None:
    """Keep other transactions from planning or resolving a payout of this merchant until this one ends."""
    await connection.execute(_LOCK_PAYOUTS, merchant)


async def is_paid_out(connection: Connection, merchant: str, reference: str) -> bool:
    """Return whether a payout with this reference may be done, or `OPERATIONS_MAXIMUM` of them failed."""
    return bool(await connection.fetchval(_PAID_OUT, merchant, reference, OPERATIONS_MAXIMUM))


async def read_in_flight_debits(connection: Connection, merchant: str, currency: str) -> int:
    """Return the unresolved refunds and payouts of a merchant's balance, in minor units."""
    return int(await connection.fetchval(_PROMISED, merchant, currency))


async def read_sent_payouts(connection: Connection, merchant: str, currency: str, since: datetime) -> int:
    """Return what may have been paid out to a merchant since an instant, in minor units.

    Declined and failed payouts count only if they were posted after all. Exact under `lock_payouts`.
    """
    return int(await connection.fetchval(_SENT, merchant, currency, since))


async def read_subject(connection: Connection, operation: Operation, *, lock: bool = False) -> Subject:
    """Return the payment or the payout of an operation; with `lock`, lock it until this transaction ends."""
    found: Subject | None = None
    if operation.payment_id is not None:
        found = await (lock_payment if lock else read_payment)(connection, operation.payment_id)
    elif (row := await connection.fetchrow(_PAYOUT, operation.id)) is not None:
        found = Payout(**{**row, "currency": Currency(row["currency"])})
        if lock:
            await lock_payouts(connection, found.merchant)
    if found is None:
        raise InvariantViolation(f"operation has neither payment nor payout: {operation.id}")
    return found


async def find_operation(connection: Connection, provider: str, key: UUID) -> Operation | None:
    """Return the operation with this provider key, if it belongs to the provider."""
    row = await connection.fetchrow(_FIND, provider, key)
    return None if row is None else _operation(row)


async def insert_event(
    connection: Connection, provider: str, event_id: UUID, kind: str, now: datetime
) -> bool:
    """Record a provider's message. Return False if it was recorded before."""
    return await connection.fetchval(_INSERT_EVENT, provider, event_id, kind, now) is not None


async def delete_events(connection: Connection, *, before: datetime, limit: int) -> None:
    """Delete messages that were recorded before an instant, oldest first."""
    await connection.execute(_DELETE_EVENTS, before, limit)


async def take_due(
    connection: Connection, now: datetime, *, lease_until: datetime, pause_seconds: float, limit: int
) -> Sequence[Operation]:
    """Take unresolved operations that are due, hold them until `lease_until`, and set their next due time.

    The pause doubles with each attempt up to a cap, and varies by up to half.
    """
    rows = await connection.fetch(_TAKE_DUE, now, lease_until, pause_seconds, PAUSE_MAXIMUM_SECONDS, limit)
    return [_operation(row) for row in sorted(rows, key=itemgetter("id"))]


async def take_over(
    connection: Connection,
    operation_id: UUID,
    now: datetime,
    *,
    lease_until: datetime,
    settle_after: datetime,
) -> Operation | None:
    """Take an unresolved operation whose lease is over. Return None while another process holds it."""
    row = await connection.fetchrow(_TAKE_OVER, operation_id, now, lease_until, settle_after)
    return None if row is None else _operation(row)


async def lock_expired(
    connection: Connection, *, before: datetime, tried_before: datetime, limit: int
) -> Sequence[Payment]:
    """Lock and return payments with an old hold and no unresolved operation. Locked rows are skipped."""
    bounds = (before, tried_before, limit, OPERATIONS_MAXIMUM, EXPIRIES_MAXIMUM)
    return [make_payment(row) for row in await connection.fetch(_LOCK_EXPIRED, *bounds)]


def make_payment(row: Row) -> Payment:
    """Return the payment of a row of SELECT_PAYMENT."""
    read = {"status": PaymentStatus(row["status"]), "currency": Currency(row["currency"])}
    return Payment(**{**row, **read})


def _operation(row: Row) -> Operation:
    read = {"kind": OperationKind(row["kind"]), "status": OperationStatus(row["status"])}
    return Operation(**{**row, **read})
