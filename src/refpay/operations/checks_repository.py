"""The integrity checks, in one statement and so of one instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from refpay.db.pool import Connection


class Reason(StrEnum):
    """Why money is at risk, in order of precedence: an amount is at risk under the first that fits."""

    LEDGER_IMBALANCE = "ledger_imbalance"
    DUPLICATE_CHARGE = "duplicate_charge"
    CAPTURE_WITHOUT_POSTING = "capture_without_posting"
    POSTING_WITHOUT_CAPTURE = "posting_without_capture"
    RECONCILIATION_BREAK = "reconciliation_break"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Findings of one reason, provider and currency; provider is absent where the ledger has none."""

    reason: Reason
    provider: str | None
    currency: str
    findings: int
    minor_units: int
    at_risk_minor_units: int
    oldest: datetime | None


# $1 is now, $2 the instant before which a capture should have been posted and a posting explained.
_SUSPICIONS = """
WITH unbalanced AS (
    SELECT entry_id, currency, abs(sum(amount_minor)) AS minor_units
    FROM ledger.line GROUP BY entry_id, currency HAVING sum(amount_minor) <> 0
), charged AS (
    SELECT id, provider, currency, captured_minor,
           row_number() OVER (PARTITION BY merchant, merchant_reference ORDER BY created_at, id) AS place
    FROM payments.payment WHERE captured_minor > 0
), duplicate AS (
    SELECT id, provider, currency, captured_minor AS minor_units FROM charged WHERE place > 1
), unposted AS (
    SELECT operation.id AS operation_id, payment.provider, payment.currency,
           operation.amount_minor AS minor_units,
           EXISTS (SELECT FROM duplicate WHERE duplicate.id = payment.id)
           OR EXISTS (SELECT FROM ledger.entry JOIN unbalanced ON unbalanced.entry_id = entry.id
                      WHERE entry.operation_id = operation.id) AS counted_before
    FROM payments.operation JOIN payments.payment ON payment.id = operation.payment_id
    WHERE operation.kind IN ('capture', 'refund') AND operation.status = 'succeeded'
      AND operation.created_at <= $2
      AND NOT EXISTS (
          SELECT FROM ledger.entry JOIN ledger.line ON line.entry_id = entry.id
          WHERE entry.operation_id = operation.id
            AND entry.kind = CASE operation.kind WHEN 'capture' THEN 'posting' ELSE 'reversal' END
            AND line.account = 'provider_receivable:' || payment.provider
            AND line.currency = payment.currency AND abs(line.amount_minor) = operation.amount_minor)
), unexplained AS (
    SELECT entry.operation_id, split_part(line.account, ':', 2) AS provider, line.currency,
           abs(line.amount_minor) AS minor_units,
           EXISTS (SELECT FROM unbalanced WHERE unbalanced.entry_id = entry.id) AS counted_before
    FROM ledger.entry JOIN ledger.line ON line.entry_id = entry.id
    WHERE entry.kind IN ('posting', 'reversal') AND line.account LIKE 'provider_receivable:%'
      AND entry.posted_at <= $2
      AND NOT EXISTS (
          SELECT FROM payments.operation
          WHERE operation.id = entry.operation_id AND operation.status = 'succeeded'
            AND operation.kind = CASE entry.kind WHEN 'posting' THEN 'capture' ELSE 'refund' END)
), reported_twice AS (
    SELECT provider, currency, value_minor AS minor_units FROM reconciliation.break
    WHERE closed_at IS NULL AND class = 'duplicate'
), broken AS (
    SELECT found.operation_id, found.provider, found.currency, found.value_minor AS minor_units,
           found.first_seen,
           EXISTS (SELECT FROM unposted WHERE unposted.operation_id = found.operation_id)
           OR EXISTS (SELECT FROM unexplained WHERE unexplained.operation_id = found.operation_id)
           OR EXISTS (SELECT FROM payments.operation JOIN duplicate ON duplicate.id = operation.payment_id
                      WHERE operation.id = found.operation_id)
           OR EXISTS (SELECT FROM ledger.entry JOIN unbalanced ON unbalanced.entry_id = entry.id
                      WHERE entry.operation_id = found.operation_id) AS counted_before
    FROM reconciliation.break AS found WHERE found.closed_at IS NULL AND found.class <> 'duplicate'
), unresolved AS (
    SELECT payment.provider, payment.currency, operation.amount_minor AS minor_units, operation.created_at,
           EXISTS (SELECT FROM broken WHERE broken.operation_id = operation.id) AS counted_before
    FROM payments.operation JOIN payments.payment ON payment.id = operation.payment_id
    WHERE operation.status = 'indeterminate'
       OR (operation.status = 'started' AND operation.call_deadline <= $1)
)
SELECT 'ledger_imbalance' AS reason, NULL AS provider, currency, count(*) AS findings,
       sum(minor_units) AS minor_units, sum(minor_units) AS at_risk, NULL::timestamptz AS oldest
FROM unbalanced GROUP BY currency
UNION ALL
SELECT 'duplicate_charge', provider, currency, count(*), sum(minor_units), sum(minor_units), NULL
FROM (SELECT provider, currency, minor_units FROM duplicate
      UNION ALL SELECT provider, currency, minor_units FROM reported_twice) AS twice
GROUP BY provider, currency
UNION ALL
SELECT 'capture_without_posting', provider, currency, count(*), sum(minor_units),
       coalesce(sum(minor_units) FILTER (WHERE NOT counted_before), 0), NULL
FROM unposted GROUP BY provider, currency
UNION ALL
SELECT 'posting_without_capture', provider, currency, count(*), sum(minor_units),
       coalesce(sum(minor_units) FILTER (WHERE NOT counted_before), 0), NULL
FROM unexplained GROUP BY provider, currency
UNION ALL
SELECT 'reconciliation_break', provider, currency, count(*), sum(minor_units),
       coalesce(sum(minor_units) FILTER (WHERE NOT counted_before), 0), min(first_seen)
FROM broken GROUP BY provider, currency
UNION ALL
SELECT 'indeterminate', provider, currency, count(*), sum(minor_units),
       coalesce(sum(minor_units) FILTER (WHERE NOT counted_before), 0), min(created_at)
FROM unresolved GROUP BY provider, currency
"""


async def read_suspicions(
    connection: Connection, *, now: datetime, posted_before: datetime
) -> Sequence[Suspicion]:
    """Return everything that does not add up at this instant; nothing means all is well."""
    return [
        Suspicion(
            reason=Reason(row["reason"]),
            provider=row["provider"],
            currency=row["currency"],
            findings=row["findings"],
            minor_units=int(row["minor_units"]),
            at_risk_minor_units=int(row["at_risk"]),
            oldest=row["oldest"],
        )
        for row in await connection.fetch(_SUSPICIONS, now, posted_before)
    ]
