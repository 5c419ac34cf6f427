"""Voids, payouts, balances and signed events over HTTP."""

import asyncio
import hashlib
import json
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from refpay.clock import SystemClock
from refpay.db.pool import Database
from refpay.identity.signing import sign
from refpay.operations.checks import Checks

if TYPE_CHECKING:
    from tests.refpay.conftest import Client, RefpayDb

    from refpay.settings import Settings


class AnHourOn(SystemClock):
    """By this clock everything is old."""

    def now(self) -> datetime:
        """Return an hour from now."""
        return super().now() + timedelta(hours=1)


def signed(provider: str, body: bytes, *, nonce: str | None = None, at: int | None = None) -> dict[str, str]:
    """Return the headers of an event that a provider sends now, or at a Unix time."""
    parts = {"timestamp": str(int(time.time()) if at is None else at), "nonce": nonce or uuid4().hex}
    secret = hashlib.sha256(provider.encode()).digest()
    target = f"/v1/webhooks/{provider}"
    return {
        "X_Signature_Key": f"{provider}-1",
        "X_Signature_Timestamp": parts["timestamp"],
        "X_Signature_Nonce": parts["nonce"],
        "X_Signature": sign(secret, method="POST", target=target, body=body, **parts),
    }


async def tell(api: "Client", provider: str, content: Any, **changed: str) -> Any:
    """Send a signed event."""
    body = json.dumps(content).encode()
    headers = signed(provider, body) | changed
    return await api.send("POST", f"/v1/webhooks/{provider}", body, by=None, **headers)


async def test_a_void_releases_what_is_left(api: "Client") -> None:
    """A part was captured, the rest is given back, and the payment says so."""
    payment = (await api.authorize()).body
    path = f"/v1/payments/{payment['id']}"
    assert (await api.post(f"{path}/capture", {"amount_minor": 300})).status == 200
    voided = await api.post(f"{path}/void", by="everybody")
    assert (voided.status, voided.body["code"]) == (404, "payment_unknown")
    voided = await api.post(f"{path}/void")
    assert (voided.status, voided.body["released_minor"], voided.body["status"]) == (200, 700, "captured")
    assert (await api.post(f"{path}/capture")).status == 409


async def test_a_payout_takes_what_is_owed_and_no_more(api: "Client", db: "RefpayDb") -> None:
    """The balances tell it, of any instant."""
    await api.captured()
    wanted = {"merchant_reference": "weekly", "amount_minor": 600, "currency": "EUR"}
    paid = await api.post("/v1/payouts", wanted, key="weekly")
    assert (paid.status, paid.body["status"]) == (201, "succeeded")
    assert (await api.post("/v1/payouts", wanted, key="weekly")).headers["Idempotency-Replayed"] == "true"
    assert (await api.post("/v1/payouts", wanted)).body["code"] == "merchant_reference_in_use"
    another = {**wanted, "merchant_reference": "another"}
    assert (await api.post("/v1/payouts", another)).body["code"] == "amount_exceeded"
    known = (await api.get("/v1/ledger/balances", by="auditor")).body
    assert {(row["account"], row["balance_minor"]) for row in known["balances"]} >= {
        ("merchant_payable:shop", -400)
    }
    first = (await api.get("/v1/ledger/balances?limit=1", by="auditor")).body
    assert first["next"] == first["balances"][0]["account"]
    rest = (await api.get(f"/v1/ledger/balances?after={first['next']}", by="auditor")).body
    assert first["balances"] + rest["balances"] == known["balances"]
    before = await api.get("/v1/ledger/balances?as_of=2020-01-01T00:00:00Z", by="auditor")
    assert {row["balance_minor"] for row in before.body["balances"]} == {0}
    one = (await api.get("/v1/ledger/balances?account=merchant_payable:shop", by="auditor")).body
    assert [row["balance_minor"] for row in one["balances"]] == [-400]
    rows = await db.rows(
        "SELECT provider, merchant_reference FROM oracle.ledger_lines WHERE entry_kind = 'payout'",
        role="refpay_oracle",
    )
    assert {row["merchant_reference"] for row in rows} == {"weekly"}
    assert {row["provider"] for row in rows} == {paid.body["provider"]}


@pytest.mark.parametrize(
    "query", ["ledger/balances?account={}", "ledger/balances?after={}", "audit?actor={}"]
)
async def test_what_no_text_holds_is_not_looked_for(api: "Client", query: str) -> None:
    """A zero octet is refused by its key, before the database refuses the question."""
    refused = await api.get(f"/v1/{query.format('%00')}", by="auditor")
    assert (refused.status, refused.body["code"]) == (422, "request_invalid")
    assert (await api.get(f"/v1/{query.format('%01')}", by="auditor")).status == 200


async def test_a_large_payout_waits_for_a_second_person(api: "Client") -> None:
    """The same request, sent again once it is approved, is carried out."""
    await api.captured(amount_minor=3_000_000)
    wanted = {"merchant_reference": "large", "amount_minor": 2_000_000, "currency": "EUR"}
    refused = await api.post("/v1/payouts", wanted, key="large")
    assert (refused.status, refused.body["code"]) == (403, "approval_needed")
    [pending] = (await api.get("/v1/approvals", by="approver")).body["approvals"]
    path = f"/v1/approvals/{pending['approval_id']}/approve"
    assert (await api.post(path, {"reason": "due"}, by="approver")).status == 200
    assert (await api.post("/v1/payouts", wanted, key="large")).status == 201


async def test_a_signed_event_is_taken_once(api: "Client", db: "RefpayDb") -> None:
    """A chargeback is booked, its event again changes nothing, and the same request again is refused."""
    payment = await api.captured()
    [capture] = await db.rows("SELECT provider_key FROM payments.operation WHERE kind = 'capture'")
    event = {
        "event": str(uuid4()),
        "type": "chargeback.opened",
        "key": str(capture["provider_key"]),
        "amount": 400,
        "currency": "EUR",
        "movement": "cb-1",
    }
    body = json.dumps(event).encode()
    headers = signed(payment["provider"], body)
    path = f"/v1/webhooks/{payment['provider']}"
    assert (await api.send("POST", path, body, by=None, **headers)).status == 204
    replayed = await api.send("POST", path, body, by=None, **headers)
    assert (replayed.status, replayed.body["code"]) == (403, "signature_replayed")
    assert (await tell(api, payment["provider"], event)).status == 204
    told = (await api.get(f"/v1/payments/{payment['id']}")).body
    assert (told["status"], told["charged_back_minor"]) == ("charged_back", 400)
    stranger = event | {"event": str(uuid4()), "key": str(uuid4())}
    assert (await tell(api, payment["provider"], stranger)).status == 204
    for result in ("applied", "duplicate", "unknown_payment", "bad_signature"):
        counted = await api.metric("moneypath_webhooks_total", provider=payment["provider"], result=result)
        assert counted == 1, result
    last = await api.metric("moneypath_webhook_last_timestamp_seconds", provider=payment["provider"])
    assert 0 <= time.time() - last < 60


async def test_no_payment_waits_for_webhooks(api: "Client", db: "RefpayDb") -> None:
    """More of them than payments have connections wait for a lock, and money moves meanwhile."""
    payment = await api.captured()
    [capture] = await db.rows("SELECT provider_key FROM payments.operation WHERE kind = 'capture'")
    told = {"type": "chargeback.opened", "key": str(capture["provider_key"]), "amount": 10, "currency": "EUR"}
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%webhook_event%'"
    holder = await db.connect("postgres")
    try:
        lock = holder.transaction()
        await lock.start()
        await holder.execute("LOCK TABLE payments.webhook_event IN EXCLUSIVE MODE")
        events = [{"event": str(uuid4()), "movement": f"cb-{number}", **told} for number in range(12)]
        tellings = [asyncio.create_task(tell(api, payment["provider"], event)) for event in events]
        while not await db.rows(waiting, role="postgres"):  # noqa: ASYNC110 - another server's state
            await asyncio.sleep(0.01)
        await api.captured()
        assert not any(telling.done() for telling in tellings)
        await lock.rollback()
        assert {(await telling).status for telling in tellings} == {204}
    finally:
        await holder.close()


async def test_payouts_and_chargebacks_are_explained_by_themselves(
    api: "Client", db: "RefpayDb", live_settings: "Settings"
) -> None:
    """No check takes their entries for postings without a capture, however old they are."""
    payment = await api.captured()
    wanted = {"merchant_reference": "weekly", "amount_minor": 400, "currency": "EUR"}
    assert (await api.post("/v1/payouts", wanted)).status == 201
    [capture] = await db.rows("SELECT provider_key FROM payments.operation WHERE kind = 'capture'")
    told = {"key": str(capture["provider_key"]), "amount": 600, "currency": "EUR", "movement": "cb-1"}
    for kind in ("chargeback.opened", "chargeback.won"):
        event = {"event": str(uuid4()), "type": kind, **told}
        assert (await tell(api, payment["provider"], event)).status == 204
    rows = await db.rows("SELECT kind FROM ledger.entry ORDER BY id")
    kinds = [row["kind"] for row in rows]
    assert kinds == ["hold", "posting", "payout", "chargeback", "chargeback_reversal"]
    database = await Database.connect(live_settings.database, most_connections=2)
    try:
        checks = Checks(database, clock=AnHourOn(), outcome_deadline=timedelta(seconds=2))
        assert not (await checks.run_once()).at_risk
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("content", "changed", "status", "code"),
    [
        ({}, {"X_Signature": "v1=" + "0" * 64}, 401, "signature_refused"),
        ({}, {"X_Signature_Key": "south-1"}, 401, "signature_refused"),
        ({}, {}, 422, "event_invalid"),
        ({"type": "operation", "key": "4111111111111111"}, {}, 422, "card_data_refused"),
    ],
)
async def test_what_is_no_event_of_the_provider_is_refused(
    api: "Client", content: Any, changed: dict[str, str], status: int, code: str
) -> None:
    """By its signature first, and then by what it says."""
    answer = await tell(api, "north", content, **changed)
    assert (answer.status, answer.body["code"]) == (status, code)


async def test_nobody_else_has_webhooks(api: "Client") -> None:
    """Whatever it is signed with."""
    assert (await tell(api, "east", {})).status == 404
