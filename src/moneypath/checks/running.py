"""Run one check in one read-only snapshot, within its time and its rows."""

import asyncio
import time
from collections.abc import Mapping
from time import monotonic
from typing import Final

import asyncpg
from asyncpg.cursor import Cursor
from asyncpg.transaction import Transaction

from moneypath.checks.columns import ColumnsUnfit, bounded, describing, require_columns
from moneypath.checks.plan import CheckPlan
from moneypath.checks.results import RunResult, Tally
from moneypath.checks.session import GONE, Connection, describe
from moneypath.telemetry.catalogue.vocabulary import CheckRunOutcome as Outcome
from moneypath.telemetry.redaction import redact

FETCH_ROWS: Final = 500
# After the server's own limit, for a server that does not keep it.
GRACE_SECONDS: Final = 2.0
_END_SECONDS: Final = 2.0
# The limit of one fetch, and of a client that was stopped between two.
_LIMITS: Final = """
    SELECT set_config('statement_timeout', $1, true),
           set_config('idle_in_transaction_session_timeout', $1, true)
"""
# Errors about the text of a statement, and about writing, quote names of the schema and no row.
_OF_THE_TEXT: Final = ("42", "25")


async def run(
    connection: Connection, check: CheckPlan, exponents: Mapping[str, int], *, keep: int = 0
) -> RunResult:
    """Run a check and return what it found, or how it failed; a connection that is then closed is lost.

    The first `keep` violations are kept to be shown.
    """
    began_at, began = time.time(), monotonic()
    tally = Tally(check.amount, exponents, keep)
    outcome, reason = await _outcome(connection, check, tally)
    known = outcome in {Outcome.SUCCEEDED, Outcome.TRUNCATED}
    seen = tally if known else Tally(check.amount, exponents)
    return RunResult(
        check=check.id,
        outcome=outcome,
        began_at=began_at,
        seconds=monotonic() - began,
        reason=reason,
        count=seen.count,
        unreadable=seen.unreadable,
        money=dict(seen.money),
        oldest_since=seen.oldest_since,
        violations=tuple(seen.violations),
    )


async def _outcome(connection: Connection, check: CheckPlan, tally: Tally) -> tuple[Outcome, str]:
    limit = check.time_limit_seconds
    try:
        async with asyncio.timeout(limit + GRACE_SECONDS):
            return await _read(connection, check, tally)
    except asyncpg.QueryCanceledError:
        return Outcome.TIMED_OUT, f"it takes longer than {limit:g} s"
    except TimeoutError:
        return Outcome.TIMED_OUT, f"no answer within {limit + GRACE_SECONDS:g} s"
    except ColumnsUnfit as unfit:
        return Outcome.UNFIT, str(unfit)
    except GONE as error:
        connection.terminate()
        return Outcome.UNREACHABLE, describe(error)
    except asyncpg.PostgresError as error:
        said = f": {redact(error.args[0])}" if str(error.sqlstate).startswith(_OF_THE_TEXT) else ""
        return Outcome.REFUSED, f"{describe(error)}{said}"


async def _read(connection: Connection, check: CheckPlan, tally: Tally) -> tuple[Outcome, str]:
    transaction = connection.transaction(isolation="repeatable_read", readonly=True)
    try:
        await transaction.start()
        await connection.fetch(_LIMITS, str(int(check.time_limit_seconds * 1000)))
        described = await connection.prepare(describing(check.statement))
        require_columns(described.get_attributes(), check.amount)
        statement = await connection.prepare(bounded(check.statement, check.amount))
        return await _count(await statement.cursor(), check.rows_max, tally)
    except asyncio.CancelledError:
        # A server that stands still answers no rollback either.
        connection.terminate()
        raise
    finally:
        await _end(connection, transaction)


async def _count(cursor: "Cursor[asyncpg.Record]", rows_max: int, tally: Tally) -> tuple[Outcome, str]:
    while rows := await cursor.fetch(FETCH_ROWS):
        for row in rows:
            if tally.count == rows_max:
                return Outcome.TRUNCATED, f"there are more than {rows_max} violations"
            tally.add(row)
    return Outcome.SUCCEEDED, ""


async def _end(connection: Connection, transaction: Transaction) -> None:
    """Roll back what is nothing but a snapshot; a session that cannot is given up."""
    if connection.is_closed():
        return
    try:
        async with asyncio.timeout(_END_SECONDS):
            await transaction.rollback()
    except (*GONE, asyncpg.PostgresError):
        connection.terminate()
