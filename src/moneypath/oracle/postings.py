"""Read the ledger through the view that the oracle's database role may read."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import asyncpg

from moneypath.oracle.database import UNREACHABLE, connect, describe
from moneypath.oracle.errors import LedgerUnreadable
from moneypath.oracle.records import PostingLine

PAGE_ROWS = 5000
ROWS_MAX = 5_000_000
# What NUMERIC can hold before its point, so that no amount makes the reader slow.
_DIGITS_MAX = 200
_SHOWN_MAX = 40
_ACCOUNT, _AMOUNT = map(PostingLine._fields.index, ("account", "amount_minor"))
_INTEGER = re.compile(rf"-?[0-9]{{1,{_DIGITS_MAX}}}(?:\.0+)?")

# Amounts are read as text: a cast would round a fraction away, and fail on what is larger. Other casts keep
# the oracle independent of id types. No ORDER BY: the audit needs no order, and a sort costs time.
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
       amount_minor::text AS amount_minor,
       coalesce(extract(epoch FROM posted_at), 0)::float8 AS posted_at,
       coalesce(merchant::text, '') AS merchant,
       coalesce(report::text, '') AS report
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
                yield _line(tuple(record.values()))
    except (*UNREACHABLE, asyncpg.PostgresError) as error:
        raise LedgerUnreadable(
            f"{describe(dsn)}: the ledger cannot be read: {type(error).__name__}: {error}",
            hint="Check that PostgreSQL runs, that its schema is the newest, and that the role may read it.",
        ) from error


def _line(values: Sequence[Any]) -> PostingLine:  # Any: one row of the database
    """Return a line; an amount that is no integer is kept as it is written."""
    account, stated = values[_ACCOUNT], values[_AMOUNT]
    whole = stated is not None and _INTEGER.fullmatch(stated)
    amount = int(stated.partition(".")[0]) if whole else 0
    # An entry without lines has neither account nor amount, and is reported as that.
    known = whole or (stated is None and not account)
    misstated = "" if known else (stated or "null")[:_SHOWN_MAX]
    row: list[Any] = [*values, misstated]
    row[_AMOUNT] = amount
    return PostingLine(*row)
