"""Post entries, and read entries and balances back. Nothing else writes to the ledger."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Final
from uuid import UUID

from refpay.db.pool import Connection, Database
from refpay.ledger.cold_storage import SEALED_END
from refpay.ledger.entries import Entry
from refpay.ledger.errors import HistoryArchived
from refpay.ledger.receipt_log import Receipt

# An entry is one row, so it is written whole or not at all. The database refuses one that does not balance.
_INSERT: Final = """
    INSERT INTO ledger.entry (
        id, kind, operation_id, payment_id, posted_at, accounts, currencies, amounts_minor)
    SELECT id, kind, operation_id, payment_id, posted_at, string_to_array(accounts, chr(31)),
           string_to_array(currencies, chr(31)), string_to_array(amounts_minor, chr(31))::bigint[]
    FROM unnest(
        $1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::text[], $7::text[], $8::text[]
    ) AS asked (id, kind, operation_id, payment_id, posted_at, accounts, currencies, amounts_minor)
"""
_FIELDS: Final = attrgetter("account", "currency", "amount_minor")
_ENTRIES_OF: Final = "SELECT operation_id, entry_id FROM ledger.posted WHERE operation_id = ANY ($1::uuid[])"
# In byte order, as Python sorts. A line that is missing, changed or added gives another text.
_MISSING: Final = """
    SELECT asked.place FROM unnest($1::uuid[], $2::text[], $3::text[])
        WITH ORDINALITY AS asked (operation_id, kind, lines, place)
    WHERE asked.lines IS DISTINCT FROM (
        SELECT string_agg(
            line.account || ' ' || line.currency || ' ' || line.amount_minor, ';'
            ORDER BY line.account COLLATE "C", line.currency COLLATE "C", line.amount_minor)
        FROM ledger.posted JOIN ledger.line ON line.entry_id = posted.entry_id
        WHERE posted.operation_id = asked.operation_id
          AND line.operation_id = asked.operation_id AND line.kind = asked.kind)
      AND NOT EXISTS (SELECT FROM ledger.posted
                      WHERE posted.operation_id = asked.operation_id AND ledger.is_archived(posted.entry_id))
    ORDER BY asked.place
"""
# The sealed balances, plus unsealed lines, minus what was posted after $2: exact even if clocks were wrong,
# and independent of the size of the ledger. One statement, so that it sees one instant.
_BALANCES: Final = f"""
    WITH part AS (
        SELECT account, currency, balance_minor FROM ledger.balance WHERE account = ANY ($1::text[])
        UNION ALL
        SELECT account, currency, amount_minor FROM ledger.line
        WHERE (written_in, entry_id) > {SEALED_END} AND account = ANY ($1::text[])
        UNION ALL
        SELECT account, currency, -amount_minor FROM ledger.line
        WHERE entry_id >= ledger.first_id($2::timestamptz - interval '2 seconds') AND posted_at > $2
          AND account = ANY ($1::text[])
    )
    SELECT account, currency, sum(balance_minor) AS balance_minor FROM part GROUP BY account, currency
"""  # noqa: S608 - a fragment of our own
_ACCOUNTS: Final = f"""
    SELECT account FROM (
        (SELECT DISTINCT account FROM ledger.balance WHERE account > $1 ORDER BY account LIMIT $2)
        UNION
        SELECT account FROM ledger.line
        WHERE (written_in, entry_id) > {SEALED_END} AND account > $1) AS known
    ORDER BY account LIMIT $2
"""  # noqa: S608 - a fragment of our own
# The account of a merchant has a debit balance only if it owes us. One row a merchant and currency is read,
# however many payments there are.
_DEBTS: Final = """
    SELECT currency, sum(balance_minor) AS minor_units FROM ledger.balance
    WHERE account LIKE 'merchant\\_payable:%' AND balance_minor > 0 GROUP BY currency
"""
_ARCHIVED: Final = """
    SELECT name FROM ledger.archive
    WHERE restored_at IS NULL AND end_id > ledger.first_id($1) ORDER BY name LIMIT 1
"""


async def post(connection: Connection, *entries: Entry) -> None:
    """Write entries inside the caller's transaction. The database refuses an entry that does not balance."""
    rows = [
        (
            entry.id,
            entry.kind,
            entry.operation_id,
            entry.payment_id,
            entry.posted_at,
            *("\x1f".join(map(str, field)) for field in zip(*map(_FIELDS, entry.lines), strict=True)),
        )
        for entry in entries
    ]
    if rows:
        await connection.execute(_INSERT, *map(list, zip(*rows, strict=True)))


async def read_entries_of(connection: Connection, operation_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
    """Return the ids of entries by their operations."""
    rows = await connection.fetch(_ENTRIES_OF, operation_ids)
    return {row["operation_id"]: row["entry_id"] for row in rows}


async def read_missing(connection: Connection, asked: Sequence[Receipt]) -> list[Receipt]:
    """Return the receipts without an entry of exactly these lines in the ledger or in cold storage."""
    rows = await connection.fetch(
        _MISSING,
        [one.operation_id for one in asked],
        [one.kind for one in asked],
        [one.lines for one in asked],
    )
    return [asked[row["place"] - 1] for row in rows]


async def read_balances(
    connection: Connection, accounts: Sequence[str], *, as_of: datetime | None = None
) -> Mapping[tuple[str, str], int]:
    """Return balances in minor units by account and currency, debit positive.

    Accounts that never moved are absent.

    With `as_of`, only what was posted up to that instant counts. Raises HistoryArchived if entries of that
    time have gone to cold storage.
    """
    if as_of is not None and (name := await connection.fetchval(_ARCHIVED, as_of)) is not None:
        raise HistoryArchived(f"entries after {as_of.isoformat()} are in cold storage: {name}")
    rows = await connection.fetch(_BALANCES, accounts, as_of)
    return {(row["account"], row["currency"]): int(row["balance_minor"]) for row in rows}


async def read_debts(database: Database) -> Mapping[str, int]:
    """Return what merchants owe as of the last seal, in minor units by currency.

    Credits of other merchants reduce nothing. Raises DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        return {row["currency"]: int(row["minor_units"]) for row in await connection.fetch(_DEBTS)}


async def list_balances(
    database: Database, account: str | None, as_of: datetime | None, *, after: str, limit: int
) -> tuple[Mapping[tuple[str, str], int], str | None]:
    """Return the balances of one account, or of the next accounts and the account after which others follow.

    In minor units by account and currency, debit positive. An account that had not moved by `as_of` has none.
    Raises HistoryArchived.
    """
    async with database.transaction() as connection:
        # The accounts that were ever moved, in order.
        known = [] if account else await connection.fetch(_ACCOUNTS, after, limit + 1)
        accounts = [account] if account else [row["account"] for row in known]
        shown = accounts[:limit]
        balances = await read_balances(connection, shown, as_of=as_of)
    return balances, shown[-1] if len(accounts) > limit else None
