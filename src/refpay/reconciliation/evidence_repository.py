"""Reads both sides of what is compared; the only module here that knows payments and ledger."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from refpay.db.pool import Connection, Row
from refpay.money import Currency
from refpay.providers.reports import MovementKind, ReportLine
from refpay.reconciliation.judging import Evidence, Known
from refpay.reconciliation.model import Ours, Repair, Theirs

_THEIRS = """
    SELECT line.sequence, line.position, line.key, line.movement, line.reference, line.kind,
           line.amount_minor, line.currency, line.fee_minor, line.booked_at
    FROM reconciliation.line
    JOIN reconciliation.report ON report.provider = line.provider AND report.sequence = line.sequence
                              AND report.revision = line.revision
    WHERE line.provider = $1 AND line.key = ANY($2::text[])
"""
_OURS = """
    SELECT operation.provider_key, operation.id, operation.status, operation.provider_reference,
           operation.settle_after, operation.settled_at, line.amount_minor AS posted_minor,
           coalesce(line.currency, payment.currency) AS currency
    FROM payments.operation
    JOIN payments.payment ON payment.id = operation.payment_id
    LEFT JOIN ledger.posted ON posted.operation_id = operation.id
    LEFT JOIN ledger.line ON line.entry_id = posted.entry_id
         AND line.account = 'provider_receivable:' || payment.provider
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
_UNSETTLED = """
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
          SELECT FROM reconciliation.line
          JOIN reconciliation.report ON report.provider = line.provider AND report.sequence = line.sequence
                                    AND report.revision = line.revision
          WHERE line.provider = $1 AND line.key = operation.provider_key::text)
    ORDER BY 1
"""


async def read_evidence(connection: Connection, provider: str, keys: Sequence[str]) -> Sequence[Evidence]:
    """Return what is known of each key, in the order of the keys."""
    repairs = [Repair(**row) for row in await connection.fetch(_REPAIRS, provider, list(keys))]
    wanted = {*keys, *(repair.repair_key for repair in repairs)}
    theirs: dict[str, list[Theirs]] = defaultdict(list)
    for row in await connection.fetch(_THEIRS, provider, list(wanted)):
        theirs[row["key"]].append(_theirs(row))
    ours = {
        str(row["provider_key"]): _ours(row)
        for row in await connection.fetch(_OURS, provider, list(_identifiers(keys)))
    }
    chargebacks: dict[str, set[Known]] = defaultdict(set)
    for row in await connection.fetch(_CHARGEBACKS, provider, list(_identifiers(keys))):
        kind, currency = MovementKind(row["kind"]), Currency(row["currency"])
        chargebacks[row["key"]].add((row["movement"], kind, row["amount_minor"], currency))
    repaired = _repaired(repairs, theirs)
    by_repair_key = {repair.repair_key: repair for repair in repairs}
    return [
        Evidence(
            key,
            theirs.get(key, ()),
            ours.get(key),
            repaired[key],
            by_repair_key.get(key),
            frozenset(chargebacks[key]),
        )
        for key in keys
    ]


async def read_unsettled(connection: Connection, provider: str, keys: Sequence[str]) -> set[str]:
    """Return the keys of operations of ours that are not known to be done."""
    rows = await connection.fetch(_UNSETTLED, provider, list(_identifiers(keys)))
    return {row["key"] for row in rows}


async def read_doubled_keys(connection: Connection, provider: str, keys: Sequence[str]) -> set[str]:
    """Return the keys of charges that something under these keys takes back."""
    rows = await connection.fetch(_REPAIRS, provider, list(keys))
    return {row["key"] for row in rows}


async def read_unreported(
    connection: Connection, provider: str, *, since: datetime, before: datetime
) -> Sequence[str]:
    """Return the keys of what we settled in this span and no report in force has."""
    rows = await connection.fetch(_UNREPORTED, provider, since, before)
    return [row["key"] for row in rows]


def _repaired(repairs: Iterable[Repair], theirs: Mapping[str, Sequence[Theirs]]) -> dict[str, frozenset[str]]:
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
        # Only as we write it ourselves: another spelling is another text in a report.
        if str(found) == key:
            yield found


def _theirs(row: Row) -> Theirs:
    line = ReportLine(
        key=row["key"],
        movement=row["movement"],
        reference=row["reference"],
        kind=MovementKind(row["kind"]),
        amount_minor=row["amount_minor"],
        currency=Currency(row["currency"]),
        fee_minor=row["fee_minor"],
        at=row["booked_at"],
    )
    return Theirs(row["sequence"], row["position"], line)


def _ours(row: Row) -> Ours:
    return Ours(
        operation_id=row["id"],
        status=row["status"],
        provider_reference=row["provider_reference"],
        settle_after=row["settle_after"],
        settled_at=row["settled_at"],
        posted_minor=row["posted_minor"],
        currency=row["currency"],
    )
