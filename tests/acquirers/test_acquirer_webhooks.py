"""Webhooks over real sockets: what is told, that it is told at least once, and every fault of telling."""

import asyncio
import hashlib
import hmac
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from aiohttp import web

from acquirers.book_file import connect
from acquirers.cli import main
from acquirers.settings import WebhookSettings

if TYPE_CHECKING:
    from tests.acquirers.conftest import Client, Launch, Start

DIALECTS = pytest.mark.parametrize("dialect", ["north", "south"])
SECRET = "5e" * 32


@dataclass
class Shop:
    """A merchant's server: keeps every signed event, answers the scripted statuses first and then 204."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    nonces: list[str] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        """Verify with code of the test's own, then keep; waits while the shop is closed."""
        body = await request.read()
        headers = request.headers
        digest = hashlib.sha256(body).hexdigest()
        parts = (headers["X-Signature-Timestamp"], headers["X-Signature-Nonce"], digest)
        text = "\n".join(("v1", request.method, request.raw_path, *parts))
        signature = hmac.new(bytes.fromhex(SECRET), text.encode(), hashlib.sha256).hexdigest()
        assert headers["X-Signature"] == f"v1={signature}"
        assert headers["Content-Type"] == "application/json"
        self.nonces.append(headers["X-Signature-Nonce"])
        await self.open.wait()
        async with self.changed:
            self.events.append(json.loads(body))
            self.changed.notify_all()
        status = self.statuses.pop(0) if self.statuses else 204
        return web.Response(status=status, headers={"Location": "/moved"} if status == 302 else None)

    async def take_elsewhere(self, _: web.Request) -> web.Response:
        """Answer whoever followed a redirection."""
        return web.Response(status=204)

    async def await_events(self, count: int) -> list[dict[str, Any]]:
        """Return the events once there are so many."""
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(lambda: len(self.events) >= count)
        return self.events

    def keys(self) -> list[str]:
        """Return the keys in the order of their events."""
        return [event["key"] for event in self.events]


@pytest.fixture
async def shop(tmp_path: Path, secrets_folder: Path) -> AsyncIterator[Shop]:
    """Serve a shop that shares a key with north and south."""
    for folder in (tmp_path, secrets_folder):
        for name in ("north", "south"):
            (folder / f"webhook_{name}.json").write_text(json.dumps({"keys": {"k1": SECRET}}))
    found = Shop()
    found.open.set()
    app = web.Application()
    app.add_routes([web.post("/v1/webhooks/{provider}", found.take)])
    app.add_routes([web.route("*", "/moved", found.take_elsewhere)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/webhooks/shop?a=%20b"
    yield found
    found.open.set()
    await runner.cleanup()


@pytest.fixture
def webhook(shop: Shop) -> WebhookSettings:
    """Impatient settings that tell the shop."""
    return WebhookSettings(shop.url, attempts_max=5, backoff_seconds=0.001, backoff_cap_seconds=0.01)


async def await_counts(client: "Client", holds: Callable[[Any], bool]) -> Any:
    """Ask until the control surface says so; each round is a request."""
    async with asyncio.timeout(60):
        while True:
            counts = (await client.control("GET", "/control/webhooks")).body
            if holds(counts):
                return counts


def _abandoned(count: int) -> Callable[[Any], bool]:
    return lambda counts: bool(counts["abandoned"] == count)


@DIALECTS
async def test_every_kind_is_told_as_agreed(
    start: "Start", shop: Shop, webhook: WebhookSettings, dialect: str
) -> None:
    """One shape in both dialects; refused and declined ones too; a replay is no news."""
    client = (await start(dialect, webhook=webhook)).client
    authorized = await client.authorize("a")
    captured = await client.capture("c", authorized.id, amount=400)
    await client.capture("c", authorized.id, amount=400)
    refunded = await client.refund("r", captured.id, amount=100)
    voided = await client.void("v", authorized.id, amount=600)
    await client.void("w", authorized.id, amount=600)
    paid = await client.payout("p", amount=7, currency="JPY")
    await client.fault("decline", decline_code="suspected_fraud")
    await client.authorize("d")
    opened = (await client.charge_back(key="c")).body["movement"]
    await client.win(opened)
    # Each is sent as soon as it is known, beside the others.
    types = ("operation", "chargeback.opened", "chargeback.won")
    events = sorted(
        await shop.await_events(9),
        key=lambda event: ("acrvwpd".index(event["key"]), types.index(event["type"])),
    )
    ids = {row["key"]: row["provider_reference"] for row in await client.truth()}
    plain = {"type": "operation", "status": "done", "decline_code": None, "currency": "EUR"}
    expected = [
        {"key": "a", "kind": "authorize", "id": authorized.id, "amount": 1000},
        {"key": "c", "kind": "capture", "id": captured.id, "amount": 400},
        {"key": "c", "kind": "capture", "id": captured.id, "amount": 300, "type": "chargeback.opened",
         "movement": opened},
        {"key": "c", "kind": "capture", "id": captured.id, "amount": 300, "type": "chargeback.won",
         "movement": opened},
        {"key": "r", "kind": "refund", "id": refunded.id, "amount": 100},
        {"key": "v", "kind": "void", "id": voided.id, "amount": 600},
        {"key": "w", "kind": "void", "id": ids["w"], "amount": 600, "status": "refused"},
        {"key": "p", "kind": "payout", "id": paid.id, "amount": 7, "currency": "JPY"},
        {"key": "d", "kind": "authorize", "id": ids["d"], "amount": 1000, "status": "declined",
         "decline_code": "suspected_fraud"},
    ]  # fmt: skip
    assert [{**event, "event": ""} for event in events] == [{**plain, **one, "event": ""} for one in expected]
    assert len({UUID(event["event"]) for event in events}) == 9
    assert len(set(shop.nonces)) == 9
    counts = await await_counts(client, lambda counts: counts["taken"] == 9)
    counts = await await_counts(client, lambda counts: counts["told"] == 9)
    assert counts == {"on": True, "told": 9, "pending": 0, "taken": 9, "lost": 0, "abandoned": 0}


async def test_without_a_url_nobody_is_told(start: "Start", shop: Shop) -> None:
    """Webhooks are off unless there is somebody to tell."""
    client = (await start("north")).client
    await client.authorize("a")
    assert (await client.control("GET", "/control/webhooks")).body == {"on": False}
    assert shop.events == []


@pytest.mark.parametrize("status", [500, 404, 401, 302, 199])
async def test_an_event_is_sent_until_it_is_taken(
    start: "Start", shop: Shop, webhook: WebhookSettings, status: int
) -> None:
    """Any answer but a 2xx brings it again, signed anew, the same to the last byte of its id."""
    shop.statuses = [500 if status == 199 else status] * 3 + [202]
    client = (await start("north", webhook=webhook)).client
    await client.authorize("a")
    counts = await await_counts(client, lambda counts: counts["taken"])
    assert (counts["taken"], counts["abandoned"]) == (1, 0)
    assert len(shop.events) == 4
    assert len({json.dumps(event) for event in shop.events}) == 1
    assert len(set(shop.nonces)) == 4


async def test_attempts_are_bounded(start: "Start", shop: Shop, webhook: WebhookSettings) -> None:
    """After the last one it is given up, and the next event is told as ever."""
    shop.statuses = [503] * 5
    client = (await start("north", webhook=webhook)).client
    await client.authorize("a")
    counts = await await_counts(client, lambda counts: counts["abandoned"])
    assert (counts["taken"], counts["abandoned"]) == (0, 1)
    await client.authorize("b")
    await shop.await_events(6)
    assert shop.keys() == ["a"] * 5 + ["b"]


async def test_pauses_grow_to_a_cap_and_differ(start: "Start", shop: Shop) -> None:
    """Each is drawn from what doubles from one to the next, and is never longer than the cap."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    shop.statuses = [503] * 200
    patient = WebhookSettings(shop.url, attempts_max=50, backoff_seconds=0.1, backoff_cap_seconds=3.0)
    client = (await start("north", webhook=patient, sleep=sleep)).client
    for key in ("a", "b", "c", "d"):
        await client.authorize(key)
        await await_counts(client, _abandoned("abcd".index(key) + 1))
    assert len(pauses) == 4 * 49
    firsts = [pauses[number * 49 : number * 49 + 5] for number in range(4)]
    assert all(pause <= 0.1 * 2**turn for first in firsts for turn, pause in enumerate(first))
    assert len(set(pauses)) == len(pauses)
    assert 2.5 < max(pauses) <= 3.0
    assert min(pause for number in range(4) for pause in pauses[number * 49 + 10 : number * 49 + 49]) < 1.0


async def test_a_shop_that_is_down_or_silent_is_tried_again(
    start: "Start", shop: Shop, webhook: WebhookSettings
) -> None:
    """A closed port and an answer that does not come count as attempts; operations do not wait for it."""
    shop.open.clear()
    client = (await start("north", webhook=replace(webhook, timeout_seconds=0.3))).client
    assert (await client.authorize("a")).outcome == "approved"
    await await_counts(client, lambda counts: counts["abandoned"])
    # One or the other may have been given up on its way.
    assert 0 < len(shop.nonces) <= 5
    gone = replace(webhook, url="http://127.0.0.1:1/")
    other = (await start("south", webhook=gone)).client
    assert (await other.authorize("a")).outcome == "approved"
    await await_counts(other, lambda counts: counts["abandoned"])


async def test_what_waits_is_bounded(start: "Start", shop: Shop, webhook: WebhookSettings) -> None:
    """With room for three, three of twenty are on their way; the others stand in the book and follow."""
    shop.open.clear()
    client = (await start("north", webhook=replace(webhook, timeout_seconds=60), pending_max=3)).client
    for number in range(20):
        await client.authorize(f"k{number}")
    counts = await await_counts(client, lambda counts: counts["pending"] == 3)
    assert counts["taken"] == 0
    assert len(shop.nonces) <= 3
    shop.open.set()
    await shop.await_events(20)
    assert sorted(shop.keys()) == sorted(f"k{number}" for number in range(20))


async def test_events_come_in_order_while_all_is_well(
    start: "Start", shop: Shop, webhook: WebhookSettings
) -> None:
    """What one payment does is told as it happened."""
    client = (await start("north", webhook=webhook)).client
    authorized = await client.authorize("a")
    await shop.await_events(1)
    captured = await client.capture("b", authorized.id)
    await shop.await_events(2)
    await client.refund("c", captured.id)
    await shop.await_events(3)
    assert shop.keys() == ["a", "b", "c"]


async def test_a_case_is_told_when_nothing_else_happens(
    start: "Start", shop: Shop, webhook: WebhookSettings
) -> None:
    """Long after everything was told and noted, a chargeback alone is news."""
    client = (await start("north", webhook=webhook)).client
    authorized = await client.authorize("a")
    await client.capture("c", authorized.id)
    await await_counts(client, lambda counts: counts["told"] == 2)
    await client.charge_back(key="c")
    events = await shop.await_events(3)
    assert [event["type"] for event in events] == ["operation", "operation", "chargeback.opened"]


async def test_a_book_that_cannot_be_read_for_a_while_is_read_again(
    start: "Start", shop: Shop, webhook: WebhookSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is skipped, and the acquirer goes on."""
    failures = iter([sqlite3.OperationalError("disk I/O error")] * 3)

    def connect_at_last(file: Path) -> sqlite3.Connection:
        for failure in failures:
            raise failure
        return connect(file)

    client = (await start("north", webhook=webhook)).client
    await client.authorize("a")
    await shop.await_events(1)
    monkeypatch.setattr("acquirers.book.connect", connect_at_last)
    await client.authorize("b")
    await shop.await_events(2)
    assert shop.keys() == ["a", "b"]
    assert next(failures, None) is None


async def test_a_lost_webhook_is_never_sent(start: "Start", shop: Shop, webhook: WebhookSettings) -> None:
    """Only that of its scope is; the operation itself is done."""
    client = (await start("north", webhook=webhook)).client
    await client.fault("webhook_lost", scope={"currencies": ["JPY"]})
    assert (await client.authorize("lost", currency="JPY")).outcome == "approved"
    await client.authorize("told")
    counts = await await_counts(client, lambda counts: counts["taken"] and not counts["pending"])
    assert (counts["taken"], counts["lost"]) == (1, 1)
    assert shop.keys() == ["told"]
    (fault,) = (await client.control("GET", "/control/faults")).body["faults"]
    assert (fault["kind"], fault["hits"]) == ("webhook_lost", 1)


async def test_a_late_webhook_comes_after_its_time(
    start: "Start", shop: Shop, webhook: WebhookSettings
) -> None:
    """Others overtake it meanwhile; it does come."""
    over, waited = asyncio.Event(), list[float]()

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await over.wait()

    client = (await start("north", webhook=webhook, sleep=sleep)).client
    await client.fault("webhook_late", latency_seconds=20, scope={"currencies": ["JPY"]})
    await client.authorize("late", currency="JPY")
    await client.authorize("first")
    await shop.await_events(1)
    assert (shop.keys(), waited) == (["first"], [20])
    over.set()
    await shop.await_events(2)
    assert shop.keys() == ["first", "late"]


async def test_a_doubled_webhook_is_one_event_twice(
    start: "Start", shop: Shop, webhook: WebhookSettings
) -> None:
    """The same event under two nonces, so that it is no replay."""
    client = (await start("north", webhook=webhook)).client
    await client.fault("webhook_twice")
    await client.authorize("a")
    one, two = await shop.await_events(2)
    assert one == two
    assert len(set(shop.nonces)) == 2


async def test_webhooks_out_of_order_are_overtaken(
    start: "Start", shop: Shop, webhook: WebhookSettings
) -> None:
    """Pairs change places; one that nothing overtakes comes when its time is up."""
    client = (await start("north", webhook=webhook)).client
    await client.fault("webhook_out_of_order", latency_seconds=30)
    authorized = await client.authorize("a")
    captured = await client.capture("b", authorized.id)
    await shop.await_events(2)
    await client.refund("c", captured.id, amount=1)
    await client.refund("d", captured.id, amount=1)
    await shop.await_events(4)
    assert shop.keys() == ["b", "a", "d", "c"]
    await client.control("DELETE", "/control/faults")
    await client.fault("webhook_out_of_order", latency_seconds=0.05)
    await client.authorize("e")
    await shop.await_events(5)


async def test_a_webhook_fault_hits_no_operation(
    start: "Start", shop: Shop, webhook: WebhookSettings
) -> None:
    """Nor does a fault of operations hit a webhook, whichever came first."""
    client = (await start("north", webhook=webhook)).client
    await client.fault("webhook_twice")
    await client.fault("drop", scope={"operations": ["authorize"]})
    assert (await client.authorize("a")).status == 0
    assert len(await shop.await_events(2)) == 2
    hits = [fault["hits"] for fault in (await client.control("GET", "/control/faults")).body["faults"]]
    assert hits == [1, 1]


@DIALECTS
async def test_a_killed_acquirer_tells_the_rest(launch: "Launch", shop: Shop, dialect: str) -> None:
    """What was not told stands in the book: the next process tells it, by the same ids."""
    shop.open.clear()
    flags = ("--webhook-url", shop.url, "--latency-ms", "0")
    first = await launch(dialect, *flags)
    for number in range(10):
        await first.client.authorize(f"k{number}")
    first.process.kill()
    await first.process.wait()
    shop.open.set()
    before = {event["event"] for event in shop.events}
    second = await launch(dialect, *flags)
    async with asyncio.timeout(60), shop.changed:
        await shop.changed.wait_for(lambda: len(set(shop.keys())) == 10)
    assert len({event["event"] for event in shop.events} | before) == 10
    assert second.process.returncode is None


async def test_telling_begins_where_it_is_switched_on(launch: "Launch", shop: Shop) -> None:
    """A book that was kept without webhooks is not told from its beginning."""
    first = await launch("north")
    await first.client.authorize("old")
    first.process.terminate()
    assert await first.process.wait() == 0
    second = await launch("north", "--webhook-url", shop.url)
    await second.client.authorize("new")
    await shop.await_events(1)
    assert shop.keys() == ["new"]


def test_an_acquirer_without_a_key_does_not_start(
    secrets_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would tell what nobody could believe."""
    flags = ["--name", "north", "--dialect", "north", "--port", "0", "--book", "b.db"]
    told = ["--secrets-folder", str(secrets_folder), "--webhook-url", "http://127.0.0.1:1/"]
    assert main([*flags, *told]) == 1
    assert "webhook_north.json cannot be read" in capsys.readouterr().err
