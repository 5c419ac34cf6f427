"""Finds what a provider charged more than once, and writes down by which key each is given back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self
from uuid import UUID

from refpay.db.pool import Connection
from refpay.errors import InvariantViolation

# Only where we know which movement of the charge is ours, and it is another one. Stated twice (an
# occurrence over 0) asks for a corrected report, not for a refund. What has no key yet comes first, so that
# more of them than one pull takes are taken by the next one.
_OPEN: Final = """
    SELECT found.key, found.movement, payment.merchant_reference AS reference, found.currency,
           found.value_minor AS amount_minor, repair.repair_key::uuid AS repair_key
    FROM reconciliation.break AS found
    JOIN payments.operation ON operation.id = found.operation_id
    JOIN payments.payment ON payment.id = operation.payment_id
    LEFT JOIN reconciliation.repair ON repair.provider = found.provider AND repair.movement = found.movement
    WHERE found.closed_at IS NULL AND found.provider = $1 AND found.class = 'duplicate'
      AND found.occurrence = 0 AND operation.kind = 'capture' AND operation.provider_reference IS NOT NULL
      AND NOT EXISTS (SELECT FROM payments.operation AS own WHERE own.provider_reference = found.movement)
      AND EXISTS (
          SELECT FROM reconciliation.line
          JOIN reconciliation.report ON report.provider = line.provider AND report.sequence = line.sequence
                                    AND report.revision = line.revision
          WHERE line.provider = found.provider AND line.key = found.key
            AND line.movement = found.movement AND line.kind = 'capture')
    ORDER BY repair.repair_key IS NOT NULL, found.first_seen, found.id LIMIT $2
"""
_INSERT: Final = """
    INSERT INTO reconciliation.repair (
        provider, movement, key, repair_key, amount_minor, currency, recorded_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An extra movement; `key` is that of the charge, `repair_key` that of the refund once it is decided."""

    key: str
    movement: str
    reference: str
    currency: str
    amount_minor: int
    repair_key: UUID | None

    def repaired_by(self, key: UUID) -> Self:
        """Return it with the key of its refund."""
        return replace(self, repair_key=key)

    @property
    def required_key(self) -> UUID:
        """Return the key of its refund; raises InvariantViolation while there is none."""
        if self.repair_key is None:
            raise InvariantViolation(f"a duplicate is refunded before its key is written: {self.movement}")
        return self.repair_key


async def read_open(connection: Connection, provider: str, *, limit: int) -> Sequence[Duplicate]:
    """Return the extra movements that are not known to be given back."""
    return [Duplicate(**row) for row in await connection.fetch(_OPEN, provider, limit)]


async def insert_repair(
    connection: Connection, provider: str, duplicate: Duplicate, *, now: datetime
) -> None:
    """Write down by which key a movement is given back; the database refuses a second key for it."""
    await connection.execute(
        _INSERT,
        provider,
        duplicate.movement,
        duplicate.key,
        str(duplicate.required_key),
        duplicate.amount_minor,
        duplicate.currency,
        now,
    )
