"""Acquirers that serve given reports over real sockets, and a bench to reconcile with them."""

import asyncio
import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from aiohttp import web

import refpay
from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.integrations.ledger import LedgerKind, LedgerOutcome, LedgerWrite
from refpay.costs import CostModel
from refpay.db.pool import Database
from refpay.ids import mint_id
from refpay.measures import WORKER_METRICS
from refpay.providers.registry import open_reports
from refpay.providers.report_source import ReportSource
from refpay.reconciliation.comparing import MatchingRules
from refpay.reconciliation.rounds import Reconciler
from refpay.settings import Settings, read_settings

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb

CATALOGUE = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
PERIOD = timedelta(seconds=10)
# A border of a period, whatever its length in whole seconds.
START = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = int(START.timestamp()) // 10
EXPONENTS = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}
# What moneypath.yaml declares: basis points, and a fixed part by currency.
FEES = {
    "north": (140, {"EUR": 10, "USD": 11, "JPY": 16, "KWD": 35}),
    "south": (120, {"EUR": 15, "USD": 16, "JPY": 24, "KWD": 50}),
}
PROVIDERS = ("north", "south")
SUMS = {
    "capture": "captured",
    "refund": "refunded",
    "chargeback": "charged_back",
    "chargeback_reversal": "reversed",
}
FLAGS = {"capture": "S", "refund": "R", "chargeback": "B", "chargeback_reversal": "W"}
RULES_GRACE = timedelta(seconds=2)
OUTCOME_DEADLINE = timedelta(seconds=8)


@dataclass(frozen=True)
class Row:
    """A line as a provider reports it."""

    key: str
    movement: str
    kind: str
    amount: int
    currency: str
    fee: int
    at: datetime
    reference: str = 'order,"1'
    settled: tuple[str, int] | None = None


@dataclass(frozen=True)
class Op:
    """A capture or refund of ours."""

    provider: str
    amount: int
    currency: str
    created: datetime
    settled: datetime
    kind: str = "capture"
    id: UUID = field(default_factory=lambda: mint_id(START))
    key: UUID = field(default_factory=lambda: mint_id(START))

    @property
    def movement(self) -> str:
        """Return their reference of it."""
        return f"mov_{self.key.hex[-12:]}"

    def row(self, at: datetime | None = None, **changed: Any) -> Row:
        """Return the line that reports it truly, or what is changed of it."""
        basis_points, fixed = FEES[self.provider]
        fee = fixed[self.currency] + (self.amount * basis_points + 5000) // 10000
        fee = fee if self.kind == "capture" else 0
        row = Row(
            str(self.key), self.movement, self.kind, self.amount, self.currency, fee, at or self.settled
        )
        return replace(row, **changed)


def at(seconds: float) -> datetime:
    """Return an instant, counted from the beginning."""
    return START + timedelta(seconds=seconds)


def capture(provider: str = "north", second: float = 5, amount: int = 1000, currency: str = "EUR") -> Op:
    """Return a capture that was settled in this second."""
    return Op(provider, amount, currency, at(second - 0.5), at(second))


def instant(when: datetime) -> str:
    """Write an instant as the contract does."""
    return when.isoformat().replace("+00:00", "Z")


@dataclass
class Served:
    """One report as it is served."""

    rows: list[Row]
    body: bytes | None = None
    number: int | None = None


@dataclass
class FakeAcquirer:
    """Speaks one dialect of the report contract; every fault is a field."""

    name: str
    api_key: str
    url: str = ""
    reports: dict[int, Served] = field(default_factory=dict)
    withheld: bool = False
    truncated: bool = False
    refusing: set[int] = field(default_factory=set)
    stuck: asyncio.Event | None = None
    # Set as soon as somebody waits for what is stuck.
    waited_for: asyncio.Event = field(default_factory=asyncio.Event)
    fetched: Counter[int] = field(default_factory=Counter)

    def publish(self, sequence: int, rows: Iterable[Row] = ()) -> None:
        """Publish a report, or correct it; sequences count from 0."""
        self.reports[FIRST + sequence] = Served(list(rows))

    def body(self, sequence: int) -> bytes:
        """Return what would be served now."""
        served = self.reports[sequence]
        if served.body is not None:
            return served.body
        whole = (self._json if self.name == "north" else self._csv)(served.number or sequence, served.rows)
        return whole[: len(whole) // 2] if self.truncated else whole

    def _json(self, sequence: int, rows: list[Row]) -> bytes:
        totals: dict[str, dict[str, int]] = {}
        for row in rows:
            sums = totals.setdefault(
                row.currency, dict.fromkeys(("lines", "captured", "refunded", "fees"), 0)
            )
            sums["lines"] += 1
            sums[SUMS[row.kind]] = sums.get(SUMS[row.kind], 0) + row.amount
            sums["fees"] += row.fee
        lines = [
            {
                "key": row.key,
                "reference": row.reference,
                "id": row.movement,
                "kind": row.kind,
                "amount": row.amount,
                "currency": row.currency,
                "fee": row.fee,
                "at": instant(row.at),
                **(dict(zip(("settled_currency", "settled_amount"), row.settled or (), strict=False))),
            }
            for row in rows
        ]
        head = {"sequence": sequence, **self._period(sequence)}
        return json.dumps({**head, "lines": lines, "totals": totals}).encode()

    def _csv(self, sequence: int, rows: list[Row]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        period = self._period(sequence)
        writer.writerow(["H", sequence, period["from"], period["to"]])
        sums: dict[str, list[int]] = {}
        for row in rows:
            flag = FLAGS[row.kind]
            amount, fee = major(row.amount, row.currency), major(row.fee, row.currency)
            details = [row.key, row.reference, row.movement, flag, amount, row.currency, fee, instant(row.at)]
            settled = [row.settled[0], major(row.settled[1], row.settled[0])] if row.settled else []
            writer.writerow(["D", *details, *settled])
            total = sums.setdefault(row.currency, [0, 0, 0, 0, 0, 0])
            total[0] += 1
            total[list(FLAGS.values()).index(flag) + 1] += row.amount
            total[5] += row.fee
        for currency, (count, captured, refunded, _, _, fees) in sums.items():
            stated = (captured, refunded, fees)
            writer.writerow(["C", currency, count, *(major(value, currency) for value in stated)])
        for currency, (_, _, _, back, won, _) in sums.items():
            if back or won:
                writer.writerow(["B", currency, major(back, currency), major(won, currency)])
        writer.writerow(["T", len(rows)])
        return text.getvalue().encode()

    def _period(self, sequence: int) -> dict[str, str]:
        start = datetime.fromtimestamp(sequence * 10, UTC)
        return {"from": instant(start), "to": instant(start + PERIOD)}

    async def listing(self, request: web.Request) -> web.Response:
        """Announce."""
        await self._enter(request)
        after, limit = int(request.query["after"]), int(request.query["limit"])
        assert 1 <= limit <= 200
        numbers = [] if self.withheld else sorted(one for one in self.reports if one > after)[:limit]
        north = self.name == "north"
        found = [
            {
                ("sequence" if north else "number"): number,
                **self._period(number),
                "due": instant(datetime.fromtimestamp(number * 10, UTC) + 2 * PERIOD),
                ("digest" if north else "sha256"): hashlib.sha256(self.body(number)).hexdigest(),
            }
            for number in numbers
        ]
        return web.json_response({"reports" if north else "files": found})

    async def report(self, request: web.Request) -> web.Response:
        """Serve."""
        await self._enter(request)
        number = int(request.match_info["number"])
        self.fetched[number - FIRST] += 1
        if number in self.refusing:
            raise web.HTTPInternalServerError
        return web.Response(body=self.body(number))

    async def _enter(self, request: web.Request) -> None:
        header = {"north": ("Authorization", f"Bearer {self.api_key}"), "south": ("X-Api-Key", self.api_key)}
        name, value = header[self.name]
        if request.headers.get(name) != value:
            raise web.HTTPUnauthorized
        if self.stuck is not None:
            self.waited_for.set()
            await self.stuck.wait()


def major(minor: int, currency: str) -> str:
    """Write major units with as many decimals as the currency has."""
    exponent = EXPONENTS[currency]
    return f"{minor // 10**exponent}" + (f".{minor % 10**exponent:0{exponent}d}" if exponent else "")


@asynccontextmanager
async def open_acquirers(secrets_folder: Path) -> AsyncIterator[dict[str, FakeAcquirer]]:
    """Serve both dialects."""
    paths = {"north": "/v1/settlement-reports", "south": "/gateway/settlement-files"}
    found, runners = {}, []
    for name, path in paths.items():
        fake = FakeAcquirer(name, (secrets_folder / f"{name}_api_key").read_text().strip())
        app = web.Application()
        app.add_routes([web.get(path, fake.listing), web.get(f"{path}/{{number}}", fake.report)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        found[name] = fake
        runners.append(runner)
    try:
        yield found
    finally:
        for fake in found.values():
            if fake.stuck is not None:
                fake.stuck.set()
        for runner in runners:
            await runner.cleanup()


@dataclass
class ManualClock:
    """Stands still until it is set."""

    time: datetime = START

    def now(self) -> datetime:
        """Return the instant."""
        return self.time

    def monotonic(self) -> float:
        """Return the same in seconds."""
        return self.time.timestamp()


@dataclass
class CountedRows:
    """Counts what was counted."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    reports: Counter[tuple[str, str]] = field(default_factory=Counter)
    recorder: Recorder = field(
        default_factory=lambda: setup(CATALOGUE, service="refpay-worker", metrics=WORKER_METRICS)
    )

    def count_rows(self, provider: str, *, matched: int, broken: int) -> None:
        """Count rows."""
        self.rows[provider, "matched"] += matched
        self.rows[provider, "broken"] += broken

    def count_report(self, provider: str, state: str) -> None:
        """Count a report."""
        self.reports[provider, str(state)] += 1

    def ledger_write(
        self, kind: LedgerKind | None, outcomes: Mapping[type[BaseException], LedgerOutcome]
    ) -> LedgerWrite:
        """Count a ledger write in the recorder."""
        return LedgerWrite(self.recorder, kind=kind, outcomes=outcomes)


_PAYMENT = """
    INSERT INTO payments.payment (
        id, merchant, merchant_reference, status, amount_minor, currency, card_range, provider,
        captured_minor, created_at)
    SELECT id, 'shop', 'order-' || id, 'captured', amount, currency, '411111', provider, amount, created
    FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[])
         AS given (id, amount, currency, provider, created)
"""
_OPERATION = """
    INSERT INTO payments.operation (id, payment_id, kind, status, amount_minor, provider_key, principal,
        idempotency_key, correlation_id, created_at, call_deadline, settle_after, next_query_at)
    SELECT id, id, kind, 'started', amount, key, 'shop', 'k', 'c', created, created + interval '7 seconds',
           created + interval '8 seconds', created + interval '8 seconds'
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::uuid[], $5::timestamptz[])
         AS given (id, kind, amount, key, created)
"""
_SETTLE = """
    UPDATE payments.operation
    SET status = given.status, settled_at = given.settled, settled_by = 'api',
        provider_reference = given.reference
    FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[])
         AS given (id, status, settled, reference)
    WHERE operation.id = given.id
"""
_POST = """
    INSERT INTO ledger.entry (
        id, kind, operation_id, payment_id, posted_at, accounts, currencies, amounts_minor)
    SELECT entry_id, CASE kind WHEN 'capture' THEN 'posting' ELSE 'reversal' END, id, id, settled,
           CASE kind WHEN 'capture' THEN ARRAY['provider_receivable:' || provider, 'merchant_payable:shop']
                     ELSE ARRAY['merchant_payable:shop', 'provider_receivable:' || provider] END,
           ARRAY[currency, currency], ARRAY[amount, -amount]
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::bigint[])
         AS given (entry_id, id, kind, settled, provider, currency, amount)
"""


@dataclass
class Bench:
    """Both reconcilers on a real database, two fakes and a clock that is set by hand."""

    db: "RefpayDb"
    acquirers: Mapping[str, FakeAcquirer]
    database: Database
    reconcilers: dict[str, Reconciler]
    counters: CountedRows
    clock: ManualClock
    settings: Settings
    sources: Mapping[str, ReportSource]
    rules: MatchingRules

    @property
    def north(self) -> FakeAcquirer:
        """Return acquirer north."""
        return self.acquirers["north"]

    async def begin(self, *operations: Op) -> None:
        """Write intents."""
        async with self.database.transaction() as connection:
            await connection.execute(
                _PAYMENT,
                [one.id for one in operations],
                [one.amount for one in operations],
                [one.currency for one in operations],
                [one.provider for one in operations],
                [one.created for one in operations],
            )
            await connection.execute(
                _OPERATION,
                [one.id for one in operations],
                [one.kind for one in operations],
                [one.amount for one in operations],
                [one.key for one in operations],
                [one.created for one in operations],
            )

    async def settle(self, *operations: Op, status: str = "succeeded", posted: bool = True) -> None:
        """Settle what was begun, and post it."""
        async with self.database.transaction() as connection:
            await connection.execute(
                _SETTLE,
                [one.id for one in operations],
                [status] * len(operations),
                [one.settled for one in operations],
                [one.movement if status == "succeeded" else None for one in operations],
            )
            if status != "succeeded" or not posted:
                return
            await connection.execute(
                _POST,
                [mint_id(one.settled) for one in operations],
                [one.id for one in operations],
                [one.kind for one in operations],
                [one.settled for one in operations],
                [one.provider for one in operations],
                [one.currency for one in operations],
                [one.amount for one in operations],
            )

    async def have(self, *operations: Op) -> None:
        """Have operations that went well."""
        await self.begin(*operations)
        await self.settle(*operations)

    async def round(self, seconds: float) -> dict[str, bool]:
        """Run one round with each provider at this instant; return who answered."""
        self.clock.time = at(seconds)
        return {name: await reconciler.run_once() for name, reconciler in self.reconcilers.items()}

    async def breaks(self) -> list[tuple[str, str, int]]:
        """Return the open breaks: class, currency, value."""
        rows = await self.db.rows(
            "SELECT class, currency, value_minor FROM reconciliation.break WHERE closed_at IS NULL"
            " ORDER BY class, currency, value_minor"
        )
        return [(row["class"], row["currency"], row["value_minor"]) for row in rows]

    async def watermark(self, provider: str = "north") -> float | None:
        """Return how far it is, in seconds from the beginning."""
        found = (await self.reconcilers[provider].read_status()).progress.watermark
        return None if found is None else (found - START).total_seconds()


@asynccontextmanager
async def open_bench(
    db: "RefpayDb", environment: Mapping[str, str], acquirers: Mapping[str, FakeAcquirer]
) -> AsyncIterator[Bench]:
    """Wire a bench on a database."""
    settings = read_settings(environment)
    database = await Database.connect(settings.database, most_connections=4)
    costs = CostModel.load(Path(refpay.__file__).with_name("costs.json"))
    clock, counters = ManualClock(), CountedRows()
    rules = MatchingRules(costs, RULES_GRACE)
    try:
        async with open_reports(settings) as sources:
            reconcilers = {
                source.name: Reconciler(database, source, rules=rules, counters=counters, clock=clock)
                for source in sources
            }
            named = {source.name: source for source in sources}
            yield Bench(db, acquirers, database, reconcilers, counters, clock, settings, named, rules)
    finally:
        await database.close()
