"""Query the integrity checks: over one id range, and over what is open. Each query is one snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from refpay.db.pool import Connection
from refpay.ledger.causes import UNEXPLAINED, UNEXPLAINED_IN_RANGE


class Reason(StrEnum):
    """Why money is at risk, in order of precedence: an amount counts under the first reason that fits."""

    LEDGER_IMBALANCE = "ledger_imbalance"
    DUPLICATE_CHARGE = "duplicate_charge"
    CAPTURE_WITHOUT_POSTING = "capture_without_posting"
    POSTING_WITHOUT_CAPTURE = "posting_without_capture"
    RECONCILIATION_BREAK = "reconciliation_break"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class MoneyAtRisk:
    """Findings of one reason, provider and currency. `provider` is None where the ledger has none."""

    reason: Reason
    provider: str | None
    currency: str
    findings: int
    minor_units: int
    at_risk_minor_units: int
    oldest: datetime | None


# Each of these is a condition on one row, tested by a few look-ups. OFFSET 0 keeps the planner from turning
# the look-ups of an id range into a join with whole tables. $1 is the instant before which a capture should
# have been posted and a posting explained. A CASE, because the planner would otherwise infer from the
# constraint that no row is unbalanced, and read none.
_UNBALANCED: Final = """
    CASE WHEN ledger.lines_balanced(entry.currencies, entry.amounts_minor) THEN 0 ELSE 1 END = 1
"""
# The payment or payout of an operation. A payout is never captured, so it has no duplicate charge.
_PAYMENT: Final = """
    LATERAL (
        SELECT id, merchant, merchant_reference, provider, currency, captured_minor, created_at
        FROM payments.payment WHERE id = operation.payment_id
        UNION ALL
        SELECT id, merchant, merchant_reference, provider, currency, 0, created_at
        FROM payments.payout WHERE operation.kind = 'payout' AND id = operation.id
        OFFSET 0) AS payment
"""
_DUPLICATE: Final = """
    payment.captured_minor > 0 AND EXISTS (
        SELECT FROM payments.payment AS earlier
        WHERE earlier.merchant = payment.merchant AND earlier.merchant_reference = payment.merchant_reference
          AND earlier.captured_minor > 0
          AND (earlier.created_at, earlier.id) < (payment.created_at, payment.id) OFFSET 0)
"""
# The line of what an operation moves at a provider. Holds only promise money, so they move none.
_MOVES: Final = """
    operation.kind IN ('capture', 'refund', 'payout', 'chargeback', 'chargeback_reversal', 'undo_capture',
                       'suspense_release') AND operation.status = 'succeeded'
"""
_LEG: Final = "kind || ' ' || leg.account ~ ' (provider_receivable|payout_clearing):|release suspense:'"
_FITS: Final = """
    leg.operation_id = operation.id AND leg.currency = payment.currency
    AND leg.account IN ('provider_receivable:' || payment.provider, 'payout_clearing:' || payment.provider,
                        CASE operation.kind WHEN 'suspense_release' THEN 'suspense:' || payment.provider END)
    AND leg.kind = CASE operation.kind WHEN 'capture' THEN 'posting' WHEN 'refund' THEN 'reversal'
                   WHEN 'undo_capture' THEN 'suspense' ELSE operation.kind END
    AND abs(leg.amount_minor) = operation.amount_minor
"""
_UNPOSTED: Final = f"""
    {_MOVES} AND operation.created_at <= $1
    AND NOT EXISTS (SELECT FROM ledger.posted JOIN ledger.line AS leg ON leg.entry_id = posted.entry_id
                    WHERE posted.operation_id = operation.id AND {_FITS} OFFSET 0)
    AND NOT EXISTS (SELECT FROM ledger.posted
                    WHERE posted.operation_id = operation.id AND ledger.is_archived(posted.entry_id) OFFSET 0)
"""  # noqa: S608 - fragments of our own
# $2 and $3 are the first id of the id range and the first one after it. Most operations are posted within
# their own id range, which one join shows; only the others are looked up.
_ID_RANGE: Final = f"""
WITH unbalanced AS (
    SELECT coalesce(leg.currency, '') AS currency, abs(sum(leg.minor)) AS minor_units
    FROM ledger.entry, unnest(entry.currencies, entry.amounts_minor) AS leg (currency, minor)
    WHERE entry.id >= $2 AND entry.id < $3 AND {_UNBALANCED}
    GROUP BY entry.id, leg.currency HAVING sum(leg.minor) <> 0
), duplicate AS (
    SELECT payment.provider, payment.currency, payment.captured_minor AS minor_units
    FROM payments.payment WHERE payment.id >= $2 AND payment.id < $3 AND {_DUPLICATE}
), near AS MATERIALIZED (
    SELECT * FROM ledger.line AS leg WHERE entry_id >= $2 AND entry_id < $3 AND {_LEG}
), suspect AS MATERIALIZED (
    SELECT operation.id
    FROM (SELECT * FROM payments.operation WHERE id >= $2 AND id < $3 AND {_MOVES} OFFSET 0) AS operation,
         {_PAYMENT}
    WHERE NOT EXISTS (SELECT FROM near AS leg WHERE {_FITS})
), unposted AS (
    SELECT operation.id, payment.provider, payment.currency, operation.amount_minor AS minor_units,
           ({_DUPLICATE}) OR EXISTS (
               SELECT FROM ledger.posted JOIN ledger.entry
                   ON entry.id = posted.entry_id AND entry.operation_id = operation.id
               WHERE posted.operation_id = operation.id AND {_UNBALANCED} OFFSET 0) AS counted_before
    FROM suspect, LATERAL (SELECT * FROM payments.operation WHERE id = suspect.id OFFSET 0) AS operation,
         {_PAYMENT}
    WHERE {_UNPOSTED}
), {UNEXPLAINED_IN_RANGE}, forged AS (
    SELECT (SELECT provider FROM reconciliation.progress
            WHERE provider IN (SELECT split_part(account, ':', 2) FROM unnest(entry.accounts) AS n (account))
            ORDER BY provider LIMIT 1) AS provider,
           leg.currency, leg.minor_units, greatest(leg.minor_units - coalesce((
               SELECT minor_units FROM unposted
               WHERE unposted.id = entry.operation_id AND unposted.currency = leg.currency), 0), 0) AS at_risk
    FROM unexplained AS entry, LATERAL (
        SELECT line.currency, max(abs(line.minor::numeric)) AS minor_units
        FROM unnest(entry.currencies, entry.amounts_minor) AS line (currency, minor)
        GROUP BY line.currency) AS leg
    WHERE NOT ({_UNBALANCED})
), found AS (
    SELECT 'ledger_imbalance' AS reason, NULL AS provider, currency, minor_units, minor_units AS at_risk
    FROM unbalanced
    UNION ALL
    SELECT 'duplicate_charge', provider, currency, minor_units, minor_units FROM duplicate
    UNION ALL
    SELECT 'capture_without_posting', provider, currency, minor_units,
           CASE WHEN counted_before THEN 0 ELSE minor_units END FROM unposted
    UNION ALL
    SELECT 'posting_without_capture', provider, currency, minor_units, at_risk FROM forged
)
SELECT reason, provider, currency, count(*) AS findings, sum(minor_units) AS minor_units,
       sum(at_risk) AS at_risk, NULL::timestamptz AS oldest
FROM found GROUP BY reason, provider, currency
"""  # noqa: S608 - fragments of our own
# $2 is now. Partial indexes hold everything that is open.
_OPEN: Final = f"""
WITH broken AS (
    SELECT found.operation_id, found.provider, found.currency, found.value_minor AS minor_units,
           found.first_seen, found.class,
           EXISTS (SELECT FROM payments.operation, {_PAYMENT}
                   WHERE operation.id = found.operation_id AND (({_DUPLICATE}) OR {_UNPOSTED}) OFFSET 0)
           OR EXISTS (SELECT FROM ledger.posted JOIN ledger.entry ON entry.id = posted.entry_id
                      WHERE posted.operation_id = found.operation_id
                        AND ({_UNBALANCED} OR entry.posted_at <= $1 AND ({UNEXPLAINED})) OFFSET 0)
               AS counted_before
    FROM reconciliation.break AS found WHERE found.closed_at IS NULL
), unresolved AS (
    SELECT payment.provider, payment.currency, operation.amount_minor AS minor_units, operation.created_at,
           EXISTS (SELECT FROM broken
                   WHERE broken.class <> 'duplicate' AND broken.operation_id IN (
                       operation.id, CASE operation.kind WHEN 'undo_capture' THEN operation.parent_id END)
                   ) AS counted_before
    FROM payments.operation, {_PAYMENT}
    WHERE operation.status = 'indeterminate'
       OR (operation.status = 'started' AND operation.call_deadline <= $2)
), found AS (
    SELECT 'duplicate_charge' AS reason, provider, currency, minor_units, false AS counted_before,
           NULL::timestamptz AS since
    FROM broken WHERE class = 'duplicate'
    UNION ALL
    SELECT 'reconciliation_break', provider, currency, minor_units, counted_before, first_seen
    FROM broken WHERE class <> 'duplicate'
    UNION ALL
    SELECT 'indeterminate', provider, currency, minor_units, counted_before, created_at FROM unresolved
)
SELECT reason, provider, currency, count(*) AS findings, sum(minor_units) AS minor_units,
       coalesce(sum(minor_units) FILTER (WHERE NOT counted_before), 0) AS at_risk, min(since) AS oldest
FROM found GROUP BY reason, provider, currency
"""  # noqa: S608 - fragments of our own
# What was resolved since $2 and is wrong: its operation, its payment, and those that share its reference.
# Only kinds that have an index; the sweep finds the others.
_LATE: Final = f"""
WITH late AS (
    SELECT operation.id, payment.merchant, payment.merchant_reference, ({_UNPOSTED}) AS unposted
    FROM payments.operation, {_PAYMENT}
    WHERE operation.status = 'succeeded' AND operation.kind IN ('capture', 'refund', 'undo_capture')
      AND operation.settled_at >= $2
)
SELECT id FROM late WHERE unposted
UNION ALL
SELECT payment.id FROM late JOIN LATERAL (
    SELECT * FROM payments.payment
    WHERE payment.merchant = late.merchant AND payment.merchant_reference = late.merchant_reference
      AND payment.captured_minor > 0 OFFSET 0) AS payment ON true
WHERE {_DUPLICATE}
LIMIT 1000
"""  # noqa: S608 - fragments of our own
# The id at which a range from $1 has $3 rows in one of the tables; null if that is not before $2.
_WINDOW: Final = "WHERE id > $1 AND id < $2 ORDER BY id OFFSET $3 LIMIT 1"
_BOUNDARY: Final = f"""
    SELECT least(
        (SELECT id FROM payments.operation {_WINDOW}),
        (SELECT id FROM payments.payment {_WINDOW}),
        (SELECT id FROM ledger.entry {_WINDOW}))
"""  # noqa: S608 - fragments of our own
# The ledger is append-only, so an update or delete there, or a replaced partition, was made by hand. The
# server's statistics count updates and deletes, also those that were rolled back.
_TOUCHED: Final = """
    SELECT coalesce(string_agg(concat_ws(' ', place.oid, place.relfilenode, stats.n_tup_upd, stats.n_tup_del),
                               ',' ORDER BY place.oid), '')
    FROM pg_class AS place JOIN pg_stat_user_tables AS stats ON stats.relid = place.oid
    WHERE place.relnamespace = 'ledger'::regnamespace AND place.relkind = 'r'
      AND (place.relname LIKE 'entry%' OR place.relname = 'posted')
"""


async def read_id_range(
    connection: Connection, first: UUID, end: UUID, *, posted_before: datetime
) -> Sequence[MoneyAtRisk]:
    """Return what is wrong in rows with ids from `first` to before `end`."""
    return await _read(connection, _ID_RANGE, posted_before, first, end)


async def read_open(
    connection: Connection, *, now: datetime, posted_before: datetime
) -> Sequence[MoneyAtRisk]:
    """Return open reconciliation breaks and operations without an outcome."""
    return await _read(connection, _OPEN, posted_before, now)


async def read_late(connection: Connection, *, since: datetime, posted_before: datetime) -> Sequence[UUID]:
    """Return the ids of wrong rows, however old, that were resolved since an instant."""
    return [row[0] for row in await connection.fetch(_LATE, posted_before, since)]


async def find_boundary(connection: Connection, first: UUID, before: UUID, *, rows: int) -> UUID | None:
    """Return the id at which a range from `first` holds so many rows of a table.

    None if that is not below `before`.
    """
    boundary: UUID | None = await connection.fetchval(_BOUNDARY, first, before, rows)
    return boundary


async def read_touched(connection: Connection) -> str:
    """Return a text that changes when anybody updates or deletes rows of the append-only ledger."""
    touched: str = await connection.fetchval(_TOUCHED)
    return touched


async def _read(connection: Connection, query: str, *arguments: object) -> Sequence[MoneyAtRisk]:
    return [
        MoneyAtRisk(
            reason=Reason(row["reason"]),
            provider=row["provider"],
            currency=row["currency"],
            findings=row["findings"],
            minor_units=int(row["minor_units"]),
            at_risk_minor_units=int(row["at_risk"]),
            oldest=row["oldest"],
        )
        for row in await connection.fetch(query, *arguments)
    ]
