"""The simulated bank: what it does by itself, and what it can be told to do wrong."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from bank.__main__ import create_app
from bank.misbehaviour import Misbehaviour
from bank.statement import Statement

TOKEN, CONTROL = "token-of-the-customer", "token-of-the-control"


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of a bank whose statement is in `tmp_path`."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "giro_token").write_text(TOKEN)
    (tmp_path / "secrets" / "giro_control_token").write_text(CONTROL)
    transport = httpx.ASGITransport(create_app("giro", tmp_path))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://giro", headers=headers) as client:
        yield client


def order(name: str, **changes: Any) -> dict[str, Any]:
    """Return an order of 12.50 EUR."""
    late = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    plain = {"reference": f"ref-{name}", "customer": "p-1", "amount": "12.50", "currency": "EUR"}
    return {"order": f"order-of-{name}", "not_after": late, **plain, **changes}


async def told(bank: httpx.AsyncClient, kind: str, share: float = 1.0, lease: float = 60) -> str:
    """Tell the bank to misbehave, and return the id."""
    body = {"kind": kind, "share": share, "lease_seconds": lease}
    answer = await bank.post("/control/faults", json=body, headers={"Authorization": f"Bearer {CONTROL}"})
    assert answer.status_code == 201
    return str(answer.json()["id"])


def statement(folder: Path) -> list[dict[str, str]]:
    """Return the lines of the bank's statement."""
    return [json.loads(line) for line in (folder / "giro.jsonl").read_text().splitlines()]


async def test_an_order_moves_once(bank: httpx.AsyncClient, tmp_path: Path) -> None:
    """Sent again it has the same receipt, and can be looked up; an unknown one cannot."""
    first = await bank.post("/collections", json=order("a"))
    again = await bank.post("/collections", json=order("a"))
    assert first.json() == again.json() == (await bank.get("/orders/order-of-a")).json()
    assert first.json()["state"] == "MOVED"
    (line,) = statement(tmp_path)
    assert (line["key"], line["kind"], line["amount"]) == ("order-of-a", "COLLECTION", "12.50")
    assert (await bank.get("/orders/order-of-b")).status_code == 404


async def test_silence_comes_after_the_money(bank: httpx.AsyncClient, tmp_path: Path) -> None:
    """The order is on the statement, nobody is told, also who asks; when it is over, it can be looked up."""
    fault = await told(bank, "silent_after_moving")
    asked = asyncio.create_task(bank.post("/payments", json=order("a")))
    async with asyncio.timeout(30):
        while not statement(tmp_path):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0)
    looked_up = asyncio.create_task(bank.get("/orders/order-of-a"))
    await asyncio.wait((asked, looked_up), timeout=0.5)
    assert not asked.done()
    assert not looked_up.done()
    ended = await bank.delete(f"/control/faults/{fault}", headers={"Authorization": f"Bearer {CONTROL}"})
    assert ended.json() == {"ended": True}
    assert (await asked).json() == (await looked_up).json()


async def test_a_refusal_moves_nothing(bank: httpx.AsyncClient, tmp_path: Path) -> None:
    """Nor does an order that comes too late; one of a closed account is on record as returned."""
    fault = await told(bank, "refuse")
    assert (await bank.post("/collections", json=order("a"))).status_code == 503
    await bank.delete(f"/control/faults/{fault}", headers={"Authorization": f"Bearer {CONTROL}"})
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    assert (await bank.post("/collections", json=order("b", not_after=past))).status_code == 503
    assert statement(tmp_path) == []
    closed = await bank.post("/payments", json=order("c", customer="p-closed-1"))
    assert closed.json()["state"] == "REFUSED"
    assert [line["status"] for line in statement(tmp_path)] == ["RETURNED"]


async def test_each_side_needs_its_own_token(bank: httpx.AsyncClient) -> None:
    """The customer's token controls nothing, and none opens nothing."""
    assert (await bank.get("/control/faults")).status_code == 401
    assert (await bank.get("/orders/order-of-a", headers={"Authorization": ""})).status_code == 401
    assert (
        await bank.get("/orders/order-of-a", headers={"Authorization": f"Bearer {CONTROL}"})
    ).status_code == 401


def test_a_lease_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is renewed lasts, one that has ended cannot be renewed; only a share is hit."""
    now = 100.0
    monkeypatch.setattr("bank.misbehaviour.time.monotonic", lambda: now)
    wrong = Misbehaviour()
    short, long = wrong.begin("refuse", 1, 10, 1), wrong.begin("silent_after_moving", 0.5, 10, 1)
    now = 109.0
    assert wrong.renew(long.id, 10)
    assert wrong.hit("refuse") is short
    now = 111.0
    assert wrong.hit("refuse") is None
    assert not wrong.renew(short.id, 10)
    assert 20 < sum(wrong.hit("silent_after_moving") is long for _ in range(100)) < 80
    assert list(wrong.active()) == [long.id]


def test_the_statement_is_read_again_after_a_restart(tmp_path: Path) -> None:
    """A bank that was killed knows what it did."""
    Statement("giro", tmp_path / "giro.jsonl").write("k", "COLLECTION", "r", "1.00", "EUR", "SETTLED")
    again = Statement("giro", tmp_path / "giro.jsonl")
    again.write("k", "COLLECTION", "r", "9.00", "EUR", "SETTLED")
    assert [line["amount"] for line in statement(tmp_path)] == ["1.00"]
