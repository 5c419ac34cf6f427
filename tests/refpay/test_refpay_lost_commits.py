"""Commits without an answer are counted as unknown; what they post and cost is counted exactly once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from moneypath.telemetry import Catalogue, setup
from refpay.clock import SystemClock
from refpay.costs import CostModel
from refpay.db.errors import CommitOutcomeUnknown, DatabaseUnavailable, TransactionConflicted
from refpay.db.pool import Database
from refpay.errors import InvariantViolation
from refpay.identity.principals import Principal
from refpay.ids import mint_id
from refpay.ledger.receipt_log import ReceiptLog, ReceiptReader
from refpay.measures import API_METRICS, ServiceMetrics
from refpay.money import Currency
from refpay.payments import claims_repository, repository
from refpay.payments.claims import Command
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment, PaymentStatus
from refpay.payments.outcome_resolver import OutcomeResolver
from refpay.payments.outcomes import ReportedOutcome
from refpay.payments.recovery import OperationRecovery

if TYPE_CHECKING:
    from tests.refpay.conftest import RefpayDb

    from refpay.settings import Settings

CAPTURED = ReportedOutcome(OperationStatus.SUCCEEDED, provider_reference="provider-capture")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
# 1000 minor units of EUR at north: 10 + 14.
FEE_MICRO_UNITS = 240_000


class Cut(StrEnum):
    """Where the connection is lost."""

    BEFORE = "before the server reads COMMIT"
    AFTER = "after the server committed"


class Proxy:
    """Stands between the service and its database, and cuts the connection of the next COMMIT."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self.cut: Cut | None = None
        self.refuse = False
        self._clients: list[asyncio.StreamWriter] = []

    def hang_up(self) -> None:
        """Drop every client, and go on reading what the server says."""
        for writer in self._clients:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until one side ends."""
        if self.refuse:
            writer.transport.abort()
            return
        self._clients.append(writer)
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
        silent = asyncio.Event()
        tasks = [
            asyncio.create_task(self._forward(reader, upstream_writer, silent)),
            asyncio.create_task(_back(upstream_reader, writer, silent)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in (writer, upstream_writer):
            one.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silent: asyncio.Event
    ) -> None:
        while data := await reader.read(65_536):
            if self.cut is not None and b"COMMIT" in data:
                cut, self.cut = self.cut, None
                if cut is Cut.BEFORE:
                    return
                silent.set()
            writer.write(data)
            await writer.drain()


async def _back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silent: asyncio.Event) -> None:
    while data := await reader.read(65_536):
        if silent.is_set():
            return
        writer.write(data)
        await writer.drain()


@dataclass
class Bench:
    """A resolver behind the proxy, another on a direct connection, and one capture to resolve."""

    proxy: Proxy
    behind: OutcomeResolver
    direct: OutcomeResolver
    database: Database
    measures: ServiceMetrics
    receipt_log: ReceiptLog
    folder: Path
    capture: Operation

    def value(self, series: str) -> float:
        """Return a series of the recorder that both resolvers share."""
        for line in self.measures.recorder.render().decode().splitlines():
            if line.startswith(series + " "):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no such series: {series}")

    def writes(self, outcome: str) -> float:
        """Return how many postings ended with an outcome."""
        return self.value(f'moneypath_ledger_writes_total{{kind="posting",outcome="{outcome}"}}')

    def fees(self) -> float:
        """Return the fees of north."""
        return self.value('moneypath_cost_micro_units_total{component="provider_fee",provider="north"}')

    def captured(self) -> float:
        """Return the money captured at north."""
        return sum(
            self.value(f'moneypath_captured_minor_units_total{{provider="north",currency="{currency}"}}')
            for currency in ("EUR", "USD", "JPY", "KWD")
        )

    def noted(self) -> int:
        """Return how many receipts are on disk."""
        self.receipt_log.flush()
        return len(ReceiptReader(self.folder).read(100))


@asynccontextmanager
async def proxied(settings: "Settings") -> AsyncIterator[tuple[Proxy, Database]]:
    """Yield a proxy and a database that is reached through it."""
    parts = urlsplit(settings.database.url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = Proxy(parts.hostname, parts.port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    address = f"{parts.username}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    url = parts._replace(netloc=address).geturl()
    database = await Database.connect(replace(settings.database, url=url), most_connections=2)
    try:
        yield proxy, database
    finally:
        await database.close()
        server.close()


@pytest_asyncio.fixture(loop_scope="session")
async def bench(settings: "Settings", tmp_path: Path) -> AsyncIterator[Bench]:
    """Wire both resolvers to one recorder and one receipt log."""
    recorder = setup(Catalogue.load(settings.catalogue_file), service="refpay-api", metrics=API_METRICS)
    measures = ServiceMetrics(recorder, CostModel.load(settings.costs_file))
    clock = SystemClock()
    receipt_log = ReceiptLog(tmp_path, service="refpay-api", clock=clock)
    direct = await Database.connect(settings.database, most_connections=2)
    try:
        async with proxied(settings) as (proxy, database):
            behind, beside = (
                OutcomeResolver(one, measures=measures, clock=clock, receipt_log=receipt_log)
                for one in (database, direct)
            )
            yield Bench(
                proxy, behind, beside, direct, measures, receipt_log, tmp_path, await begun_capture(direct)
            )
    finally:
        receipt_log.close()
        await direct.close()


async def begun_capture(database: Database) -> Operation:
    """Write an authorized payment of north with a capture that was started."""
    payment = Payment(
        id=mint_id(NOW),
        merchant="shop",
        merchant_reference="order",
        status=PaymentStatus.AUTHORIZED,
        amount_minor=1000,
        currency=Currency.EUR,
        card_range="411111",
        provider="north",
        created_at=NOW,
        capture_reserved_minor=1000,
    )
    capture = Operation(
        id=mint_id(NOW),
        payment_id=payment.id,
        kind=OperationKind.CAPTURE,
        status=OperationStatus.STARTED,
        amount_minor=1000,
        provider_key=mint_id(NOW),
        provider_reference=None,
        decline_code=None,
        principal="shop",
        idempotency_key="capture",
        correlation_id="correlation",
        created_at=NOW,
        call_deadline=NOW + timedelta(seconds=1),
        settle_after=NOW + timedelta(seconds=2),
        next_query_at=NOW,
        query_attempts=0,
        lease_until=NOW + timedelta(seconds=1),
    )
    command = Command(Principal("shop", frozenset()), "capture", bytes(32), "correlation", "live")
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO payments.payment (id, merchant, merchant_reference, status, amount_minor, currency,"
            " card_range, provider, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            *astuple(payment)[:9],
        )
        await repository.update_payment(connection, payment)
        await claims_repository.claim(connection, command, operation_id=capture.id, now=NOW)
        await repository.insert_operation(connection, capture)
    return capture


async def test_a_commit_that_is_answered_is_counted_once(bench: Bench) -> None:
    """The benign twin: one write, one fee, one receipt, and none for the second resolver."""
    for resolver in (bench.direct, bench.behind, bench.direct):
        await resolver.resolve(bench.capture, CAPTURED, actor="shop")
    assert (bench.writes("committed"), bench.writes("unknown")) == (1, 0)
    assert (bench.fees(), bench.noted()) == (FEE_MICRO_UNITS, 1)
    assert bench.captured() == bench.capture.amount_minor


@pytest.mark.parametrize(("cut", "committed"), [(Cut.BEFORE, 1), (Cut.AFTER, 0)])
async def test_a_connection_lost_in_commit_is_unknown_and_its_fee_counted_once(
    bench: Bench, db: "RefpayDb", cut: Cut, committed: int
) -> None:
    """A real server and a real cut: trying again finds out, whether or not the commit had happened."""
    bench.proxy.cut = cut
    resolved = await bench.behind.resolve_with_retries(bench.capture, CAPTURED, actor="shop")
    assert resolved is not None
    assert (bench.writes("unknown"), bench.writes("committed")) == (1, committed)
    assert (bench.fees(), bench.noted()) == (FEE_MICRO_UNITS, 1)
    assert bench.captured() == bench.capture.amount_minor
    assert len(await db.rows("SELECT 1 FROM ledger.entry WHERE kind <> 'hold'")) == 1


async def test_nobody_has_to_try_again_for_the_fee_to_count(bench: Bench) -> None:
    """The worker never sees a resolved operation again; it looks the unanswered commit up."""
    bench.proxy.cut = Cut.AFTER
    with pytest.raises(CommitOutcomeUnknown):
        await bench.behind.resolve(bench.capture, CAPTURED, actor="worker")
    assert (bench.fees(), bench.captured(), bench.noted()) == (0, 0, 0)
    recovery = OperationRecovery(
        bench.database, {}, resolver=bench.behind, clock=SystemClock(), pause_seconds=1
    )
    for _ in range(2):
        assert await recovery.run_once() == 0
    assert (bench.fees(), bench.noted()) == (FEE_MICRO_UNITS, 1)
    assert bench.captured() == bench.capture.amount_minor


async def test_what_somebody_else_posted_is_theirs_to_count(bench: Bench) -> None:
    """Our commit never happened and another process resolved it: the fee is counted there and not here."""
    bench.proxy.cut = Cut.BEFORE
    with pytest.raises(CommitOutcomeUnknown):
        await bench.behind.resolve(bench.capture, CAPTURED, actor="shop")
    await bench.direct.resolve(bench.capture, CAPTURED, actor="worker")
    assert bench.fees() == FEE_MICRO_UNITS
    await bench.behind.look_up_unanswered()
    assert (bench.fees(), bench.noted()) == (FEE_MICRO_UNITS, 1)
    assert bench.captured() == bench.capture.amount_minor


_WAIT_IN_COMMIT = """
    CREATE FUNCTION public.wait_in_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(42); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER wait_in_commit AFTER INSERT ON ledger.entry
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.wait_in_commit();
"""
_WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE 'COMMIT%'"


async def test_a_server_process_that_dies_in_commit_is_unknown(bench: Bench, db: "RefpayDb") -> None:
    """Its backend is terminated while COMMIT runs; nothing was posted, and the next attempt posts it."""
    holder = await db.connect("postgres")
    try:
        await holder.execute(_WAIT_IN_COMMIT)
        await holder.execute("SELECT pg_advisory_lock(42)")
        resolving = asyncio.create_task(bench.direct.resolve(bench.capture, CAPTURED, actor="shop"))
        pid = await until(lambda: holder.fetchval(_WAITING))
        await holder.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(CommitOutcomeUnknown):
            await resolving
        await holder.execute("SELECT pg_advisory_unlock(42)")
    finally:
        await holder.close()
    assert (bench.writes("unknown"), bench.fees()) == (1, 0)
    await bench.direct.resolve(bench.capture, CAPTURED, actor="shop")
    assert (bench.writes("committed"), bench.fees()) == (1, FEE_MICRO_UNITS)
    assert len(await db.rows("SELECT 1 FROM ledger.entry WHERE kind <> 'hold'")) == 1


async def test_the_look_up_waits_for_a_commit_that_goes_on_without_its_client(
    bench: Bench, db: "RefpayDb"
) -> None:
    """The client is gone while the server still commits: a look too early would lose the fee."""
    holder = await db.connect("postgres")
    try:
        await holder.execute(_WAIT_IN_COMMIT)
        await holder.execute("SELECT pg_advisory_lock(42)")
        bench.proxy.cut = Cut.AFTER
        resolving = asyncio.create_task(bench.behind.resolve(bench.capture, CAPTURED, actor="worker"))
        await until(lambda: holder.fetchval(_WAITING))
        bench.proxy.hang_up()
        with pytest.raises(CommitOutcomeUnknown):
            await resolving
        looking = asyncio.create_task(bench.behind.look_up_unanswered())
        await until(
            lambda: holder.fetchval("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
        )
        await holder.execute("SELECT pg_advisory_unlock(42)")
        await looking
    finally:
        await holder.close()
    assert (bench.fees(), bench.noted()) == (FEE_MICRO_UNITS, 1)
    assert bench.captured() == bench.capture.amount_minor


async def test_other_ends_of_a_ledger_write_are_counted_apart(bench: Bench, db: "RefpayDb") -> None:
    """A row that somebody holds is a conflict, a refusal of the database a rejection, no server a failure."""
    holder = await db.connect()
    try:
        async with holder.transaction():
            await holder.execute("SELECT 1 FROM payments.payment FOR UPDATE")
            with pytest.raises(TransactionConflicted):
                await bench.direct.resolve(bench.capture, CAPTURED, actor="shop")
    finally:
        await holder.close()
    assert bench.writes("conflict_retried") == 1
    admin = await db.connect("postgres")
    try:
        await admin.execute(
            "ALTER TABLE ledger.entry ADD CONSTRAINT none CHECK (kind <> 'posting') NOT VALID"
        )
    finally:
        await admin.close()
    with pytest.raises(InvariantViolation):
        await bench.direct.resolve(bench.capture, CAPTURED, actor="shop")
    assert bench.writes("rejected") == 1
    bench.proxy.refuse = True
    bench.proxy.hang_up()
    with pytest.raises(DatabaseUnavailable):
        await bench.behind.resolve(bench.capture, CAPTURED, actor="shop")
    assert (bench.writes("failed"), bench.writes("committed"), bench.fees()) == (1, 0, 0)


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Wait for the database, which has no event of ours, and return what was true."""
    async with asyncio.timeout(30):
        while not (found := await condition()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found
