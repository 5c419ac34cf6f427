"""A merchant that speaks both dialects, an acquirer on a real socket, an acquirer in a real process."""

import asyncio
import csv
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from acquirers.book import Book
from acquirers.bookkeeper import Bookkeeper
from acquirers.faults import FaultRegistry
from acquirers.http_requests import Secret
from acquirers.operation_service import IN_FLIGHT_MAX
from acquirers.server import create_app
from acquirers.settings import DialectName, Settings, WebhookSettings
from acquirers.settlement import Exchange, Fees
from acquirers.signing import Signer
from acquirers.webhooks import PENDING_MAX, Sleep, WebhookSender

API_KEY = "api-key-of-the-test"
CONTROL_TOKEN = "control-token-of-the-test"
# The beginning of 2026, in Unix seconds: where the book's clock stands at first.
NEW_YEAR = 1_767_225_600.0
FEES = Fees(140, {"EUR": 10, "USD": 11, "JPY": 16, "KWD": 35})
DECIMALS = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}
SOUTH_KINDS = {"S": "capture", "R": "refund", "B": "chargeback", "W": "chargeback_reversal"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client got; status 0 means that the connection closed without an answer."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """The dialects' words for what happened, in one vocabulary; `error` for all others."""
        word = self.body.get("status") or self.body.get("result") or self.body.get("state") or "error"
        south = {
            "AUTHORISED": "approved",
            "REFUSED": "declined",
            "SETTLED": "captured",
            "CANCELLED": "voided",
        }
        return south.get(word, str(word).lower())

    @property
    def id(self) -> str:
        """The provider's reference."""
        names = ("id", "authCode", "settlementId", "refundId", "cancelId", "payoutId")
        return next(str(self.body[name]) for name in names if self.body.get(name))


@dataclass(frozen=True, slots=True)
class Statement:
    """A settlement report in one vocabulary; amounts in minor units, totals by currency.

    Totals are lines, captured, refunded and fees; where there are chargebacks, theirs and what came back.
    """

    number: int
    bounds: tuple[str, str]
    lines: list[dict[str, Any]]
    totals: dict[str, tuple[int, ...]]


class FakeClock:
    """Seconds that pass only when told."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


class Client:
    """A merchant and an operator in one."""

    def __init__(self, session: aiohttp.ClientSession, url: str, dialect: str) -> None:
        self._session = session
        self.url = url
        self.dialect = dialect

    async def send(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **body: Any
    ) -> Answer:
        """Send any request; `json` and `data` as aiohttp takes them."""
        try:
            async with self._session.request(method, self.url + path, headers=headers, **body) as response:
                return Answer(response.status, await response.json())
        except aiohttp.ServerDisconnectedError:
            return Answer(0)

    async def authorize(
        self,
        key: str,
        reference: str = "order-1",
        amount: int = 1000,
        currency: str = "EUR",
        card_range: str = "411111",
    ) -> Answer:
        """Authorize `amount` minor units."""
        token = f"tok_{card_range}_0a1b2c"
        if self.dialect == "north":
            body = {"reference": reference, "amount": amount, "currency": currency, "card_token": token}
            return await self._north("/v1/authorizations", key, body)
        form = _form(key, reference, amount, currency) | {"cardToken": token}
        return await self._south("/gateway/authorise", form)

    async def capture(
        self, key: str, parent: str, reference: str = "order-1", amount: int = 1000, currency: str = "EUR"
    ) -> Answer:
        """Capture an authorization."""
        if self.dialect == "north":
            body = {"reference": reference, "amount": amount, "currency": currency, "authorization": parent}
            return await self._north("/v1/captures", key, body)
        form = _form(key, reference, amount, currency) | {"authCode": parent}
        return await self._south("/gateway/settle", form)

    async def refund(
        self, key: str, parent: str, reference: str = "order-1", amount: int = 1000, currency: str = "EUR"
    ) -> Answer:
        """Refund a capture."""
        if self.dialect == "north":
            body = {"reference": reference, "amount": amount, "currency": currency, "capture": parent}
            return await self._north("/v1/refunds", key, body)
        form = _form(key, reference, amount, currency) | {"settlementId": parent}
        return await self._south("/gateway/refund", form)

    async def void(
        self, key: str, parent: str, reference: str = "order-1", amount: int = 1000, currency: str = "EUR"
    ) -> Answer:
        """Void what is left of an authorization."""
        if self.dialect == "north":
            body = {"reference": reference, "amount": amount, "currency": currency, "authorization": parent}
            return await self._north("/v1/voids", key, body)
        form = _form(key, reference, amount, currency) | {"authCode": parent}
        return await self._south("/gateway/cancel", form)

    async def payout(
        self,
        key: str,
        reference: str = "payout-1",
        amount: int = 1000,
        currency: str = "EUR",
        beneficiary: str = "shop",
    ) -> Answer:
        """Pay a merchant."""
        if self.dialect == "north":
            body = {"reference": reference, "amount": amount, "currency": currency}
            return await self._north("/v1/payouts", key, body | {"beneficiary": beneficiary})
        form = _form(key, reference, amount, currency) | {"payee": beneficiary}
        return await self._south("/gateway/payout", form)

    async def charge_back(self, **order: Any) -> Answer:
        """Take a capture back, as its card holder would."""
        return await self.control("POST", "/control/chargebacks", json=order)

    async def win(self, movement: str) -> Answer:
        """Win a chargeback."""
        return await self.control("POST", f"/control/chargebacks/{movement}/won")

    async def query(self, key: str) -> Answer:
        """Ask what became of a key."""
        path = "/v1/operations/" if self.dialect == "north" else "/gateway/transactions/"
        return await self.send("GET", path + key, headers=self.merchant_headers())

    async def fetch(self, path: str) -> tuple[int, str, bytes]:
        """Return status, content type and body of a page for merchants."""
        async with self._session.get(self.url + path, headers=self.merchant_headers()) as response:
            return response.status, response.content_type, await response.read()

    async def reports(self, query: str = "") -> list[dict[str, Any]]:
        """List settlement reports, in north's words."""
        answer = await self.send("GET", self.reports_path() + query, headers=self.merchant_headers())
        assert answer.status == 200, answer.body
        rows = answer.body["reports" if self.dialect == "north" else "files"]
        names = {"number": "sequence", "sha256": "digest"}
        return [{names.get(name, name): value for name, value in row.items()} for row in rows]

    async def report(self, number: int) -> bytes:
        """Return a report's body."""
        status, _, body = await self.fetch(f"{self.reports_path()}/{number}")
        assert status == 200
        return body

    def reports_path(self) -> str:
        """Return where the list of reports is."""
        return "/v1/settlement-reports" if self.dialect == "north" else "/gateway/settlement-files"

    async def fault(self, kind: str, rate: float = 1.0, lease_seconds: float = 60, **more: Any) -> Answer:
        """Switch a fault on."""
        body = {"kind": kind, "rate": rate, "lease_seconds": lease_seconds, **more}
        return await self.control("POST", "/control/faults", json=body)

    async def control(self, method: str, path: str, **body: Any) -> Answer:
        """Send a request with the control token."""
        headers = {"Authorization": f"Bearer {CONTROL_TOKEN}"}
        return await self.send(method, path, headers=headers, **body)

    async def truth(self) -> list[dict[str, Any]]:
        """Read the whole book, in small pages."""
        rows: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            answer = await self.control("GET", f"/truth/operations?after={after}&limit=100")
            assert answer.status == 200
            rows += answer.body["rows"]
            after = answer.body["next"]
        return rows

    def merchant_headers(self, api_key: str = API_KEY) -> dict[str, str]:
        """Return the headers that identify the merchant in this dialect."""
        return {"Authorization": f"Bearer {api_key}"} if self.dialect == "north" else {"X-Api-Key": api_key}

    async def _north(self, path: str, key: str, body: Mapping[str, Any]) -> Answer:
        headers = {**self.merchant_headers(), "Idempotency-Key": key}
        return await self.send("POST", path, headers=headers, json=body)

    async def _south(self, path: str, form: Mapping[str, str]) -> Answer:
        return await self.send("POST", path, headers=self.merchant_headers(), data=form)


def _form(key: str, reference: str, amount: int, currency: str) -> dict[str, str]:
    decimal = str(Decimal(amount).scaleb(-DECIMALS[currency]))
    return {"transactionRef": key, "orderRef": reference, "amount": decimal, "currency": currency}


def read_statement(dialect: str, body: bytes) -> Statement:
    """Read a report strictly: whole, well-formed, its trailer right."""
    if dialect == "north":
        report = json.loads(body)
        assert list(report) == ["sequence", "from", "to", "lines", "totals"]
        totals = {currency: tuple(row.values()) for currency, row in report["totals"].items()}
        return Statement(report["sequence"], (report["from"], report["to"]), report["lines"], totals)
    rows = list(csv.reader(body.decode().splitlines()))
    names = ("key", "reference", "id", "kind", "amount", "currency", "fee", "at")
    settled = ("settled_currency", "settled_amount")
    lines: list[dict[str, Any]] = [
        dict(zip(names if len(row) == 9 else (*names, *settled), row[1:], strict=True))
        for row in rows
        if row[0] == "D"
    ]
    for line in lines:
        line["kind"] = SOUTH_KINDS[line["kind"]]
        if "settled_amount" in line:
            line["settled_amount"] = _minor(line["settled_amount"], line["settled_currency"])
        line.update({name: _minor(line[name], line["currency"]) for name in ("amount", "fee")})
    totals = {
        row[1]: (int(row[2]), *(_minor(text, row[1]) for text in row[3:])) for row in rows if row[0] == "C"
    }
    cases = [row for row in rows if row[0] == "B"]
    for row in cases:
        totals[row[1]] += tuple(_minor(text, row[1]) for text in row[2:])
    assert rows[-1] == ["T", str(len(lines))]
    order = "H" + "D" * len(lines) + "C" * len(totals) + "B" * len(cases) + "T"
    assert "".join(row[0] for row in rows) == order
    return Statement(int(rows[0][1]), (rows[0][2], rows[0][3]), lines, totals)


def _minor(text: str, currency: str) -> int:
    """Return the minor units of a text that has exactly the currency's decimals."""
    assert len(text.partition(".")[2]) == DECIMALS[currency]
    return int(Decimal(text).scaleb(DECIMALS[currency]))


@pytest.fixture(scope="session")
def read() -> Callable[[str, bytes], Statement]:
    """Read a report's body in a dialect."""
    return read_statement


class Acquirer:
    """An acquirer in this process on a real socket, with the test's own clocks for leases and the book."""

    def __init__(self, client: Client, clock: FakeClock, wall: FakeClock, stopping: asyncio.Event) -> None:
        self.client = client
        self.clock = clock
        self.wall = wall
        self.stopping = stopping


class Process:
    """`python -m acquirers` in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, client: Client, start_seconds: float) -> None:
        self.process = process
        self.client = client
        self.start_seconds = start_seconds


Start = Callable[..., Awaitable[Acquirer]]
Launch = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start acquirers in this process; all are stopped at the end."""
    async with AsyncExitStack() as stack:

        async def start_one(
            dialect: str,
            *,
            decline_rate: float = 0.0,
            latency_seconds: float = 0.0,
            in_flight_max: int = IN_FLIGHT_MAX,
            period_seconds: int = 10,
            lifetime_seconds: int = 604_800,
            webhook: WebhookSettings | None = None,
            exchanges: Mapping[str, Exchange] | None = None,
            pending_max: int = PENDING_MAX,
            sleep: Sleep = asyncio.sleep,
            at: float = NEW_YEAR,
        ) -> Acquirer:
            clock, wall, stopping = FakeClock(), FakeClock(at), asyncio.Event()
            file = tmp_path / f"{dialect}.db"
            settings = Settings(
                dialect,
                DialectName(dialect),
                0,
                file,
                tmp_path,
                decline_rate,
                latency_seconds,
                period_seconds,
                FEES,
                exchanges=exchanges or {},
            )
            book = Book(
                file,
                name=dialect,
                dialect=dialect,
                period_seconds=period_seconds,
                lifetime_seconds=lifetime_seconds,
                now=wall,
            )
            bookkeeper, faults, webhook_sender = Bookkeeper(book, now=wall), FaultRegistry(clock), None
            stack.push_async_callback(bookkeeper.close)
            if webhook is not None:
                webhook_sender = WebhookSender(
                    name=dialect,
                    settings=webhook,
                    bookkeeper=bookkeeper,
                    faults=faults,
                    signer=Signer(tmp_path, dialect, now=wall),
                    pending_max=pending_max,
                    sleep=sleep,
                )
                await stack.enter_async_context(_running(webhook_sender))
            app = create_app(
                settings,
                bookkeeper=bookkeeper,
                faults=faults,
                api_key=Secret(API_KEY.encode()),
                control_token=Secret(CONTROL_TOKEN.encode()),
                stopping=stopping,
                webhook_sender=webhook_sender,
                in_flight_max=in_flight_max,
            )
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            client = await _client(stack, int(runner.addresses[0][1]), dialect)
            return Acquirer(client, clock, wall, stopping)

        yield start_one


@pytest.fixture
def secrets_folder(tmp_path: Path) -> Path:
    """A folder with the secrets of north and south."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name in ("north", "south"):
        (folder / f"{name}_api_key").write_text(API_KEY + "\n")
        (folder / f"{name}_control_token").write_text(CONTROL_TOKEN + "\n")
    return folder


@pytest.fixture
async def launch(tmp_path: Path, secrets_folder: Path) -> AsyncIterator[Launch]:
    """Launch acquirers as processes; those still running are killed at the end."""
    async with AsyncExitStack() as stack:

        async def launch_one(dialect: str, *flags: str) -> Process:
            clock = asyncio.get_running_loop().time
            began = clock()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "acquirers",
                "--name",
                dialect,
                "--dialect",
                dialect,
                "--port",
                "0",
                "--book",
                str(tmp_path / f"{dialect}.db"),
                "--secrets-folder",
                str(secrets_folder),
                "--decline-rate",
                "0",
                *flags,
                stdout=asyncio.subprocess.PIPE,
            )
            stack.push_async_callback(_kill, process)
            assert process.stdout is not None
            event = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
            assert event["event"] == "listening"
            return Process(process, await _client(stack, event["port"], dialect), clock() - began)

        yield launch_one


@asynccontextmanager
async def _running(webhook_sender: WebhookSender) -> AsyncIterator[None]:
    """Run a webhook_sender until the end."""
    task = asyncio.create_task(webhook_sender.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _client(stack: AsyncExitStack, port: int, dialect: str) -> Client:
    # A connection each: aiohttp quietly retries an idempotent request whose reused connection was dropped.
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=20))
    await stack.enter_async_context(session)
    return Client(session, f"http://127.0.0.1:{port}", dialect)
