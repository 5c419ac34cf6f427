"""What the database's own rules cost an entry, and what seals, checks and balances cost a book.

Run `python benchmarks/ledger_book.py --book 100000`. A real server. The first table compares the schema
when lines were rows and triggers summed them (`ledger_lines_as_rows.sql`) with the one of today, each with
its rules and without: interleaved in one run, medians; trust the ratios.
"""

import asyncio
import os
import secrets
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import asyncpg

import measuring
from moneypath.stack import postgres
from moneypath.stack.ports import PortPool
from moneypath.stack.supervisor import Supervisor
from refpay.clock import SystemClock
from refpay.db.pool import Database
from refpay.db.upgrade import upgrade_schema
from refpay.ledger.repository import read_balances
from refpay.ledger.verification import verify, verify_causes
from refpay.operations.checks import Checks
from refpay.seals.stored import SEALED_MAXIMUM
from refpay.seals.verification import VerificationReport
from refpay.settings import DatabaseSettings

BEFORE: Final = "before"
TODAY: Final = "today"
ROLES: Final = ("refpay_owner", "refpay_app", "refpay_oracle")
_BEFORE: Final = """
    CREATE PROCEDURE public.post(times integer) LANGUAGE plpgsql AS $$
    DECLARE entry_id uuid;
    BEGIN
        FOR i IN 1..times LOOP
            entry_id := uuidv7();
            INSERT INTO ledger.entry (id, kind, operation_id, payment_id, posted_at)
            VALUES (entry_id, 'posting', gen_random_uuid(), gen_random_uuid(), clock_timestamp());
            INSERT INTO ledger.line SELECT entry_id, * FROM unnest(
                ARRAY['provider_receivable:north', 'merchant_payable:shop'], ARRAY['EUR', 'EUR'],
                ARRAY[1000, -1000]::bigint[]);
            COMMIT;
        END LOOP;
    END $$
"""
_TODAY: Final = """
    CREATE TABLE public.waiting (operation_id uuid, payment_id uuid);
    CREATE PROCEDURE public.post(times integer) LANGUAGE plpgsql AS $$
    DECLARE cause record;
    BEGIN
        FOR cause IN SELECT * FROM public.waiting LOOP
            INSERT INTO ledger.entry (
                id, kind, operation_id, payment_id, posted_at, accounts, currencies, amounts_minor)
            VALUES (uuidv7(), 'posting', cause.operation_id, cause.payment_id, clock_timestamp(),
                ARRAY['provider_receivable:north', 'merchant_payable:shop'], ARRAY['EUR', 'EUR'],
                ARRAY[1000, -1000]::bigint[]);
            COMMIT;
        END LOOP;
    END $$
"""
# What the next round books. A payment of its own, because many operations of one would be one row's history.
_CAPTURES: Final = """
    TRUNCATE public.waiting;
    INSERT INTO public.waiting SELECT uuidv7(), uuidv7() FROM generate_series(1, {});
    INSERT INTO payments.payment (id, merchant, merchant_reference, status, amount_minor, currency,
        card_range, provider, captured_minor, created_at)
    SELECT payment_id, 'shop', payment_id, 'captured', 1000, 'EUR', '411111', 'north', 1000, now()
    FROM public.waiting;
    INSERT INTO payments.operation (id, payment_id, kind, status, amount_minor, provider_key, principal,
        idempotency_key, correlation_id, created_at, call_deadline, settle_after, next_query_at, settled_at,
        settled_by)
    SELECT operation_id, payment_id, 'capture', 'succeeded', 1000, gen_random_uuid(), 'shop', 'k', 'c', now(),
           now() + interval '7 seconds', now() + interval '8 seconds', now(), now(), 'api'
    FROM public.waiting;
"""
_UNRULED_BEFORE: Final = """
    ALTER TABLE ledger.line DISABLE TRIGGER lines_balanced;
    ALTER TABLE ledger.entry DISABLE TRIGGER entry_complete;
"""
_UNRULED_TODAY: Final = """
    ALTER TABLE ledger.entry DROP CONSTRAINT entry_holds;
    ALTER TABLE ledger.entry DISABLE TRIGGER entry_caused;
"""
# All rules but the cause of an entry.
_UNCAUSED: Final = """
    ALTER TABLE ledger.entry DISABLE TRIGGER entry_caused;
"""
# Spread over the past, each payment authorized and captured; half a second apart.
_BOOK: Final = """
    CREATE TEMP TABLE made AS
        SELECT i, clock_timestamp() - make_interval(secs => ago) AS at, 1000 + i % 777 AS amount,
               uuidv7(make_interval(secs => -ago)) AS payment,
               uuidv7(make_interval(secs => -ago)) AS authorized,
               uuidv7(make_interval(secs => -ago)) AS captured,
               uuidv7(make_interval(secs => -ago)) AS entry,
               (ARRAY['EUR', 'USD', 'JPY', 'KWD'])[i % 4 + 1] AS currency,
               (ARRAY['north', 'south'])[i % 2 + 1] AS provider
        FROM (SELECT i, ($1 - i) * 0.5 + 120 AS ago FROM generate_series(1, $1) AS i) AS numbers
"""
_BOOK_ROWS: Final = """
    INSERT INTO payments.payment (id, merchant, merchant_reference, status, amount_minor, currency,
        card_range, provider, captured_minor, created_at)
    SELECT payment, 'shop-' || i % 20, 'order-' || i, 'captured', amount, currency, '411111', provider,
           amount, at
    FROM made;
    INSERT INTO payments.operation (id, payment_id, kind, status, amount_minor, provider_key, principal,
        idempotency_key, correlation_id, created_at, call_deadline, settle_after, next_query_at, settled_at,
        settled_by)
    SELECT id, payment, kind, 'succeeded', amount, gen_random_uuid(), 'shop', 'k', 'c', at,
           at + interval '7 seconds', at + interval '8 seconds', at, at + interval '1 second', 'api'
    FROM made, LATERAL (VALUES (authorized, 'authorize'), (captured, 'capture')) AS done (id, kind);
    INSERT INTO ledger.entry (
        id, kind, operation_id, payment_id, posted_at, accounts, currencies, amounts_minor)
    SELECT entry, 'posting', captured, payment, at,
           ARRAY['provider_receivable:' || provider, 'merchant_payable:shop-' || i % 20],
           ARRAY[currency, currency], ARRAY[amount, -amount]
    FROM made;
"""


class Server:
    """A server that lives as long as the benchmark."""

    def __init__(self, prepared: postgres.Postgres, passwords: dict[str, str]) -> None:
        self._prepared = prepared
        self._passwords = passwords
        self._upgraded: set[str] = set()

    async def administer(self, statement: str) -> None:
        """Run one statement outside every database that is measured."""
        admin = await asyncpg.connect(self._prepared.admin_dsn)
        await admin.execute(statement)
        await admin.close()

    async def database(self, name: str, schema: str) -> None:
        """Make a database with the ledger's schema of before or of today; a template of each is made once."""
        template = f"template_{schema}"
        if template not in self._upgraded:
            await self.administer(f"CREATE DATABASE {template} OWNER refpay_owner")
            await self._make_schema(template, schema)
            self._upgraded.add(template)
        await self.administer(f"CREATE DATABASE {name} TEMPLATE {template} OWNER refpay_owner")

    async def _make_schema(self, template: str, schema: str) -> None:
        if schema == TODAY:
            await upgrade_schema(self.settings(template, "refpay_owner"))
            return
        owner = await asyncpg.connect(self._prepared.dsn("refpay_owner", template))
        await owner.execute(Path(__file__).with_name("ledger_lines_as_rows.sql").read_text())
        await owner.close()

    def settings(self, name: str, role: str) -> DatabaseSettings:
        """Return how a role reaches a database."""
        return DatabaseSettings(self._prepared.url(role, name), role, self._passwords[role])

    async def superuser(self, name: str) -> Any:
        """Connect as the one whom nothing holds."""
        connection = await asyncpg.connect(self._prepared.dsn("postgres", name))
        # The rules are measured and not the disk.
        await connection.execute("SET synchronous_commit = off")
        return connection


async def compare_rules(server: Server, rounds: int, entries: int) -> list[measuring.Row]:
    """Return a row for each schema: processor time an entry, and the share of its rules."""
    candidates = {
        "before": (BEFORE, _BEFORE, ""),
        "before, without": (BEFORE, _BEFORE, _UNRULED_BEFORE),
        "today": (TODAY, _TODAY, ""),
        "today, without": (TODAY, _TODAY, _UNRULED_TODAY),
        "today, any cause": (TODAY, _TODAY, _UNCAUSED),
    }
    connections = {}
    for number, (name, (schema, procedure, change)) in enumerate(candidates.items()):
        await server.database(f"rules_{number}", schema)
        connections[name] = await server.superuser(f"rules_{number}")
        await connections[name].execute(procedure + ";" + change)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds + 1):
        for name, connection in connections.items():
            if name.startswith(TODAY):
                await connection.execute(_CAPTURES.format(entries))
            begun = await processor_seconds(connection)
            await connection.execute(f"CALL public.post({entries})")
            times[name].append(1e6 * (await processor_seconds(connection) - begun) / entries)
    # The first round warms up.
    medians = {name: statistics.median(found[1:]) for name, found in times.items()}
    for connection in connections.values():
        await connection.close()
    return [
        measuring.Row(
            f"{name}: an entry",
            medians[name],
            "us CPU",
            detail=f"its rules {_share(medians, name, without):.0%}",
        )
        for name, without in (
            ("before", "before, without"),
            ("today", "today, without"),
            ("today, any cause", "today, without"),
        )
    ]


async def processor_seconds(connection: Any) -> float:
    """Return what the server's process has used, so that other work on the machine does not count."""
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _share(medians: dict[str, float], name: str, without: str) -> float:
    return 1 - medians[without] / medians[name]


async def make_book(server: Server, payments: int) -> Any:
    """Make a database `book` with so many payments; return a superuser's connection to it."""
    await server.database("book", TODAY)
    superuser = await server.superuser("book")
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute(_BOOK.replace("$1", str(payments)))
    await superuser.execute(_BOOK_ROWS)
    return superuser


async def measure_book(server: Server, payments: int) -> list[measuring.Row]:
    """Return what a book of so many payments costs."""
    superuser = await make_book(server, payments)
    await superuser.execute("ANALYZE")
    database = await Database.connect(server.settings("book", "refpay_app"), most_connections=2)
    clock = SystemClock()
    checks = Checks(database, clock=clock, outcome_deadline=timedelta(seconds=12))
    first = await _timed(checks.run_once)
    later = [await _timed(checks.run_once) for _ in range(9)]

    async def seal() -> None:
        async with database.transaction() as connection:
            await connection.fetchval("SELECT ledger.seal_entries($1, $2)", clock.now(), SEALED_MAXIMUM)

    async def balance() -> None:
        async with database.transaction() as connection:
            await read_balances(connection, ["merchant_payable:shop-1"])

    async def as_of() -> None:
        async with database.transaction() as connection:
            await read_balances(
                connection, ["merchant_payable:shop-1"], as_of=clock.now() - timedelta(hours=1)
            )

    async def causes() -> None:
        async with superuser.transaction(isolation="repeatable_read", readonly=True):
            report = VerificationReport()
            await verify_causes(report, superuser)
        if report.findings:
            raise SystemExit(f"the book is not as it was made: {report.findings[:3]}")

    async def whole() -> None:
        async with superuser.transaction(isolation="repeatable_read", readonly=True):
            report = await verify(superuser)
        if report.findings or report.entries != payments:
            raise SystemExit(f"the book is not as it was made: {report.findings[:3]}")

    sealing = [await _timed(seal) for _ in range(-(-payments // SEALED_MAXIMUM))]
    measured = {
        "checks, everything": (first, "ms"),
        "checks, a round": (statistics.median(later), "ms"),
        "sealing": (1000 * payments / sum(sealing), "entries/s"),
        "sealing, the longest": (max(sealing), "ms"),
        "verify": (1000 * payments / await _timed(whole), "entries/s"),
        "causes": (1000 * payments / await _timed(causes), "entries/s"),
        "balance now": (statistics.median([await _timed(balance) for _ in range(9)]), "ms"),
        "balance as of an hour ago": (statistics.median([await _timed(as_of) for _ in range(9)]), "ms"),
    }
    await database.close()
    await superuser.close()
    return [measuring.Row(f"{payments} payments: {what}", *each) for what, each in measured.items()]


async def _timed(action: Callable[[], Awaitable[object]]) -> float:
    begun = perf_counter()
    await action()
    return 1000 * (perf_counter() - begun)


@asynccontextmanager
async def open_server() -> AsyncIterator[Server]:
    """Yield a server of its own."""
    with tempfile.TemporaryDirectory() as folder, PortPool({}) as ports:
        passwords = {role: secrets.token_urlsafe(12) for role in ROLES}
        async with Supervisor(Path(folder)) as supervisor:
            prepared = await postgres.prepare(
                Path(folder) / "postgres",
                ports.reserve("postgres"),
                superuser_password=secrets.token_urlsafe(12),
                roles=passwords,
                owner="refpay_owner",
                database="refpay",
            )
            await supervisor.start(prepared.spec)
            yield Server(prepared, passwords)


async def measure(rounds: int, entries: int, books: list[int]) -> list[measuring.Row]:
    """Return the rows of the rules and of each book."""
    async with open_server() as server:
        rows = await compare_rules(server, rounds, entries) if rounds else []
        for payments in books:
            rows += await measure_book(server, payments)
            await server.administer("DROP DATABASE book WITH (FORCE)")
        return rows


def main() -> None:
    """Measure and print."""
    parser = measuring.parser("What the ledger's rules and a book cost.", rounds=1, entries=500, book=[200])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--entries", type=int, default=3000, help="a round")
    parser.add_argument("--book", type=int, action="append", help="payments; may come several times")
    given = parser.parse_args()
    measuring.tell(asyncio.run(measure(given.rounds, given.entries, given.book or [])), given.json)


if __name__ == "__main__":
    main()
