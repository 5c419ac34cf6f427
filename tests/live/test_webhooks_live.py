"""Webhooks of a whole stack: the first to tell of an outcome settles it, once, and nobody else can."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from acquirers.signing import Signer
from moneypath.path.loader import FILE_NAME, load
from moneypath.stack import secrets
from moneypath.stack.starters import LiveStack, LiveStackSettings
from moneypath.stack.tokens import TokenSource
from refstack.live_stack import running_stack
from refstack.servers import OUTCOME_DEADLINE_SECONDS, PROVIDER_TIMEOUT_SECONDS

from .conftest import PROJECT, superuser

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = load(PROJECT / FILE_NAME)
PROVIDERS = PATH.provider_ids()
PATIENCE_SECONDS = 30.0
LEASE_SECONDS = 60
AMOUNT = 1250
_COUNTED = re.compile(r'moneypath_webhooks_total\{provider="(\w+)",result="(\w+)"\} (\S+)')
_OPERATION = "SELECT * FROM payments.operation WHERE payment_id = $1 AND kind = 'capture'"
_ENTRIES = "SELECT kind FROM ledger.entry WHERE operation_id = $1"
_RECORDS = """
    SELECT actor, action FROM audit.event
    WHERE subject_kind = 'operation' AND subject_id = $1 AND action <> 'capture.begun' ORDER BY seq
"""


async def _until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Poll other processes: there is no event to await."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await holds():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s for {what}"
        await asyncio.sleep(0.05)


@dataclass(slots=True)
class Shop:
    """Pays, breaks acquirers, and reads the books of a running stack."""

    live: LiveStack
    session: aiohttp.ClientSession
    books: "asyncpg.Connection[asyncpg.Record]"
    tokens: TokenSource
    serial: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def ask(self, path: str, body: Any) -> tuple[int, Any]:
        """Send one request with a key of its own."""
        number = next(self.serial)
        headers = {"Authorization": await self.tokens.header_async(), "Idempotency-Key": f"webhooks-{number}"}
        url = f"{self.live.endpoints.service}{path}"
        async with self.session.post(url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def authorize(self) -> Any:
        """Return an authorized payment."""
        order = {
            "merchant_reference": uuid4().hex,
            "amount_minor": AMOUNT,
            "currency": "EUR",
            "card_token": f"tok_411111_{uuid4().hex}",
        }
        while True:  # an issuer may decline
            status, payment = await self.ask("/v1/payments", order)
            assert status == 201, payment
            if payment["status"] == "authorized":
                return payment
            order |= {"merchant_reference": uuid4().hex, "card_token": f"tok_411111_{uuid4().hex}"}

    async def captured(self) -> tuple[int, asyncpg.Record]:
        """Capture a new payment; return the answer's status, and the operation as it stands then."""
        payment = await self.authorize()
        status, _ = await self.ask(f"/v1/payments/{payment['id']}/capture", {})
        return status, await self.operation(payment["id"])

    async def operation(self, payment_id: Any) -> asyncpg.Record:
        """Return the capture of a payment."""
        row = await self.books.fetchrow(_OPERATION, payment_id)
        assert row is not None
        return row

    async def settled(self, payment_id: Any) -> asyncpg.Record:
        """Return the capture of a payment once it has an outcome."""

        async def is_final() -> bool:
            return (await self.operation(payment_id))["settled_at"] is not None

        await _until(is_final, "an outcome")
        return await self.operation(payment_id)

    async def is_once(self, operation: asyncpg.Record, actor: str) -> None:
        """Assert that one entry and one audit record say that it was done, and who said so."""
        assert (operation["status"], operation["settled_by"]) == ("succeeded", actor)
        entries = await self.books.fetch(_ENTRIES, operation["id"])
        assert [row["kind"] for row in entries] == ["posting"]
        records = [tuple(row) for row in await self.books.fetch(_RECORDS, str(operation["id"]))]
        assert [record for record in records if record[1] == "capture.succeeded"] == [
            (actor, "capture.succeeded")
        ]
        assert {action for _, action in records} <= {"capture.indeterminate", "capture.succeeded"}

    async def provider_of(self, operation: asyncpg.Record) -> str:
        """Return whose operation it is."""
        query = "SELECT provider FROM payments.payment WHERE id = $1"
        return str(await self.books.fetchval(query, operation["payment_id"]))

    async def counted(self) -> dict[tuple[str, str], float]:
        """Return what the service counted of webhooks, by provider and result."""
        async with self.session.get(f"{self.live.endpoints.service}/metrics") as answer:
            text = await answer.text()
        return {(provider, result): float(value) for provider, result, value in _COUNTED.findall(text)}

    async def control(self, provider: str, method: str, path: str, body: Any = None) -> Any:
        """Use the control surface of an acquirer."""
        token = secrets.read(self.live.endpoints.secrets_folder, f"{provider}_control_token")
        url = f"{self.live.endpoints.providers[provider]}/control{path}"
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status < 300, text
            return await answer.json() if text else None

    async def hit(self) -> bool:
        """Say whether a fault has hit anybody."""
        listed = [(await self.control(one, "GET", "/faults"))["faults"] for one in PROVIDERS]
        return any(fault["hits"] for faults in listed for fault in faults)

    async def pending(self) -> bool:
        """Say whether any acquirer has a webhook on its way."""
        return any([(await self.control(one, "GET", "/webhooks"))["pending"] for one in PROVIDERS])

    @asynccontextmanager
    async def fault(self, *kinds: str, **more: Any) -> AsyncIterator[None]:
        """Break captures, or reports, at every acquirer while the block runs."""
        scope = {"operations": ["capture"]}
        for provider, kind in itertools.product(PROVIDERS, kinds):
            body = {"kind": kind, "rate": 1, "lease_seconds": LEASE_SECONDS, "scope": scope, **more}
            await self.control(provider, "POST", "/faults", body)
        try:
            yield
        finally:
            for provider in PROVIDERS:
                await self.control(provider, "DELETE", "/faults")

    def event(self, operation: asyncpg.Record) -> bytes:
        """Return the body of a webhook that says that a capture was done."""
        return (
            f'{{"event":"{uuid4()}","type":"operation","key":"{operation["provider_key"]}","kind":"capture",'
            f'"status":"done","id":"of-the-provider","decline_code":null,"amount":{AMOUNT},"currency":"EUR"}}'
        ).encode()

    async def tell(self, provider: str, body: bytes, headers: dict[str, str]) -> int:
        """Send a webhook to the service."""
        url = f"{self.live.endpoints.service}/v1/webhooks/{provider}"
        async with self.session.post(url, data=body, headers=headers) as answer:
            return answer.status


def signed(folder: Path, provider: str, body: bytes) -> dict[str, str]:
    """Return the headers that the acquirer would send, with the secret of a folder."""
    signer = Signer(folder, provider, now=time.time)
    headers = signer.headers("POST", f"/v1/webhooks/{provider}", body)
    return {**headers, "Content-Type": "application/json"}


@asynccontextmanager
async def open_shop(live: LiveStack) -> AsyncIterator[Shop]:
    """Yield a shop at a running stack."""
    scopes = ("payments:authorize", "payments:capture")
    tokens = TokenSource(live.endpoints.service, live.endpoints.secrets_folder / "checkout_client", *scopes)
    async with aiohttp.ClientSession() as session, superuser(live) as books:
        yield Shop(live, session, books, tokens)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """Run a whole stack for the module."""
    settings = LiveStackSettings(PATH, tmp_path_factory.mktemp("webhooks"), 60)
    async with running_stack(settings, lambda _: None) as live, open_shop(live) as shop:
        yield shop


async def test_a_webhook_settles_what_nobody_answered(shop: Shop) -> None:
    """Before the provider would be asked, once; told again it changes nothing, and replayed it is refused."""
    async with shop.fault("drop", "withhold"):
        _, operation = await shop.captured()
        operation = await shop.settled(operation["payment_id"])
    provider = await shop.provider_of(operation)
    await shop.is_once(operation, f"provider:{provider}")
    assert operation["query_attempts"] == 0
    assert operation["settled_at"] < operation["settle_after"]
    assert (operation["settled_at"] - operation["created_at"]).total_seconds() < PROVIDER_TIMEOUT_SECONDS * 3

    body = shop.event(operation)
    headers = signed(shop.live.endpoints.run_folder / "secrets" / provider, provider, body)

    async def all_told() -> bool:
        return not await shop.pending()

    # Of the authorization too, which nobody waited for.
    await _until(all_told, "every webhook to arrive")
    before = await shop.counted()
    assert await shop.tell(provider, body, headers) == 204
    assert await shop.tell(provider, body, headers) == 403
    again = signed(shop.live.endpoints.run_folder / "secrets" / provider, provider, body)
    assert await shop.tell(provider, body, again) == 204
    after = await shop.counted()
    grown = {key[1]: after[key] - before[key] for key in after if key[0] == provider}
    assert grown == {"applied": 1, "bad_signature": 1, "duplicate": 1, "unknown_payment": 0}
    await shop.is_once(await shop.operation(operation["payment_id"]), f"provider:{provider}")


async def test_without_webhooks_the_query_settles_and_a_forged_one_nothing(
    shop: Shop, tmp_path: Path
) -> None:
    """Signed with another secret it is refused and counted; the outcome stays unknown until it is asked."""
    async with shop.fault("webhook_lost", "drop", "withhold"):
        status, operation = await shop.captured()
        assert (status, operation["status"]) == (202, "indeterminate")
        provider = await shop.provider_of(operation)
        secrets.write_once(tmp_path / f"webhook_{provider}.json", '{"keys": {"first": "%s"}}' % ("0f" * 32))
        body = shop.event(operation)
        before = await shop.counted()
        assert await shop.tell(provider, body, signed(tmp_path, provider, body)) == 401
        after = await shop.counted()
        assert after[provider, "bad_signature"] - before[provider, "bad_signature"] == 1
        assert (await shop.operation(operation["payment_id"]))["status"] == "indeterminate"
        assert not await shop.books.fetch(_ENTRIES, operation["id"])
        operation = await shop.settled(operation["payment_id"])
    await shop.is_once(operation, "worker")
    assert operation["query_attempts"] > 0
    assert (operation["settled_at"] - operation["created_at"]).total_seconds() >= OUTCOME_DEADLINE_SECONDS


async def test_what_is_told_while_the_service_is_away_arrives(shop: Shop) -> None:
    """A chargeback, of which nothing else tells soon: sent again with pauses until somebody takes it."""
    status, operation = await shop.captured()
    assert status == 200
    provider = await shop.provider_of(operation)
    await shop.live.supervisor.kill("refpay-api")
    try:
        order = {"key": str(operation["provider_key"])}
        movement = (await shop.control(provider, "POST", "/chargebacks", order))["movement"]
        await _until(shop.pending, "the acquirer to tell it")
    finally:
        await shop.live.supervisor.restart("refpay-api")
    query = "SELECT settled_by FROM payments.operation WHERE parent_id = $1 AND kind = 'chargeback'"

    async def taken() -> bool:
        return (await shop.books.fetchval(query, operation["id"])) is not None

    await _until(taken, f"the chargeback {movement}")
    assert await shop.books.fetchval(query, operation["id"]) == f"provider:{provider}"
    assert not (await shop.control(provider, "GET", "/webhooks"))["abandoned"]


async def test_webhooks_on_their_way_do_not_keep_a_stack_from_stopping(tmp_path: Path) -> None:
    """One is held back for longer than anybody waits, one is sent again and again to nobody.

    Whoever does not end within his grace is killed, on a slow machine as on a quick one.
    """
    async with (
        running_stack(LiveStackSettings(PATH, tmp_path, 60), lambda _: None) as live,
        open_shop(live) as shop,
    ):
        async with shop.fault("webhook_late", latency_seconds=30):
            await shop.captured()
            await _until(shop.hit, "a webhook that is held back")
        status, operation = await shop.captured()
        assert status == 200
        await live.supervisor.kill("refpay-api")
        order = {"key": str(operation["provider_key"])}
        await shop.control(await shop.provider_of(operation), "POST", "/chargebacks", order)
    statuses = {name: server.exited.result() for name, server in live.supervisor._servers.items()}
    ended = {name: status for name, status in statuses.items() if name.endswith(tuple(PROVIDERS))}
    assert list(ended.values()) == [0] * len(PROVIDERS), statuses
