"""The only writer of the ledger, and what reads single entries back."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from refpay.db.pool import Connection
from refpay.ledger.acknowledged import Acknowledgement
from refpay.ledger.entries import Entry

_INSERT_ENTRY = """
    INSERT INTO ledger.entry (id, kind, operation_id, payment_id, posted_at) VALUES ($1, $2, $3, $4, $5)
"""
# One statement for all lines: the database checks the balance of each statement.
_INSERT_LINES = """
    INSERT INTO ledger.line (entry_id, account, currency, amount_minor)
    SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[])
"""
_ENTRIES_OF = "SELECT operation_id, id FROM ledger.entry WHERE operation_id = ANY ($1::uuid[])"
# Byte order, as Python sorts; whatever is missing, changed or added makes another text, or none.
_MISSING = """
    SELECT asked.place FROM unnest($1::uuid[], $2::text[], $3::text[])
        WITH ORDINALITY AS asked (operation_id, kind, lines, place)
    WHERE asked.lines IS DISTINCT FROM (
        SELECT string_agg(
            line.account || ' ' || line.currency || ' ' || line.amount_minor, ';'
            ORDER BY line.account COLLATE "C", line.currency COLLATE "C", line.amount_minor)
        FROM ledger.entry JOIN ledger.line ON line.entry_id = entry.id
        WHERE entry.operation_id = asked.operation_id AND entry.kind = asked.kind)
    ORDER BY asked.place
"""


async def post(connection: Connection, entry: Entry) -> None:
    """Write an entry inside the caller's transaction; the database refuses what does not balance."""
    await connection.execute(
        _INSERT_ENTRY, entry.id, entry.kind, entry.operation_id, entry.payment_id, entry.posted_at
    )
    await connection.execute(
        _INSERT_LINES,
        entry.id,
        [line.account for line in entry.lines],
        [line.currency for line in entry.lines],
        [line.amount_minor for line in entry.lines],
    )


async def read_entries_of(connection: Connection, operation_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
    """Return the ids of entries by their operations."""
    rows = await connection.fetch(_ENTRIES_OF, operation_ids)
    return {row["operation_id"]: row["id"] for row in rows}


async def read_missing(connection: Connection, asked: Sequence[Acknowledgement]) -> list[Acknowledgement]:
    """Return those of which the ledger has no entry with exactly these lines."""
    rows = await connection.fetch(
        _MISSING,
        [one.operation_id for one in asked],
        [one.kind for one in asked],
        [one.lines for one in asked],
    )
    return [asked[row["place"] - 1] for row in rows]
