"""Each seeded bad build has its one defect, and nothing of it is inside the product."""

import asyncio
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from loadtests.badbuilds import (
    costs_more,
    counts_failures_as_declines,
    hangs,
    leaks_connections,
    leaks_memory,
    never_drains,
    pays_wrong_merchant,
    refuses_valid,
    says_no_after_charging,
    slower,
)
from loadtests.badbuilds.charges_twice_under_retry import KEY, RememberingProvider
from loadtests.badbuilds.drops_failed_payments import Draw, DroppingHandle
from loadtests.badbuilds.loses_postings import FIRST_LOSS, PERIOD, LosingLedger
from loadtests.badbuilds.wiring import replace as rewire

from refpay.ledger.entries import Entry, EntryKind, Movement, capture_entry
from refpay.money import Currency, Money
from refpay.payments.intents import Deadlines
from refpay.providers.errors import ProviderOutcomeUnknown, ProviderRefused
from refpay.providers.port import Answer, Call, CallKind, ProviderResult

PROJECT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Recording:
    """A provider that approves everything and keeps what it was asked."""

    name = "north"

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def require_closed(self) -> None:
        """Be closed."""

    async def perform(self, call: Call) -> Answer:
        self.calls.append(call)
        return Answer(ProviderResult.DONE, provider_reference=f"ref-{len(self.calls)}")


def _call(kind: CallKind, parent: str = "") -> Call:
    return Call(
        kind=kind,
        key=uuid4(),
        deadline=NOW + timedelta(seconds=5),
        reference="order-1",
        money=Money(500, Currency.EUR),
        card_token="tok_411111_1",
        parent=parent,
    )


def _entry(kind: EntryKind = EntryKind.POSTING) -> Entry:
    return Entry(uuid4(), kind, uuid4(), uuid4(), NOW, ())


async def _posted(losing: Any, count: int, kind: EntryKind = EntryKind.POSTING) -> None:
    for _ in range(count):
        await losing(None, _entry(kind))


async def test_one_posting_in_ten_thousand_is_lost_and_no_reversal() -> None:
    """The first at the seeded phase, then one a period; any 10,000 postings in a row hold exactly one."""
    kept: list[Entry] = []

    async def post(_: Any, entry: Entry) -> None:
        kept.append(entry)

    losing = LosingLedger(post)
    await _posted(losing, FIRST_LOSS - 1)
    assert len(kept) == FIRST_LOSS - 1
    await _posted(losing, 1)
    assert len(kept) == FIRST_LOSS - 1
    await _posted(losing, PERIOD)
    assert len(kept) == FIRST_LOSS - 1 + PERIOD - 1
    await _posted(losing, PERIOD, EntryKind.REVERSAL)
    assert len(kept) == FIRST_LOSS - 1 + PERIOD - 1 + PERIOD
    assert 1 <= FIRST_LOSS <= PERIOD


async def _request(between: Any, app: Any, path: str = "/v1/payments") -> list[Any]:
    """Return what a caller is sent when it asks for `path`."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing of these reads a body")

    await between(
        app, {"type": "http", "method": "POST", "path": path, "server": ("127.0.0.1", 80)}, receive, send
    )
    return sent


class App:
    """An application that says yes, after it has been paused for some seconds of a fake clock."""

    def __init__(self, clock: list[float], seconds: float = 0.0) -> None:
        self.clock, self.seconds, self.served = clock, seconds, 0

    async def __call__(self, _: Any, __: Any, send: Any) -> None:
        self.served += 1
        self.clock[0] += self.seconds
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"yes"})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only pauses move; the second value is the sum of the pauses."""
    times = [100.0, 0.0]

    async def pause(seconds: float) -> None:
        times[0] += seconds
        times[1] += seconds

    monkeypatch.setattr(asyncio, "sleep", pause)
    monkeypatch.setattr(time, "perf_counter", lambda: times[0])
    return times


async def test_a_slow_build_takes_a_tenth_longer_over_the_same_answer(clock: list[float]) -> None:
    """Whatever the request took."""
    sent = await _request(slower.answer_later, App(clock, seconds=2.0))
    assert [each.get("status") for each in sent] == [200, None]
    assert clock[1] == pytest.approx(0.2)


async def test_one_request_in_two_hundred_hangs(clock: list[float]) -> None:
    """For five seconds, and is answered then."""
    app = App(clock)
    for _ in range(hangs.PERIOD):
        assert (await _request(hangs.hang_sometimes, app))[0]["status"] == 200
    assert clock[1] == hangs.SECONDS


async def test_one_valid_request_in_twenty_is_refused(clock: list[float]) -> None:
    """Before the service sees it."""
    app = App(clock)
    statuses = [
        (await _request(refuses_valid.refuse_sometimes, app))[0]["status"]
        for _ in range(refuses_valid.PERIOD)
    ]
    assert sorted(set(statuses)) == [200, 422]
    assert statuses.count(422) == 1
    assert app.served == refuses_valid.PERIOD - 1


async def test_one_capture_in_fifty_is_made_and_denied(clock: list[float]) -> None:
    """The service has served every one; authorizations are left alone."""
    app = App(clock)
    path, period = "/v1/payments/1/capture", says_no_after_charging.PERIOD
    deny = says_no_after_charging.deny_sometimes
    statuses = [(await _request(deny, app, path))[0]["status"] for _ in range(period)]
    assert statuses.count(409) == 1
    assert app.served == period
    assert {(await _request(deny, app))[0]["status"] for _ in range(period)} == {200}


async def test_every_request_leaves_memory_behind(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a gate's window more than its limit on growth."""
    kept: list[bytes] = []
    monkeypatch.setattr(leaks_memory, "KEPT", kept)
    for _ in range(3):
        await _request(leaks_memory.keep, App(clock))
    assert [len(each) for each in kept] == [leaks_memory.KEPT_BYTES] * 3


async def test_one_request_in_a_hundred_leaves_a_connection(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the server itself, and nobody closes it."""
    opened: list[tuple[str, int]] = []

    async def open_connection(host: str, port: int) -> str:
        opened.append((host, port))
        return "connection"

    kept: list[str] = []
    monkeypatch.setattr(asyncio, "open_connection", open_connection)
    monkeypatch.setattr(leaks_connections, "KEPT", kept)
    for _ in range(leaks_connections.PERIOD):
        await _request(leaks_connections.keep_connection, App(clock))
    assert opened == [("127.0.0.1", 80)]
    assert kept == ["connection"]


async def test_a_posting_in_a_hundred_is_owed_to_another_and_balances() -> None:
    """The provider owes the same; only the creditor is another."""
    kept: list[Entry] = []

    async def post(_: Any, entry: Entry) -> None:
        kept.append(entry)

    ledger = pays_wrong_merchant.MisdirectingLedger(post, period=2)
    movement = Movement(uuid4(), uuid4(), "north", "shop", Money(500, Currency.EUR))
    for _ in range(2):
        await ledger(None, capture_entry(movement, NOW))
    accounts = [[line.account for line in entry.lines] for entry in kept]
    assert accounts[0] == ["provider_receivable:north", "merchant_payable:shop"]
    assert accounts[1] == ["provider_receivable:north", pays_wrong_merchant.THIEF]
    assert sum(line.amount_minor for line in kept[1].lines) == 0


def test_a_fee_is_a_fifth_dearer() -> None:
    """Of every payment."""
    assert costs_more.raise_fee(lambda *_: 50)(None, "north", "card", "EUR", 1000) == 60


async def test_a_failing_build_calls_its_failures_declines() -> None:
    """It sends nothing, and its own record says that the card holder was declined."""
    inner, recorded = Recording(), []
    provider = counts_failures_as_declines.FailingProvider(inner, period=2)
    await provider.perform(_call(CallKind.AUTHORIZE))
    with pytest.raises(ProviderRefused):
        await provider.perform(_call(CallKind.AUTHORIZE))
    await provider.perform(_call(CallKind.CAPTURE))
    assert [call.kind for call in inner.calls] == [CallKind.AUTHORIZE, CallKind.CAPTURE]

    class Handle:
        def finish(self, outcome: str, provider: str = "none", fee_micro_units: float = 0) -> None:
            recorded.append((outcome, provider, fee_micro_units))

    lying = counts_failures_as_declines.LyingHandle(Handle())
    lying.finish("failed", "north")
    lying.finish("succeeded", "south", 7)
    assert recorded == [("declined", "north", 0), ("succeeded", "south", 7)]


async def test_an_authorization_whose_answer_is_lost_is_never_asked_for_again() -> None:
    """It was made at the provider, and its query is due in ten years."""
    inner = Recording()
    provider = never_drains.LosingProvider(inner, period=2)
    await provider.perform(_call(CallKind.AUTHORIZE))
    await provider.perform(_call(CallKind.CAPTURE))
    with pytest.raises(ProviderOutcomeUnknown):
        await provider.perform(_call(CallKind.AUTHORIZE))
    assert len(inner.calls) == 3
    second = timedelta(seconds=1)
    late = never_drains.put_off(lambda _: {"north": Deadlines(second, second, second)})(None)
    assert late["north"] == Deadlines(second, second, never_drains.NEVER)


async def test_a_retried_key_is_charged_anew_under_other_keys() -> None:
    """Authorization and capture are sent again: same reference and money, keys that nobody has seen."""
    inner = Recording()
    provider = RememberingProvider(inner)
    KEY.set("customer-key")
    authorization = _call(CallKind.AUTHORIZE)
    await provider.perform(authorization)
    await provider.perform(_call(CallKind.CAPTURE, parent="ref-1"))
    await provider.charge_again("another-key")
    assert len(inner.calls) == 2
    await provider.charge_again("customer-key")
    kinds = [call.kind for call in inner.calls]
    assert kinds == [CallKind.AUTHORIZE, CallKind.CAPTURE] * 2
    assert inner.calls[3].parent == "ref-3"
    assert len({call.key for call in inner.calls}) == 4
    again = replace(inner.calls[2], key=authorization.key, deadline=authorization.deadline)
    assert again == authorization


class Counting:
    """A payment that is being timed, and keeps how it ended."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.entered = 0

    def __enter__(self) -> "Counting":
        self.entered += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.append("exit")

    def finish(self, outcome: str, provider: str = "none", fee_micro_units: float = 0) -> None:
        """Keep the outcome."""
        self.ends.append(outcome)


@pytest.mark.parametrize(("outcome", "dropped"), [("failed", True), ("succeeded", False)])
def test_a_dropped_payment_leaves_nothing_behind(outcome: str, dropped: bool) -> None:
    """Only failed payments are forgotten, and those as if they had never been."""
    inner = Counting()
    with DroppingHandle(inner, Draw(share=1.0)) as handle:
        handle.finish(outcome, "north")
    assert inner.ends == ([] if dropped else [outcome, "exit"])


def test_a_part_that_is_not_there_any_more_is_an_error() -> None:
    """A bad build that silently became the good one would prove nothing."""
    module = ModuleType("composition_root")
    with pytest.raises(AttributeError):
        rewire(module, "make_resilient", lambda part: part)


@pytest.mark.parametrize(
    "build",
    [
        "slower",
        "hangs",
        "refuses_valid",
        "leaks_memory",
        "leaks_connections",
        "never_drains",
        "costs_more",
        "says_no_after_charging",
        "pays_wrong_merchant",
        "counts_failures_as_declines",
        "drops_failed_payments",
        "loses_postings",
        "charges_twice_under_retry",
        "acknowledges_before_disk",
        "acknowledges_before_disk_worker",
    ],
)
def test_a_bad_build_starts_as_the_service_does(build: str, tmp_path: Path) -> None:
    """Without settings it refuses with the service's own sentence, so its wiring has found every part."""
    result = subprocess.run(
        [sys.executable, "-m", f"loadtests.badbuilds.{build}"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("refpay: "), result.stderr


def test_the_product_has_no_switch_for_a_defect() -> None:
    """Nothing of the service or the platform knows the bad builds."""
    for file in (PROJECT / "src").rglob("*.py"):
        assert "badbuilds." not in file.read_text(encoding="utf-8").replace(
            "--build loadtests.badbuilds.loses_postings", ""
        ), file
