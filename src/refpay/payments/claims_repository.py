"""Claim idempotency keys and store their answers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from refpay.db.pool import Connection, Row
from refpay.errors import InvariantViolation
from refpay.payments.claims import Claim, Command, StoredAnswer
from refpay.payments.errors import KeyExpired

# Waits for another transaction that claims the same key, and then sees its claim.
_CLAIM = """
    INSERT INTO payments.idempotency_key (principal, key, fingerprint, operation_id, claimed_at)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (principal, key) DO NOTHING RETURNING key
"""
_READ = """
    SELECT fingerprint, operation_id, response_status, response_body, reaped_at FROM payments.idempotency_key
"""
# One index look-up per key, whatever the planner knows of the table's size.
_READ_SEVERAL = f"""
    SELECT asked.place, known.*
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (principal, key, place)
    CROSS JOIN LATERAL (
        {_READ} AS stored WHERE stored.principal = asked.principal AND stored.key = asked.key LIMIT 1
    ) AS known
"""  # noqa: S608 - constants
_STORE = """
    UPDATE payments.idempotency_key SET response_status = $3, response_body = $4
    WHERE principal = $1 AND key = $2 RETURNING key
"""
# Only answered keys, so none of an unresolved operation. Constraints of the database enforce both.
_REAP = """
    WITH reaped AS (
        UPDATE payments.idempotency_key SET reaped_at = $1, response_body = NULL
        WHERE (principal, key) IN (
            SELECT principal, key FROM payments.idempotency_key
            WHERE reaped_at IS NULL AND response_status IS NOT NULL AND claimed_at < $2
            ORDER BY claimed_at LIMIT $3 FOR UPDATE SKIP LOCKED)
        RETURNING 1)
    SELECT count(*) FROM reaped
"""


async def claim(
    connection: Connection, command: Command, *, operation_id: UUID | None, now: datetime, lock: bool = False
) -> Claim | None:
    """Claim a key if this transaction commits; return the earlier claim if there is one.

    With `lock` no other transaction answers the key until this one ends. Raises KeyExpired for a key whose
    answer is no longer kept.
    """
    name = command.principal.name
    won = await connection.fetchval(_CLAIM, name, command.key, command.fingerprint, operation_id, now)
    if won is not None:
        return None
    read = f"{_READ} WHERE principal = $1 AND key = $2{' FOR UPDATE' if lock else ''}"
    row = await connection.fetchrow(read, name, command.key)
    if row is None:
        raise InvariantViolation("idempotency key can be neither claimed nor read")
    return _kept(row)


async def read_claims(connection: Connection, commands: Sequence[Command]) -> Mapping[int, Claim]:
    """Return the earlier claims of those keys that were claimed, by the index of their commands."""
    names, keys = [one.principal.name for one in commands], [one.key for one in commands]
    rows = await connection.fetch(_READ_SEVERAL, names, keys)
    return {row["place"] - 1: _claim(row) for row in rows}


async def read_answer(connection: Connection, operation_id: UUID) -> StoredAnswer | None:
    """Return the stored answer of an operation. Raises KeyExpired if it is no longer kept."""
    row = await connection.fetchrow(f"{_READ} WHERE operation_id = $1", operation_id)
    return None if row is None else _kept(row).answer


async def store(connection: Connection, *, principal: str, key: str, answer: StoredAnswer) -> None:
    """Store the definitive answer of a claimed key. The database refuses a second answer."""
    if await connection.fetchval(_STORE, principal, key, answer.status, answer.body) is None:
        raise InvariantViolation("an answer has no idempotency key to be stored under")


async def reap(connection: Connection, now: datetime, *, claimed_before: datetime, limit: int) -> int:
    """Delete the answers of old keys, which are refused from then on; return how many."""
    return int(await connection.fetchval(_REAP, now, claimed_before, limit))


def _kept(row: Row) -> Claim:
    if row["reaped_at"] is not None:
        raise KeyExpired("the idempotency key was answered long ago, and its answer is no longer kept")
    return _claim(row)


def _claim(row: Row) -> Claim:
    status, body = row["response_status"], row["response_body"]
    answer = None if body is None else StoredAnswer(status, body)
    return Claim(row["fingerprint"], row["operation_id"], answer)
