"""What a growing book costs: its first settlement reports, and the integrity checks after a restart.

Run `python benchmarks/growth.py --lines 95000 --payments 1000000`; both may come several times. A real server
without autovacuum, so that no plan can rest on statistics. The books are made by set-based SQL. A process of
its own imports the reports; it is killed once in the middle and started again.
"""

import asyncio
import hashlib
import json
import os
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from aiohttp import web

import measuring
import refpay
from ledger_book import TODAY, Server, make_book, open_server
from moneypath.telemetry import Catalogue, setup
from moneypath.telemetry.integrations.ledger import LedgerWrite
from refpay.clock import SystemClock
from refpay.costs import METHOD, CostModel
from refpay.db.pool import Database
from refpay.measures import WORKER_METRICS
from refpay.money import Currency
from refpay.operations.checks import KEEP_SECONDS, Checks
from refpay.providers.http import open_session
from refpay.providers.north import NorthReports
from refpay.reconciliation.comparing import MatchingRules
from refpay.reconciliation.rounds import Reconciler
from refpay.settings import DatabaseSettings, ProviderSettings

FILES: Final = Path(refpay.__file__).parent
COSTS: Final = CostModel.load(FILES / "costs.json")
TAKE: Final = "take"
KEY: Final = "benchmark"
PERIOD: Final = timedelta(seconds=10)
# So many fit into the 20 MB that a report may have; more lines are in more reports.
REPORT_LINES: Final = 95_000
LINES_A_SECOND: Final = 10_000
MEMORY_MB: Final = 450
ANSWER_SECONDS: Final = 3
# One capture a line, each in the middle of its report's period.
_CAPTURES: Final = """
    CREATE TEMP TABLE made AS
        SELECT i, at, 1000 + i % 777 AS amount, uuidv7(at - clock_timestamp()) AS payment,
               uuidv7(at - clock_timestamp()) AS captured, uuidv7(at - clock_timestamp()) AS entry,
               uuidv7(at - clock_timestamp()) AS key,
               (ARRAY['EUR', 'USD', 'JPY', 'KWD'])[i % 4 + 1] AS currency
        FROM generate_series(0, {lines} - 1) AS i, LATERAL (
            SELECT timestamptz '{start}' + i / {report_lines} * interval '10 seconds' AS at) AS period;
    INSERT INTO payments.payment (id, merchant, merchant_reference, status, amount_minor, currency,
        card_range, provider, captured_minor, created_at)
    SELECT payment, 'shop-' || i % 20, 'order-' || i, 'captured', amount, currency, '411111', 'north',
           amount, at
    FROM made;
    INSERT INTO payments.operation (id, payment_id, kind, status, amount_minor, provider_key,
        provider_reference, principal, idempotency_key, correlation_id, created_at, call_deadline,
        settle_after, next_query_at, settled_at, settled_by)
    SELECT captured, payment, 'capture', 'succeeded', amount, key, 'mov-' || i, 'shop', 'k', 'c', at,
           at + interval '7 seconds', at + interval '8 seconds', at, at, 'api'
    FROM made;
    INSERT INTO ledger.entry (
        id, kind, operation_id, payment_id, posted_at, accounts, currencies, amounts_minor)
    SELECT entry, 'posting', captured, payment, at,
           ARRAY['provider_receivable:north', 'merchant_payable:shop-' || i % 20],
           ARRAY[currency, currency], ARRAY[amount, -amount]
    FROM made;
"""
_LINES: Final = """
    SELECT key::text, 'order-' || i AS reference, 'mov-' || i AS id, amount, currency, at FROM made ORDER BY i
"""
_STORED: Final = "SELECT count(*) FROM reconciliation.line"
_TAKEN: Final = """
    SELECT (SELECT count(*) FROM reconciliation.line) AS lines,
           (SELECT count(*) FROM reconciliation.revision) AS revisions,
           (SELECT count(*) FROM reconciliation.break) AS breaks,
           (SELECT count(*) FROM ledger.entry WHERE kind = 'fee') AS fees,
           (SELECT count(*) FROM reconciliation.import WHERE ended_at IS NULL) AS left
"""


class Counters:
    """Counts rows and leaves the rest out."""

    def __init__(self) -> None:
        self.rows = 0
        catalogue = Catalogue.load(FILES / "catalogue.json")
        self._recorder = setup(catalogue, service="refpay-worker", metrics=WORKER_METRICS)

    def count_rows(self, _provider: str, *, matched: int, broken: int) -> None:
        """Count rows that were compared."""
        self.rows += matched + broken

    def count_report(self, _provider: str, _state: str) -> None:
        """Leave a report out."""

    def ledger_write(self, kind: Any, outcomes: Any) -> LedgerWrite:
        """Count a ledger write."""
        return LedgerWrite(self._recorder, kind=kind, outcomes=outcomes)


async def take(given: Mapping[str, Any]) -> None:
    """Reconcile up to the last report; print what it took. This is a process of its own."""
    provider = ProviderSettings(name="north", url=given["url"], api_key=KEY, timeout_seconds=30)
    database = await Database.connect(DatabaseSettings(*given["database"]), most_connections=4)
    counters, rules = Counters(), MatchingRules(COSTS, timedelta(seconds=2))
    async with open_session() as session:
        source = NorthReports(session, provider, report_seconds=60)
        one = Reconciler(database, source, rules=rules, counters=counters, clock=SystemClock())
        begun, used = perf_counter(), _processor_seconds(os.getpid())
        while (await one.read_status()).progress.run_sequence != given["last"]:
            await one.run_once()
        seconds = perf_counter() - begun
    async with database.transaction() as connection:
        pids = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE usename = current_user")
        processor = sum(_processor_seconds(row["pid"]) for row in pids)
    await database.close()
    processor += _processor_seconds(os.getpid()) - used
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"seconds": seconds, "processor": processor, "mb": memory, "rows": counters.rows}
    sys.stdout.write(json.dumps(found) + "\n")


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def serve(reports: Sequence[bytes], announced: Sequence[Mapping[str, object]]) -> AsyncIterator[str]:
    """Serve reports, numbered from 1, as a provider of dialect north does."""

    async def listing(request: web.Request) -> web.Response:
        return web.json_response({"reports": announced[int(request.query["after"]) :]})

    async def report(request: web.Request) -> web.Response:
        return web.Response(body=reports[int(request.match_info["number"]) - 1])

    app = web.Application()
    app.add_routes([web.get(NorthReports.path, listing), web.get(f"{NorthReports.path}/{{number}}", report)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def make_report(
    number: int, start: datetime, rows: Sequence[Mapping[str, Any]]
) -> tuple[bytes, dict[str, object]]:
    """Return a report of dialect north and its announcement."""
    totals: dict[str, Counter[str]] = {}
    lines = []
    for row in rows:
        fee = COSTS.fee_minor("north", METHOD, Currency(row["currency"]), row["amount"])
        lines.append({**row, "kind": "capture", "fee": fee, "at": _instant(row["at"])})
        sums = totals.setdefault(row["currency"], Counter(refunded=0))
        sums.update(lines=1, captured=row["amount"], fees=fee)
    head = {"sequence": number, "from": _instant(start), "to": _instant(start + PERIOD)}
    body = json.dumps({**head, "lines": lines, "totals": totals}).encode()
    return body, {**head, "due": _instant(start + PERIOD), "digest": hashlib.sha256(body).hexdigest()}


def _instant(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


async def measure_reports(server: Server, count: int, *, killed: bool) -> list[measuring.Row]:
    """Return what the first reports of so many lines cost; raise SystemExit if they are not imported once."""
    await server.database("reported", TODAY)
    superuser = await server.superuser("reported")
    numbers = range(1, -(-count // REPORT_LINES) + 1)
    start = datetime.now(UTC).replace(microsecond=0) - (len(numbers) + 6) * PERIOD
    await superuser.execute(
        _CAPTURES.format(lines=count, report_lines=REPORT_LINES, start=(start + PERIOD / 2).isoformat())
    )
    rows = [dict(row) for row in await superuser.fetch(_LINES)]
    reports = []
    for number in numbers:
        begun = start + (number - 1) * PERIOD
        inside = [row for row in rows if begun <= row["at"] < begun + PERIOD]
        reports.append(make_report(number, begun, inside))
    bodies, announced = zip(*reports, strict=True)
    app = server.settings("reported", "refpay_app")
    async with serve(bodies, announced) as url:
        given = {"url": url, "database": (app.url, app.user, app.password), "last": numbers[-1]}
        if killed:
            first = await _start(given)
            while await superuser.fetchval(_STORED) < count // 2:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.02)
            first.kill()
            await first.wait()
        out, _ = await (await _start(given)).communicate()
        used = json.loads(out.splitlines()[-1])
    stored = dict(await superuser.fetchrow(_TAKEN))
    await superuser.close()
    await server.administer("DROP DATABASE reported WITH (FORCE)")
    once = {"lines": count, "revisions": len(numbers), "breaks": 0, "left": 0}
    if {**stored, **once} != stored or not 0 < stored["fees"] <= 4 * len(numbers):
        raise SystemExit(f"the reports were not imported once: {stored}, expected: {once}")
    name = f"first reports of {count} lines"
    if killed:
        detail = f"the second process, which compared {used['rows']}"
        return [measuring.Row(f"{name}, killed once", used["seconds"], "s", detail=detail)]
    speed = f"{count / used['seconds']:.0f} lines/s; processor time alone {count / used['processor']:.0f}"
    return [
        measuring.Row(name, 1000 * used["seconds"] / count, "ms a line", 1000 / LINES_A_SECOND, speed),
        measuring.Row(f"{name}: memory", used["mb"], "MB", MEMORY_MB, "of the process, at its most"),
    ]


async def _start(given: Mapping[str, Any]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, __file__, TAKE, json.dumps(given), stdout=asyncio.subprocess.PIPE
    )


async def measure_checks(server: Server, payments: int) -> list[measuring.Row]:
    """Return how long the checks are without an answer after a start, with and without an earlier one."""
    superuser = await make_book(server, payments)
    # As autovacuum leaves a book of that age; the plans of id ranges are fixed all the same.
    await superuser.execute("ANALYZE")
    await superuser.close()
    database = await Database.connect(server.settings("book", "refpay_app"), most_connections=2)
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "integrity-checks.json"

        def start() -> Checks:
            return Checks(database, clock=clock, outcome_deadline=timedelta(seconds=12), kept=kept)

        begun = perf_counter()
        first = start()
        await first.run_once()
        without = perf_counter() - begun
        # What was read within the last seconds is noted then.
        await asyncio.sleep(KEEP_SECONDS)
        await first.run_once()
        size = kept.stat().st_size
        begun, restarted = perf_counter(), clock.now()
        again = start()
        report = await again.run_once()
        answered = perf_counter() - begun
        age = (report.at - report.read_since).total_seconds()
        rounds = 1
        while report.read_since < restarted:
            report, rounds = await again.run_once(), rounds + 1
        swept = perf_counter() - begun
    await database.close()
    await server.administer("DROP DATABASE book WITH (FORCE)")
    if report.at_risk:
        raise SystemExit(f"the book is not as it was made: {report.at_risk}")
    name = f"checks of {payments} payments"
    return [
        measuring.Row(f"{name}: first answer ever", without, "s", detail="everything is read first"),
        measuring.Row(
            f"{name}: after a restart", answered, "s", ANSWER_SECONDS, f"oldest reading {age:.0f} s ago"
        ),
        measuring.Row(f"{name}: all read again", swept, "s", detail=f"{rounds} rounds without a pause"),
        measuring.Row(f"{name}: what is kept", size / 1000, "kB"),
    ]


async def measure(lines: Sequence[int], payments: Sequence[int]) -> list[measuring.Row]:
    """Return the rows of both curves."""
    rows: list[measuring.Row] = []
    async with open_server() as server:
        await server.administer("ALTER SYSTEM SET autovacuum = off")
        await server.administer("SELECT pg_reload_conf()")
        for count in lines:
            rows += await measure_reports(server, count, killed=False)
        if lines:
            rows += await measure_reports(server, lines[-1], killed=True)
        for count in payments:
            rows += await measure_checks(server, count)
    return rows


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == [TAKE]:
        asyncio.run(take(json.loads(sys.argv[2])))
        return
    parser = measuring.parser(
        "What first reports and checks cost as the book grows.", lines=[300], payments=[200]
    )
    parser.add_argument("--lines", type=int, action="append", help="of first reports; may come several times")
    parser.add_argument("--payments", type=int, action="append", help="in the book; may come several times")
    given = parser.parse_args()
    both = (given.lines or [10_000, 95_000], given.payments or [10_000, 100_000, 1_000_000])
    measuring.tell(asyncio.run(measure(*both)), given.json)


if __name__ == "__main__":
    main()
