"""What is sent in an acquirer's name: replayed, forged, and too many; its own events arrive beside it."""

import asyncio
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from aiohttp import web

from acquirers.faults import FaultKind
from acquirers.settings import WebhookSettings
from acquirers.webhook_attacks import REQUESTS

if TYPE_CHECKING:
    from tests.acquirers.conftest import Start

SECRET: Final = "5e" * 32
KINDS: Final = {
    FaultKind.WEBHOOK_REPLAYED: "replayed",
    FaultKind.WEBHOOK_FORGED: "forged",
    FaultKind.WEBHOOK_FLOOD: "unsigned",
}


@dataclass
class Merchant:
    """A merchant that tells what it was sent, and refuses all that is no new event."""

    url: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    events: list[str] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    held: asyncio.Event | None = None
    accepting: asyncio.Event | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        """Judge with code of the test's own."""
        body = await request.read()
        what = self.judge(request.headers, request.raw_path, body)
        async with self.changed:
            self.seen[what] += 1
            if what == "new":
                self.events.append(json.loads(body)["key"])
            self.changed.notify_all()
        until = self.accepting if what == "new" else self.held
        if until is not None:
            await until.wait()
        return web.Response(status=204 if what == "new" else 401)

    def judge(self, headers: Mapping[str, str], path: str, body: bytes) -> str:
        """Return new, replayed, forged or unsigned."""
        if "X-Signature-Key" not in headers:
            return "unsigned"
        assert headers["X-Signature-Key"] == "k1"
        nonce = headers["X-Signature-Nonce"]
        digest = hashlib.sha256(body).hexdigest()
        text = "\n".join(("v1", "POST", path, headers["X-Signature-Timestamp"], nonce, digest))
        right = hmac.new(bytes.fromhex(SECRET), text.encode(), hashlib.sha256).hexdigest()
        if headers["X-Signature"] != f"v1={right}":
            return "forged"
        new = nonce not in self.nonces
        self.nonces.add(nonce)
        return "new" if new else "replayed"

    async def see(self, what: str, count: int) -> None:
        """Wait until there were so many."""
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(lambda: self.seen[what] >= count)


@pytest.fixture
async def merchant(tmp_path: Path) -> AsyncIterator[Merchant]:
    """Serve a merchant that shares a key with north."""
    (tmp_path / "webhook_north.json").write_text(json.dumps({"keys": {"k1": SECRET}}))
    found = Merchant()
    app = web.Application()
    app.add_routes([web.post("/v1/webhooks/north", found.take)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/webhooks/north"
    yield found
    for until in (found.held, found.accepting):
        if until is not None:
            until.set()
    await runner.cleanup()


@pytest.mark.parametrize("kind", KINDS)
async def test_each_attack_is_what_it_says(start: "Start", merchant: Merchant, kind: FaultKind) -> None:
    """So many beside the event, which arrives once; nothing when the fault has ended."""
    client = (await start("north", webhook=WebhookSettings(merchant.url))).client
    await client.fault(kind)
    await client.authorize("a")
    await merchant.see(KINDS[kind], REQUESTS[kind])
    await client.control("DELETE", "/control/faults")
    await client.authorize("b")
    await merchant.see("new", 2)
    assert merchant.events == ["a", "b"]
    assert merchant.seen == {"new": 2, KINDS[kind]: REQUESTS[kind]}


async def test_events_do_not_wait_for_an_attack(start: "Start", merchant: Merchant) -> None:
    """While the merchant answers no forger, one attack is under way, and every event is delivered."""
    merchant.held = asyncio.Event()
    client = (await start("north", webhook=WebhookSettings(merchant.url, timeout_seconds=60))).client
    await client.fault(FaultKind.WEBHOOK_FORGED)
    await client.authorize("first")
    await merchant.see("forged", REQUESTS[FaultKind.WEBHOOK_FORGED])
    for number in range(40):
        await client.authorize(f"k{number}")
    await merchant.see("new", 41)
    assert merchant.seen["forged"] == REQUESTS[FaultKind.WEBHOOK_FORGED]


async def test_no_attack_follows_an_event_that_was_accepted_after_its_fault_ended(
    start: "Start", merchant: Merchant
) -> None:
    """A slow merchant accepts events for a while longer; a forger whose lease is over sends nothing."""
    merchant.accepting = asyncio.Event()
    client = (await start("north", webhook=WebhookSettings(merchant.url, timeout_seconds=60))).client
    await client.fault(FaultKind.WEBHOOK_FORGED)
    await client.authorize("a")
    await merchant.see("new", 1)
    await client.control("DELETE", "/control/faults")
    merchant.accepting.set()
    await client.authorize("b")
    await merchant.see("new", 2)
    await client.fault(FaultKind.WEBHOOK_REPLAYED)
    await client.authorize("c")
    await merchant.see("replayed", REQUESTS[FaultKind.WEBHOOK_REPLAYED])
    assert merchant.seen == {"new": 3, "replayed": REQUESTS[FaultKind.WEBHOOK_REPLAYED]}


def test_a_flood_is_more_than_a_merchant_takes_in_a_second() -> None:
    """Twice the limit for strangers of the reference service, whose burst is a second's worth."""
    assert REQUESTS[FaultKind.WEBHOOK_FLOOD] >= 200
