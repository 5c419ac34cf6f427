"""Read and change what operator actions need of reconciliation, in the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from refpay.db.pool import Connection
from refpay.ids import mint_id
from refpay.reconciliation.breaks_repository import SUMS
from refpay.reconciliation.reports_repository import read_progress

_BREAKS_SHOWN: Final = 100
_PROVIDERS: Final = """
    SELECT progress.provider, progress.watermark, progress.next_due,
           (SELECT count(*) FROM reconciliation.report
            WHERE report.provider = progress.provider AND report.state IN ('invalid', 'replayed')) AS refused
    FROM reconciliation.progress ORDER BY progress.provider
"""
_NEWEST: Final = """
    SELECT id, provider, class, key, movement, sequence, currency, value_minor, first_seen, operation_id
    FROM reconciliation.break WHERE closed_at IS NULL ORDER BY first_seen DESC, id LIMIT $1
"""
# For a missing movement, the reports that should have it: those of its time, and the next one.
_FORGET: Final = """
    UPDATE reconciliation.report SET digest = NULL, refused_digest = NULL
    WHERE provider = $1 AND (digest IS NOT NULL OR refused_digest IS NOT NULL) AND (
        state IN ('invalid', 'replayed')
        OR sequence IN (SELECT sequence FROM reconciliation.break WHERE provider = $1 AND closed_at IS NULL)
        OR EXISTS (
            SELECT FROM reconciliation.break JOIN payments.operation ON operation.id = break.operation_id
            WHERE break.provider = $1 AND break.closed_at IS NULL AND break.class = 'missing_theirs'
              AND report.period_end > operation.created_at - interval '1 second'
              AND report.period_start <= operation.settled_at + (report.period_end - report.period_start)))
    RETURNING sequence
"""
# Only where we know which movement of the charge is ours, and it is another one. A movement stated twice (an
# occurrence over 0) needs a corrected report, not a refund. Those without a key come first, so that the next
# action takes what is above the limit.
_DUPLICATES: Final = """
    SELECT found.key, found.movement, payment.merchant_reference AS reference, found.currency,
           found.value_minor AS amount_minor, repair.repair_key::uuid AS repair_key,
           repair.repair_key IS NOT NULL AS ordered
    FROM reconciliation.break AS found
    JOIN payments.operation ON operation.id = found.operation_id
    JOIN payments.payment ON payment.id = operation.payment_id
    LEFT JOIN reconciliation.repair ON repair.provider = found.provider AND repair.movement = found.movement
    WHERE found.closed_at IS NULL AND found.provider = $1 AND found.class = 'duplicate'
      AND found.occurrence = 0 AND operation.kind = 'capture' AND operation.provider_reference IS NOT NULL
      AND NOT EXISTS (SELECT FROM payments.operation AS own WHERE own.provider_reference = found.movement)
      AND EXISTS (
          SELECT FROM reconciliation.line JOIN reconciliation.report USING (provider, sequence, revision)
          WHERE provider = found.provider AND line.key = found.key
            AND line.movement = found.movement AND line.kind = 'capture')
    ORDER BY ordered, found.first_seen, found.id LIMIT $2
"""
_REPAIR: Final = """
    INSERT INTO reconciliation.repair (
        provider, movement, key, repair_key, amount_minor, currency, recorded_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An extra movement of the charge `key`.

    `repair_key` is the key of its refund, which is fixed once `ordered`.
    """

    key: str
    movement: str
    reference: str
    currency: str
    amount_minor: int
    repair_key: UUID
    ordered: bool


async def read_overview(connection: Connection) -> Mapping[str, Sequence[Mapping[str, object]]]:
    """Return watermarks, open breaks by class, and the newest open breaks."""
    sums = await connection.fetch(SUMS, None)
    return {
        "providers": [dict(row) for row in await connection.fetch(_PROVIDERS)],
        "open_breaks": [{**row, "value_minor": int(row["value_minor"])} for row in sums],
        "newest_breaks": [dict(row) for row in await connection.fetch(_NEWEST, _BREAKS_SHOWN)],
    }


async def refetch_doubtful(connection: Connection, provider: str) -> int:
    """Have doubtful reports fetched again even if they are announced unchanged; return how many."""
    await read_progress(connection, provider, lock=True)
    return len(await connection.fetch(_FORGET, provider))


async def read_duplicates(
    connection: Connection, provider: str, *, limit: int, now: datetime
) -> Sequence[Duplicate]:
    """Return extra movements that are not known to be refunded, those without an order first.

    They are locked until the transaction ends: two orders must not give one refund two keys.
    """
    await read_progress(connection, provider, lock=True)
    rows = await connection.fetch(_DUPLICATES, provider, limit)
    return [Duplicate(**{**row, "repair_key": row["repair_key"] or mint_id(now)}) for row in rows]


async def insert_repair(connection: Connection, provider: str, one: Duplicate, *, now: datetime) -> None:
    """Store the key of a movement's refund. The database refuses a second key for it."""
    values = (one.movement, one.key, str(one.repair_key), one.amount_minor, one.currency, now)
    await connection.execute(_REPAIR, provider, *values)
