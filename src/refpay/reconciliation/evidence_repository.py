"""Read both sides of a comparison. No other module of this package reads payments and ledger."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from refpay.db.pool import Connection
from refpay.money import Currency
from refpay.providers.reports import MovementKind
from refpay.reconciliation.matching import KnownChargeback, MatchingInput
from refpay.reconciliation.model import LedgerOperation, Repair, ReportedLine
from refpay.reconciliation.reports_repository import LINE_FIELDS, read_line

_THEIRS = f"""
    SELECT sequence, position, {LINE_FIELDS}
    FROM reconciliation.line JOIN reconciliation.report USING (provider, sequence, revision)
    WHERE provider = $1 AND key = ANY($2::text[])
"""  # noqa: S608 - a fragment of our own
_OURS = """
    SELECT operation.provider_key::text, operation.id, operation.status, operation.provider_reference,
           coalesce(undo.settle_after, operation.settle_after), operation.settled_at,
           line.amount_minor AS posted_minor, coalesce(line.currency, payment.currency) AS currency,
           CASE WHEN operation.kind = 'undo_capture' OR back.entry_id IS NOT NULL THEN 'succeeded'
                ELSE undo.status END AS undone
    FROM payments.operation
    JOIN payments.payment ON payment.id = operation.payment_id
    LEFT JOIN ledger.posted ON posted.operation_id = operation.id
    LEFT JOIN ledger.line ON line.entry_id = posted.entry_id
         AND line.account = 'provider_receivable:' || payment.provider
    LEFT JOIN payments.operation AS undo
         ON undo.parent_id = operation.id AND undo.kind IN ('undo_capture', 'suspense_release')
    LEFT JOIN ledger.posted AS back ON back.operation_id = undo.id
    WHERE operation.provider_key = ANY($2::uuid[]) AND payment.provider = $1
      AND operation.kind IN ('capture', 'refund', 'undo_capture')
"""
_CHARGEBACKS = """
    SELECT capture.provider_key::text AS key, operation.idempotency_key AS movement, operation.kind,
           operation.amount_minor, payment.currency
    FROM payments.operation JOIN payments.operation AS capture ON capture.id = operation.parent_id
    JOIN payments.payment ON payment.id = operation.payment_id
    WHERE capture.provider_key = ANY($2::uuid[]) AND payment.provider = $1
      AND operation.kind IN ('chargeback', 'chargeback_reversal')
"""
_NOT_SUCCEEDED = """
    SELECT operation.provider_key::text AS key
    FROM payments.operation JOIN payments.payment ON payment.id = operation.payment_id
    WHERE operation.provider_key = ANY($2::uuid[]) AND payment.provider = $1
      AND operation.status <> 'succeeded'
"""
_REPAIRS = """
    SELECT movement, key, repair_key, amount_minor, currency FROM reconciliation.repair
    WHERE provider = $1 AND (key = ANY($2::text[]) OR repair_key = ANY($2::text[]))
"""
_UNREPORTED = """
    SELECT operation.provider_key::text AS key
    FROM payments.operation JOIN payments.payment ON payment.id = operation.payment_id
    WHERE operation.status = 'succeeded' AND operation.kind IN ('capture', 'refund', 'undo_capture')
      AND payment.provider = $1 AND operation.settled_at >= $2 AND operation.settled_at < $3
      AND NOT EXISTS (
          SELECT FROM reconciliation.line JOIN reconciliation.report USING (provider, sequence, revision)
          WHERE provider = $1 AND key = operation.provider_key::text)
    ORDER BY 1
"""


async def read_evidence(
    connection: Connection, provider: str, keys: Sequence[str]
) -> Sequence[MatchingInput]:
    """Return what is known of each key, in the order of the keys."""
    repairs = [Repair(**row) for row in await connection.fetch(_REPAIRS, provider, list(keys))]
    wanted = {*keys, *(repair.repair_key for repair in repairs)}
    theirs: dict[str, list[ReportedLine]] = defaultdict(list)
    for row in await connection.fetch(_THEIRS, provider, list(wanted)):
        sequence, position, *line = row
        theirs[row["key"]].append(ReportedLine(sequence, position, read_line(line)))
    identifiers = list(_identifiers(keys))
    ours = {
        key: LedgerOperation(*rest) for key, *rest in await connection.fetch(_OURS, provider, identifiers)
    }
    chargebacks: dict[str, set[KnownChargeback]] = defaultdict(set)
    for row in await connection.fetch(_CHARGEBACKS, provider, identifiers):
        kind, currency = MovementKind(row["kind"]), Currency(row["currency"])
        chargebacks[row["key"]].add((row["movement"], kind, row["amount_minor"], currency))
    repaired = _repaired(repairs, theirs)
    by_repair_key = {repair.repair_key: repair for repair in repairs}
    return [
        MatchingInput(
            key,
            theirs.get(key, ()),
            ours.get(key),
            repaired[key],
            by_repair_key.get(key),
            frozenset(chargebacks[key]),
        )
        for key in keys
    ]


async def read_unresolved(connection: Connection, provider: str, keys: Sequence[str]) -> set[str]:
    """Return the keys of our operations that are not known to have succeeded."""
    rows = await connection.fetch(_NOT_SUCCEEDED, provider, list(_identifiers(keys)))
    return {row["key"] for row in rows}


async def read_doubled_keys(connection: Connection, provider: str, keys: Sequence[str]) -> set[str]:
    """Return the keys of charges that a movement under these keys refunds."""
    rows = await connection.fetch(_REPAIRS, provider, list(keys))
    return {row["key"] for row in rows}


async def read_unreported(
    connection: Connection, provider: str, *, since: datetime, before: datetime
) -> Sequence[str]:
    """Return the keys of operations that were resolved in this period and are in no report in force."""
    rows = await connection.fetch(_UNREPORTED, provider, since, before)
    return [row["key"] for row in rows]


def _repaired(
    repairs: Iterable[Repair], theirs: Mapping[str, Sequence[ReportedLine]]
) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for repair in repairs:
        if any(repair.is_done_by(one.line) for one in theirs.get(repair.repair_key, ())):
            found[repair.key].add(repair.movement)
    return defaultdict(frozenset, {key: frozenset(movements) for key, movements in found.items()})


def _identifiers(keys: Iterable[str]) -> Iterable[UUID]:
    for key in keys:
        try:
            found = UUID(key)
        except ValueError:
            continue
        # Only in our own spelling: a report with another spelling names another key.
        if str(found) == key:
            yield found
