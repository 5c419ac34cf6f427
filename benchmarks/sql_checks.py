"""What the ready checks cost on a ledger of a team's own: 10 k, 100 k and 1 M movements.

Run `python benchmarks/sql_checks.py --rows 10000 --rows 100000 --rows 1000000`. A real server with its
default settings but for the ones of our stack, tables without any index but those that such a ledger has,
analysed as autovacuum would do it. Medians of the time that a run takes, its snapshot included, on one
connection as the exporter has it.
"""

import asyncio
import json
import os
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg

import measuring
from moneypath.checks.plan import CheckPlan
from moneypath.checks.ready import statement_of
from moneypath.checks.running import run
from moneypath.checks.session import read_only_connection
from moneypath.path.sql_checks import AmountUnit, SqlCheck
from moneypath.stack import postgres
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor

EXPONENTS: Final = {"EUR": 2, "USD": 2}
ROWS_MAX: Final = 10_000
TIME_LIMIT_SECONDS: Final = 600.0
# A movement is a transfer between two of a thousand accounts, two lines, a charge and a booking.
_LEDGER: Final = """
    DROP TABLE IF EXISTS line, transfer, wallet, charge, booking;
    CREATE TABLE transfer AS
        SELECT i AS id, 'account-' || i % 1000 AS src, 'account-' || (i * 7 + 1) % 1000 AS dst,
               (100 + i % 777)::numeric AS amount, (ARRAY['EUR', 'USD'])[i % 2 + 1] AS currency,
               CASE WHEN i % 100 = 0 THEN 'held' ELSE 'applied' END AS state,
               now() - interval '1 hour' * (CASE WHEN i % 100 = 0 THEN 0 ELSE 1 END) AS at
        FROM generate_series(1, {rows}) AS i;
    CREATE TABLE line AS
        SELECT id AS entry, currency, sign * amount AS amount, at
        FROM transfer, unnest(ARRAY[1, -1]) AS sign;
    CREATE TABLE wallet AS
        SELECT account, currency, sum(amount) AS balance FROM (
            SELECT dst AS account, currency, amount FROM transfer WHERE state = 'applied'
            UNION ALL SELECT src, currency, -amount FROM transfer WHERE state = 'applied') AS moved
        GROUP BY account, currency;
    CREATE TABLE charge AS
        SELECT 'shop-' || id % 50 AS shop, 'order-' || id AS reference, amount, currency, at FROM transfer;
    CREATE TABLE booking AS SELECT reference, amount, currency, at FROM charge;
    CREATE INDEX ON booking (reference); CREATE INDEX ON charge (reference);
    ANALYZE line, transfer, wallet, charge, booking;
"""
_BREAK: Final = "UPDATE line SET amount = amount + 1 WHERE amount > 0"
_MOVED: Final = {"reference": "reference", "amount": "amount", "currency": "currency", "at": "at"}
CHECKS: Final[dict[str, dict[str, Any]]] = {
    "zero_sum": {"table": "line", "entry": "entry", "currency": "currency", "amount": "amount", "at": "at"},
    "balance_is_sum": {
        "balances": {"table": "wallet", "account": "account", "balance": "balance", "currency": "currency"},
        "movements": {
            "table": "transfer",
            "source": "src",
            "destination": "dst",
            "amount": "amount",
            "currency": "currency",
            "where": {"state": ["applied"]},
        },
    },
    "capture_without_posting": {
        "captures": {"table": "charge", **_MOVED},
        "postings": {"table": "booking", "reference": "reference"},
        "deadline_seconds": 60,
    },
    "posting_without_capture": {
        "postings": {"table": "booking", **_MOVED},
        "captures": {"table": "charge", "reference": "reference"},
        "deadline_seconds": 60,
    },
    "duplicate_reference": {"table": "charge", **_MOVED, "reference": ["shop", "reference"]},
    "negative_balance": {
        "table": "charge",
        "account": "reference",
        "balance": "amount",
        "currency": "currency",
    },
    "stuck_in_flight": {
        "table": "transfer",
        "id": "id",
        "amount": "amount",
        "currency": "currency",
        "at": "at",
        "where": {"state": ["held"]},
        "deadline_seconds": 3600,
    },
}


def plan_of(kind: str) -> CheckPlan:
    """Return the plan of a ready check, as a declaration makes it."""
    document = json.dumps({"dsn_file": "dsn", "ready": {"kind": kind, **CHECKS[kind]}})
    ready = SqlCheck.model_validate_json(document, strict=True).ready
    if ready is None:
        raise SystemExit(f"{kind} is no ready check")
    statement = statement_of(ready)
    return CheckPlan(kind, kind, statement, AmountUnit.MINOR, 60.0, TIME_LIMIT_SECONDS, ROWS_MAX)


@asynccontextmanager
async def open_database() -> AsyncIterator[str]:
    """Start a server for the time of the benchmark, and yield the address of an empty database."""
    with tempfile.TemporaryDirectory() as folder, PortPool(dict(os.environ)) as ports:
        async with Supervisor(Path(folder) / "run") as supervisor:
            prepared = await postgres.prepare(
                Path(folder) / "run" / "postgres",
                ports.reserve("postgres"),
                superuser_password="password-of-admin",  # noqa: S106 - of a server that lives for a minute
                roles={"owner": "password-of-owner"},
                owner="owner",
                database="books",
            )
            await supervisor.start(prepared.spec)
            yield prepared.dsn("postgres", "books")


async def seconds_of(dsn: str, kind: str, rounds: int, expected: int) -> list[float]:
    """Return what each run of a check took; ends the benchmark if it finds anything else than expected."""
    taken = []
    async with read_only_connection(dsn) as connection:
        for _ in range(rounds):
            result = await run(connection, plan_of(kind), EXPONENTS)
            if not result.is_known or result.count != expected:
                raise SystemExit(f"{kind}: {result.outcome}, {result.count} violations, {result.reason}")
            taken.append(result.seconds)
    return taken


async def measure(rows_of: list[int], rounds: int) -> list[measuring.Row]:
    """Return a row for each check and size, and one for a ledger in which nothing is right."""
    found = []
    async with open_database() as dsn:
        owner = await asyncpg.connect(dsn)
        for rows in rows_of:
            await owner.execute(_LEDGER.format(rows=rows))
            for kind in CHECKS:
                taken = statistics.median(await seconds_of(dsn, kind, rounds, 0))
                found.append(measuring.Row(f"{rows} movements: {kind}", 1000 * taken, "ms"))
            await owner.execute(_BREAK)
            broken = min(rows, ROWS_MAX)
            taken = statistics.median(await seconds_of(dsn, "zero_sum", rounds, broken))
            detail = f"{broken} violations counted"
            found.append(
                measuring.Row(f"{rows} movements: all entries broken", 1000 * taken, "ms", None, detail)
            )
        await owner.close()
    return found


def main() -> None:
    """Measure and print."""
    command = measuring.parser(__doc__ or "", rows=[500], rounds=1)
    command.add_argument("--rows", type=int, action="append", help="movements; may come several times")
    command.add_argument("--rounds", type=int, default=5, help="runs of each check")
    given = command.parse_args()
    rows = asyncio.run(measure(given.rows or [10_000, 100_000, 1_000_000], given.rounds))
    measuring.tell(rows, given.json)


if __name__ == "__main__":
    main()
