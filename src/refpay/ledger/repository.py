"""The only writer of the ledger."""

from refpay.db.pool import Connection
from refpay.ledger.entries import Entry

_INSERT_ENTRY = """
    INSERT INTO ledger.entry (id, kind, operation_id, payment_id, posted_at) VALUES ($1, $2, $3, $4, $5)
"""
# One statement for all lines: the database checks the balance of each statement.
_INSERT_LINES = """
    INSERT INTO ledger.line (entry_id, account, currency, amount_minor)
    SELECT $1, account, $2, amount_minor FROM unnest($3::text[], $4::bigint[]) AS leg (account, amount_minor)
"""


async def post(connection: Connection, entry: Entry) -> None:
    """Write an entry inside the caller's transaction; the database refuses what does not balance."""
    await connection.execute(
        _INSERT_ENTRY, entry.id, entry.kind, entry.operation_id, entry.payment_id, entry.posted_at
    )
    await connection.execute(
        _INSERT_LINES,
        entry.id,
        entry.currency,
        [line.account for line in entry.lines],
        [line.amount_minor for line in entry.lines],
    )
