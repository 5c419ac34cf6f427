"""Write authorizations, any number of them in one statement: their intents, and later their outcomes."""

import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from refpay.db.pool import Connection
from refpay.errors import InvariantViolation
from refpay.ids import mint_id
from refpay.payments.initiation import initiated_record
from refpay.payments.intents import Intent
from refpay.payments.model import OperationStatus, Payment, PaymentStatus
from refpay.payments.resolution import OutcomeChange

# The claim first: a request and its retry in two processes wait for each other there. A key that is taken
# writes nothing; a reference with a live charge writes its claim alone, under which the refusal is stored.
_INTEND = """
    WITH asked AS (
        SELECT * FROM unnest(
            $1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[],
            $8::uuid[], $9::text[], $10::uuid[], $11::text[], $12::bytea[], $13::text[],
            $14::timestamptz[], $15::timestamptz[], $16::uuid[], $17::text[], $18::jsonb[]
        ) AS asked (
            payment_id, merchant, merchant_reference, amount_minor, currency, card_range, provider,
            operation_id, kind, provider_key, key, fingerprint, correlation_id,
            call_deadline, settle_after, record_id, action, after)
    ), claimed AS (
        INSERT INTO payments.idempotency_key (principal, key, fingerprint, operation_id, claimed_at)
        SELECT merchant, key, fingerprint, operation_id, $21 FROM asked
        ON CONFLICT (principal, key) DO NOTHING
        RETURNING operation_id
    ), paid AS (
        INSERT INTO payments.payment (
            id, merchant, merchant_reference, status, amount_minor, currency, card_range, provider,
            created_at)
        SELECT payment_id, merchant, merchant_reference, $19, amount_minor, currency, card_range, provider,
               $21
        FROM claimed JOIN asked ON asked.operation_id = claimed.operation_id
        ON CONFLICT (merchant, merchant_reference) WHERE status NOT IN ('declined', 'failed') DO NOTHING
        RETURNING id
    ), written AS (
        SELECT asked.* FROM asked JOIN paid ON paid.id = asked.payment_id
    ), begun AS (
        INSERT INTO payments.operation (
            id, payment_id, kind, status, amount_minor, provider_key, principal, idempotency_key,
            correlation_id, created_at, call_deadline, settle_after, next_query_at)
        SELECT operation_id, payment_id, kind, $20, amount_minor, provider_key, merchant, key,
               correlation_id, $21, call_deadline, settle_after, settle_after
        FROM written
    ), recorded AS (
        INSERT INTO audit.event (
            id, at, actor, action, subject_kind, subject_id, before, after, correlation_id)
        SELECT record_id, $21, merchant, action, 'operation', operation_id, NULL, after, correlation_id
        FROM written
    )
    SELECT claimed.operation_id, written.operation_id IS NOT NULL AS begun
    FROM claimed LEFT JOIN written ON written.operation_id = claimed.operation_id
"""
# The payment is locked first, as everywhere. Its status shows whether its authorization is still unresolved.
_RESOLVE = """
    WITH asked AS (
        SELECT * FROM unnest(
            $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
            $8::text[], $9::text[], $10::text[], $11::integer[], $12::bytea[],
            $13::uuid[], $14::text[], $15::text[], $16::text[]
        ) AS asked (
            operation_id, payment_id, payment_status, status, provider_reference, decline_code, at,
            actor, principal, key, response_status, response_body,
            event_id, type, body, headers)
    ), moved AS (
        UPDATE payments.payment AS payment SET status = asked.payment_status FROM asked
        WHERE payment.id = asked.payment_id AND payment.status = $17
        RETURNING payment.id
    ), resolved AS (
        UPDATE payments.operation AS operation
        SET status = asked.status, provider_reference = asked.provider_reference,
            decline_code = asked.decline_code, settled_at = asked.at, settled_by = asked.actor
        FROM asked JOIN moved ON moved.id = asked.payment_id
        WHERE operation.id = asked.operation_id AND operation.status = $18
        RETURNING operation.id
    ), answered AS (
        UPDATE payments.idempotency_key AS claim
        SET response_status = asked.response_status, response_body = asked.response_body
        FROM asked JOIN resolved ON resolved.id = asked.operation_id
        WHERE claim.principal = asked.principal AND claim.key = asked.key
        RETURNING claim.operation_id
    ), published AS (
        INSERT INTO outbox.event (id, operation_id, type, body, at, headers)
        SELECT event_id, operation_id, type, body, at, headers
        FROM asked JOIN resolved ON resolved.id = asked.operation_id
    ), recorded AS (
        INSERT INTO audit.event (
            id, at, actor, action, subject_kind, subject_id, before, after, correlation_id)
        SELECT record.id, record.at, record.actor, record.action, record.subject_kind, record.subject_id,
               record.before, record.after, record.correlation_id
        FROM unnest(
            $19::uuid[], $20::uuid[], $21::timestamptz[], $22::text[], $23::text[], $24::text[],
            $25::text[], $26::jsonb[], $27::jsonb[], $28::text[]
        ) WITH ORDINALITY AS record (
            operation_id, id, at, actor, action, subject_kind,
            subject_id, before, after, correlation_id, place)
        JOIN resolved ON resolved.id = record.operation_id
        ORDER BY record.place
    )
    SELECT asked.operation_id, answered.operation_id IS NOT NULL AS whole
    FROM asked JOIN moved ON moved.id = asked.payment_id
    LEFT JOIN answered ON answered.operation_id = asked.operation_id
"""


async def write_intents(
    connection: Connection, intents: Sequence[tuple[Intent, bytes]]
) -> Mapping[UUID, bool]:
    """Claim and begin authorizations of one instant, each with its fingerprint.

    Returns the operations whose key is claimed now, and whether each is begun: False for a merchant reference
    in use. Raises asyncpg's errors, and then nothing is written.
    """
    rows = []
    for intent, fingerprint in intents:
        payment, operation = intent.subject, intent.operation
        assert isinstance(payment, Payment), "authorized"  # noqa: S101 narrows the type
        record = initiated_record(operation, payment)
        rows.append(
            (
                payment.id,
                payment.merchant,
                payment.merchant_reference,
                payment.amount_minor,
                payment.currency,
                payment.card_range,
                payment.provider,
                operation.id,
                operation.kind,
                operation.provider_key,
                operation.idempotency_key,
                fingerprint,
                operation.correlation_id,
                operation.call_deadline,
                operation.settle_after,
                mint_id(record.at),
                record.action,
                json.dumps(record.after),
            )
        )
    first = intents[0][0].operation
    written = await connection.fetch(
        _INTEND,
        *map(list, zip(*rows, strict=True)),
        PaymentStatus.AUTHORIZING,
        first.status,
        first.created_at,
    )
    return {row["operation_id"]: row["begun"] for row in written}


async def write_changes(connection: Connection, changes: Sequence[OutcomeChange]) -> set[UUID]:
    """Resolve authorizations that are unchanged since they were initiated; return the resolved operations.

    Entries are the caller's to post. Raises asyncpg's errors and InvariantViolation, and then nothing may
    be committed.
    """
    rows, records = [], []
    for change in changes:
        payment, after, event = change.resolved.subject, change.resolved.operation, change.event
        assert isinstance(payment, Payment), "authorized"  # noqa: S101 narrows the type
        assert event is not None, "final"  # noqa: S101 narrows the type
        answer = change.resolved.answer
        rows.append(
            (
                after.id,
                payment.id,
                payment.status,
                after.status,
                after.provider_reference,
                after.decline_code,
                change.now,
                change.actor,
                after.principal,
                after.idempotency_key,
                answer.status,
                answer.body,
                event.id,
                event.type,
                event.encode(),
                json.dumps(change.headers),
            )
        )
        records += [
            (
                after.id,
                mint_id(one.at),
                one.at,
                one.actor,
                one.action,
                one.subject_kind,
                one.subject_id,
                one.before and json.dumps(one.before),
                json.dumps(one.after),
                one.correlation_id,
            )
            for one in change.records
        ]
    found = await connection.fetch(
        _RESOLVE,
        *map(list, zip(*rows, strict=True)),
        PaymentStatus.AUTHORIZING,
        OperationStatus.STARTED,
        *map(list, zip(*records, strict=True)),
    )
    if not all(row["whole"] for row in found):
        raise InvariantViolation("a payment is authorizing, but its operation is not started")
    return {row["operation_id"] for row in found}
