"""Read the ledger through the view that the oracle's database role may read."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import asyncpg

from moneypath.oracle.database import UNREACHABLE, connect, describe
from moneypath.oracle.errors import LedgerUnreadable
from moneypath.oracle.records import PostingLine

PAGE_ROWS = 5000
ROWS_MAX = 5_000_000

# Casts keep the oracle independent of id types. No ORDER BY: the audit needs no order, and a sort costs time.
_QUERY = """
SELECT coalesce(entry_id::text, '') AS entry_id,
       coalesce(entry_kind::text, '') AS entry_kind,
       coalesce(operation_id::text, '') AS operation_id,
       coalesce(provider::text, '') AS provider,
       coalesce(provider_key::text, '') AS provider_key,
       coalesce(payment_id::text, '') AS payment_id,
       coalesce(merchant_reference::text, '') AS merchant_reference,
       coalesce(idempotency_key::text, '') AS idempotency_key,
       coalesce(account::text, '') AS account,
       coalesce(currency::text, '') AS currency,
       coalesce(amount_minor, 0)::bigint AS amount_minor,
       coalesce(extract(epoch FROM posted_at), 0)::float8 AS posted_at
FROM oracle.ledger_lines
"""


async def read_postings(
    dsn: str, *, timeout_seconds: float = 60.0, page_rows: int = PAGE_ROWS, rows_max: int = ROWS_MAX
) -> tuple[PostingLine, ...]:
    """Read every line of the ledger at one instant; raises LedgerUnreadable."""
    lines = stream_postings(dsn, timeout_seconds=timeout_seconds, page_rows=page_rows, rows_max=rows_max)
    async with aclosing(lines):
        return tuple([line async for line in lines])


async def stream_postings(
    dsn: str, *, timeout_seconds: float = 60.0, page_rows: int = PAGE_ROWS, rows_max: int = ROWS_MAX
) -> AsyncGenerator[PostingLine, None]:
    """Yield the ledger's lines from one repeatable-read snapshot, with `page_rows` in memory at a time.

    `timeout_seconds` limits each fetch. Raises LedgerUnreadable, also beyond `rows_max`: the lines left out
    would look like missing postings.
    """
    count = 0
    try:
        async with (
            connect(dsn, command_seconds=timeout_seconds) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            async for record in connection.cursor(_QUERY, prefetch=page_rows):
                count += 1
                if count > rows_max:
                    raise LedgerUnreadable(
                        f"{describe(dsn)}: more than {rows_max} ledger lines", hint="Audit a shorter run."
                    )
                yield PostingLine(*record.values())
    except (*UNREACHABLE, asyncpg.PostgresError) as error:
        raise LedgerUnreadable(
            f"{describe(dsn)}: the ledger cannot be read: {type(error).__name__}: {error}",
            hint="Check that PostgreSQL runs and that the role may read schema oracle.",
        ) from error
