"""Read both sides of a comparison. No other module of this package reads payments and ledger."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from refpay.db.pool import Connection, Row
from refpay.ids import read_id
from refpay.money import Currency
from refpay.providers.reports import MovementKind
from refpay.reconciliation.matching import KnownChargeback, MatchingInput
from refpay.reconciliation.model import LedgerOperation, Repair, ReportedLine
from refpay.reconciliation.reports_repository import LINE_FIELDS, read_line

# Each look-up is one: OFFSET 0 keeps the planner from turning the look-ups of a part into a join. Without
# statistics it took the lines of a whole report for the keys of each part. The callers fix index plans too
# (`plan_by_key`): a cached plan may be from when a table was small.
_OPERATIONS = """
    unnest($2::uuid[]) AS wanted (key)
    CROSS JOIN LATERAL (
        SELECT * FROM payments.operation WHERE provider_key = wanted.key OFFSET 0) AS operation
    CROSS JOIN LATERAL (
        SELECT * FROM payments.payment WHERE id = operation.payment_id OFFSET 0) AS payment
"""
_LINES_IN_FORCE = """
    SELECT line.* FROM reconciliation.line
    WHERE line.provider = $1 AND line.key = wanted.line_key AND EXISTS (
        SELECT FROM reconciliation.report
        WHERE report.provider = $1 AND report.sequence = line.sequence AND report.revision = line.revision
        OFFSET 0)
    OFFSET 0
"""
_THEIRS = f"""
    SELECT sequence, position, {LINE_FIELDS}
    FROM unnest($2::text[]) AS wanted (line_key) CROSS JOIN LATERAL ({_LINES_IN_FORCE}) AS line
"""  # noqa: S608 - fragments of our own
_OURS = f"""
    SELECT wanted.key::text, operation.id, operation.status, operation.provider_reference,
           coalesce(undo.settle_after, operation.settle_after), operation.settled_at,
           posted.amount_minor AS posted_minor, coalesce(posted.currency, payment.currency) AS currency,
           CASE WHEN operation.kind = 'undo_capture' OR undo.posted THEN 'succeeded'
                ELSE undo.status END AS undone
    FROM {_OPERATIONS}
    LEFT JOIN LATERAL (
        SELECT line.amount_minor, line.currency
        FROM ledger.posted CROSS JOIN LATERAL (
            SELECT * FROM ledger.line WHERE line.entry_id = posted.entry_id OFFSET 0) AS line
        WHERE posted.operation_id = operation.id AND line.account = 'provider_receivable:' || payment.provider
        OFFSET 0) AS posted ON true
    LEFT JOIN LATERAL (
        SELECT undo.status, undo.settle_after, EXISTS (
            SELECT FROM ledger.posted WHERE posted.operation_id = undo.id OFFSET 0) AS posted
        FROM payments.operation AS undo
        WHERE undo.parent_id = operation.id AND undo.kind IN ('undo_capture', 'suspense_release')
        OFFSET 0) AS undo ON true
    WHERE payment.provider = $1 AND operation.kind IN ('capture', 'refund', 'undo_capture')
"""  # noqa: S608 - fragments of our own
# By the payment, because it is what an index has.
_CHARGEBACKS = f"""
    SELECT wanted.key::text, chargeback.idempotency_key AS movement, chargeback.kind, chargeback.amount_minor,
           payment.currency
    FROM {_OPERATIONS}
    CROSS JOIN LATERAL (
        SELECT * FROM payments.operation AS chargeback
        WHERE chargeback.payment_id = operation.payment_id AND chargeback.parent_id = operation.id
          AND chargeback.kind IN ('chargeback', 'chargeback_reversal')
        OFFSET 0) AS chargeback
    WHERE payment.provider = $1
"""  # noqa: S608 - fragments of our own
_NOT_SUCCEEDED = f"""
    SELECT wanted.key::text FROM {_OPERATIONS} WHERE payment.provider = $1 AND operation.status <> 'succeeded'
"""  # noqa: S608 - a fragment of our own
_REPAIRS = """
    SELECT movement, key, repair_key, amount_minor, currency FROM reconciliation.repair
    WHERE provider = $1 AND (key = ANY($2::text[]) OR repair_key = ANY($2::text[]))
"""
_UNREPORTED = f"""
    SELECT wanted.line_key AS key
    FROM (
        SELECT operation.provider_key::text AS line_key, payment_id FROM payments.operation
        WHERE operation.status = 'succeeded' AND operation.kind IN ('capture', 'refund', 'undo_capture')
          AND operation.settled_at >= $2 AND operation.settled_at < $3
        OFFSET 0) AS wanted
    CROSS JOIN LATERAL (
        SELECT * FROM payments.payment WHERE id = wanted.payment_id OFFSET 0) AS payment
    WHERE payment.provider = $1 AND NOT EXISTS ({_LINES_IN_FORCE})
    ORDER BY 1
"""  # noqa: S608 - a fragment of our own


@dataclass(frozen=True, slots=True)
class EvidenceRows:
    """What the database has about some keys, as its rows are."""

    keys: Sequence[str]
    repairs: Sequence[Row]
    theirs: Sequence[Row]
    ours: Sequence[Row]
    chargebacks: Sequence[Row]


async def read_evidence(connection: Connection, provider: str, keys: Sequence[str]) -> EvidenceRows:
    """Read what is known of these keys."""
    repairs = await connection.fetch(_REPAIRS, provider, list(keys))
    wanted = {*keys, *(row["repair_key"] for row in repairs)}
    theirs = await connection.fetch(_THEIRS, provider, list(wanted))
    identifiers = _identifiers(keys)
    ours = await connection.fetch(_OURS, provider, identifiers)
    chargebacks = await connection.fetch(_CHARGEBACKS, provider, identifiers)
    return EvidenceRows(keys, repairs, theirs, ours, chargebacks)


def matching_inputs(rows: EvidenceRows) -> Sequence[MatchingInput]:
    """Return what is known of each key, in the order of the keys."""
    repairs = [Repair(**row) for row in rows.repairs]
    theirs: dict[str, list[ReportedLine]] = defaultdict(list)
    for row in rows.theirs:
        sequence, position, *line = row
        theirs[row["key"]].append(ReportedLine(sequence, position, read_line(line)))
    ours = {key: LedgerOperation(*rest) for key, *rest in rows.ours}
    chargebacks: dict[str, set[KnownChargeback]] = defaultdict(set)
    for row in rows.chargebacks:
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
        for key in rows.keys
    ]


async def read_unresolved(connection: Connection, provider: str, keys: Sequence[str]) -> set[str]:
    """Return the keys of our operations that are not known to have succeeded."""
    rows = await connection.fetch(_NOT_SUCCEEDED, provider, _identifiers(keys))
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


def _identifiers(keys: Iterable[str]) -> list[str]:
    """Return the keys that can be ours: a report with another spelling of one names another key."""
    return [key for key in keys if read_id(key) is not None]
