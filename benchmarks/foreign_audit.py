"""Measure `moneypath audit` on a ledger that is not ours: seconds and peak memory by number of transactions.

A real server holds wallet transfers with two sides, a provider's book and the answers: three rows a
transaction, each read by one SELECT. The command runs as a process of its own; the peak is the sum over all
its processes (PSS), without the server's. `--windows N` audits a day by N windows instead of all at once.

    python benchmarks/foreign_audit.py [--transactions N ...] [--windows N]
"""

import asyncio
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

import asyncpg

import measuring
from moneypath.stack import postgres
from moneypath.stack.memory import read_trees
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor

SIZES: Final = (10_000, 100_000, 1_000_000)
SECONDS_GOAL: Final = 60.0
MEGABYTES_GOAL: Final = 1000.0
_ROLE: Final = "auditor"
_SAMPLED_EVERY_SECONDS: Final = 0.5
_BEGAN: Final = datetime(2026, 3, 1, tzinfo=UTC)
_PERIOD: Final = timedelta(days=1)
_TABLES: Final = """
DROP TABLE IF EXISTS wallet, book, answer;
CREATE TABLE wallet AS SELECT n AS id, 'sale' AS kind, 'key-' || n AS key, 'order-' || n AS reference,
    'ask-' || n AS asked, 'shop' || n % 1000 AS merchant, 'EUR' AS currency,
    timestamptz '2026-03-01 00:00Z' + n * interval '1 day' / {transactions} AS at, 1000 + n % 977 AS amount,
    '@north-EUR' AS source, '@merchant-shop' || n % 1000 || '-EUR' AS destination
FROM generate_series(0, {transactions} - 1) AS n;
CREATE TABLE book AS SELECT 'north' AS provider, key, 'charge' AS kind, reference, currency,
    'prov-' || id AS provider_reference, at, amount FROM wallet;
CREATE TABLE answer AS SELECT asked AS idempotency_key, reference AS merchant_reference, 'capture' AS kind,
    merchant AS beneficiary, currency, 'succeeded' AS outcome, at, amount FROM wallet;
CREATE INDEX ON wallet (at);
CREATE INDEX ON book (at);
CREATE INDEX ON answer (at);
GRANT SELECT ON wallet, book, answer TO auditor;
"""
_LEDGER: Final = """
SELECT id AS entry_id, kind, 'north' AS provider, key AS provider_key, reference AS merchant_reference,
    asked AS idempotency_key, merchant AS beneficiary, currency, at AS posted_at, amount,
    source AS debit_account, destination AS credit_account
FROM wallet
"""
_FILE: Final = """
currencies: {EUR: 2}
witnesses:
  - id: wallet_rows
    role: ledger
    dsn_file: dsn
    sql: ledger.sql
    shape: two_sided
    kinds: {capture: [sale]}
    accounts: {receivable: '^@(?P<provider>north)-', payable: '^@merchant-(?P<beneficiary>\\w+)-'}
  - {id: book, role: book, dsn_file: dsn, sql: book.sql, kinds: {capture: [charge]}}
  - {id: client_log, role: answers, dsn_file: dsn, sql: answers.sql, kinds: {capture: [capture]}}
reconcile:
  - {id: all, ledger: wallet_rows, books: [book], answers: client_log}
"""


@asynccontextmanager
async def open_server(folder: Path) -> AsyncIterator[postgres.Postgres]:
    """Run PostgreSQL, with a role that may read."""
    with PortPool({}) as ports:
        async with Supervisor(folder) as supervisor:
            prepared = await postgres.prepare(
                folder / "data",
                ports.reserve("postgres"),
                superuser_password=secrets.token_urlsafe(12),
                roles={_ROLE: secrets.token_urlsafe(12)},
                owner=_ROLE,
                database=_ROLE,
            )
            await supervisor.start(prepared.spec)
            yield prepared


async def fill(server: postgres.Postgres, folder: Path, transactions: int) -> None:
    """Write the tables of a size, and the witness file."""
    connection = await asyncpg.connect(server.admin_dsn, timeout=5)
    try:
        await connection.execute(_TABLES.format(transactions=transactions))
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
    secret = folder / "dsn"
    secret.touch(mode=0o600)
    secret.write_text(server.dsn(_ROLE, "postgres"), encoding="utf-8")
    queries = {"ledger": _LEDGER, "book": "SELECT * FROM book", "answers": "SELECT * FROM answer"}
    for name, query in queries.items():
        (folder / f"{name}.sql").write_text(query, encoding="utf-8")
    (folder / "witnesses.yaml").write_text(_FILE, encoding="utf-8")


def audit(file: Path, *window: str) -> tuple[float, float, float, int]:
    """Audit, and return seconds, those of the processor, megabytes at the peak, and the rows read."""
    before = os.times()
    command = [sys.executable, "-m", "moneypath", "audit", str(file), "--json", *window]
    begun = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
    done, peak = threading.Event(), 0

    def sample() -> None:
        nonlocal peak
        while not done.wait(_SAMPLED_EVERY_SECONDS):
            trees = read_trees({"audit": process.pid})
            peak = max(peak, trees["audit"].pss_bytes if "audit" in trees else 0)

    sampler = threading.Thread(target=sample)
    sampler.start()
    said, _ = process.communicate()
    seconds = perf_counter() - begun
    done.set()
    sampler.join()
    if process.returncode:
        sys.exit(f"the audit of healthy rows ended with {process.returncode}: {said[:2000]}")
    (verdict,) = json.loads(said)["audits"]
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, used, peak / 1e6, sum(one["rows"] for one in verdict["witnesses"])


def audit_windows(file: Path, windows: int) -> tuple[float, float, float, int]:
    """Audit a day window by window; return the seconds of all, the highest peak, and all rows."""
    edges = [_BEGAN + _PERIOD * number / windows for number in range(windows + 1)]
    found = [
        audit(file, "--since", since.isoformat(), "--until", until.isoformat())
        for since, until in pairwise(edges)
    ]
    seconds, used, megabytes, rows = zip(*found, strict=True)
    return sum(seconds), sum(used), max(megabytes), sum(rows)


async def measure(sizes: list[int], windows: int) -> list[measuring.Row]:
    """Return two rows for each size."""
    rows: list[measuring.Row] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with open_server(folder / "server") as server:
            for transactions in sizes:
                await fill(server, folder, transactions)
                file = folder / "witnesses.yaml"
                work = (audit_windows, file, windows) if windows else (audit, file)
                seconds, used, megabytes, read = await asyncio.to_thread(*work)
                if read != 3 * transactions:
                    sys.exit(f"{read} rows were read, needed: {3 * transactions}")
                goals = (SECONDS_GOAL, MEGABYTES_GOAL) if transactions == SIZES[-1] else (None, None)
                what = f"{transactions:,} transactions" + (f" by {windows} windows" if windows else "")
                detail = f"{read:,} rows; {used:.1f} s of the processor"
                rows += [
                    measuring.Row(f"audit of {what}", seconds, "s", goals[0], detail),
                    measuring.Row(f"memory at {what}", megabytes, "MB", goals[1]),
                ]
    return rows


def main() -> None:
    """Measure and print."""
    parser = measuring.parser("The audit of a foreign ledger.", transactions=[1_000])
    parser.add_argument("--transactions", type=int, nargs="+", default=list(SIZES[:2]))
    parser.add_argument("--windows", type=int, default=0, help="audit a day in so many windows")
    given = parser.parse_args()
    measuring.tell(asyncio.run(measure(given.transactions, given.windows)), given.json)


if __name__ == "__main__":
    main()
