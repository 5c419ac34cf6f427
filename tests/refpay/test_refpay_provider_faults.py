"""What real acquirers do on a bad day, and that each book agrees with the other afterwards."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from tests.refpay.conftest import Acquirer, Client, RefpayDb

OPERATIONS = ("authorize", "capture", "refund")
FAULTS: list[tuple[str, float, int, str, str]] = [
    # kind, latency, status of a capture, then the operation's status at once and in the end
    ("refuse", 0, 502, "failed", "failed"),
    ("drop", 0, 202, "indeterminate", "succeeded"),
    ("hang", 5, 202, "indeterminate", "succeeded"),
    ("delay", 0.05, 200, "succeeded", "succeeded"),
    ("delay", 5, 202, "indeterminate", "succeeded"),
]


async def reach(api: "Client", operation: str) -> tuple[str, Any, str]:
    """Bring a payment to the eve of an operation; return the request's path and body, and the reference."""
    reference = f"order-{uuid4().hex}"
    if operation == "authorize":
        body = {"merchant_reference": reference, "amount_minor": 1000, "currency": "EUR"}
        return "/v1/payments", {**body, "card_token": "tok_555555_00ff"}, reference
    if operation == "capture":
        payment = (await api.authorize(merchant_reference=reference)).body
        return f"/v1/payments/{payment['id']}/capture", {"amount_minor": 1000}, reference
    payment = await api.captured(merchant_reference=reference)
    return f"/v1/payments/{payment['id']}/refunds", {"amount_minor": 1000}, reference


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("kind", "latency", "status", "at_once", "in_the_end"), FAULTS)
async def test_a_fault_ends_as_the_acquirer_has_it(
    api: "Client",
    db: "RefpayDb",
    acquirers: "Mapping[str, Acquirer]",
    run_worker_until: Any,
    operation: str,
    kind: str,
    latency: float,
    status: int,
    at_once: str,
    in_the_end: str,
) -> None:
    """Refused is failed, silent is unknown until the worker has asked, and nothing happens twice."""
    path, body, reference = await reach(api, operation)
    for acquirer in acquirers.values():
        await acquirer.inject(kind=kind, latency_seconds=latency, scope={"operations": [operation]})
    answer = await api.post(path, body, key="faulted")
    assert answer.status == (201 if status == 200 and operation != "capture" else status)
    query = "SELECT status FROM payments.operation WHERE kind = $1"
    assert await db.rows(query, operation) == [{"status": at_once}]
    await run_worker_until(db)
    assert await db.rows(query, operation) == [{"status": in_the_end}]
    truth = [
        row
        for acquirer in acquirers.values()
        for row in await acquirer.truth()
        if row["reference"] == reference
    ]
    assert sum(row["kind"] == operation for row in truth) == (in_the_end == "succeeded")
    query = "SELECT entry_id FROM oracle.ledger_lines WHERE entry_kind <> 'hold'"
    posted = await db.rows(query, role="refpay_oracle")
    moved = sum(row["kind"] in ("capture", "refund") for row in truth)
    assert len({row["entry_id"] for row in posted}) == moved
    again = await api.post(path, body, key="faulted")
    assert again.replayed
    assert again.status == (502 if in_the_end == "failed" else 200 if operation == "capture" else 201)


async def test_a_failed_refund_gives_its_reservation_back(
    api: "Client", acquirers: "Mapping[str, Acquirer]"
) -> None:
    """After a clean refusal the whole amount can be refunded under a new key; while unknown it cannot."""
    payment = await api.captured()
    path = f"/v1/payments/{payment['id']}/refunds"
    acquirer = acquirers[payment["provider"]]
    await acquirer.inject(kind="refuse", scope={"operations": ["refund"]})
    assert (await api.post(path, {"amount_minor": 1000})).status == 502
    await acquirer.heal()
    await acquirer.inject(kind="drop", scope={"operations": ["refund"]})
    assert (await api.post(path, {"amount_minor": 600})).status == 202
    await acquirer.heal()
    assert (await api.post(path, {"amount_minor": 401})).body["code"] == "amount_exceeded"
    assert (await api.post(path, {"amount_minor": 400})).status == 201


async def test_an_unresolved_capture_blocks_what_builds_on_it(
    api: "Client", acquirers: "Mapping[str, Acquirer]"
) -> None:
    """Neither a second capture nor a refund starts while nobody knows; they may be sent again later."""
    payment = (await api.authorize()).body
    acquirer = acquirers[payment["provider"]]
    await acquirer.inject(kind="drop", scope={"operations": ["capture"]})
    assert (await api.post(f"/v1/payments/{payment['id']}/capture")).status == 202
    for path, body in (("capture", {}), ("refunds", {"amount_minor": 1})):
        answer = await api.post(f"/v1/payments/{payment['id']}/{path}", body)
        assert (answer.status, answer.body["code"]) == (409, "operation_in_flight")
        assert answer.headers["Retry-After"] == "1"


async def test_the_worker_fails_what_never_arrived(
    settings: Any, db: "RefpayDb", run_api: Any, acquirers: "Mapping[str, Acquirer]", run_worker_until: Any
) -> None:
    """An operation that the acquirer does not know after the deadline is failed, and its reference free."""
    assert acquirers
    async with run_api(settings) as api:
        # Nothing listens there, so this is a clean failure; the row is then made to look abandoned.
        answer = await api.authorize(merchant_reference="order-abandoned", key="abandoned")
        assert (answer.status, answer.body["code"]) == (502, "provider_failed")
    await abandon(db)
    assert len(await db.rows("SELECT 1 FROM oracle.unresolved_operations", role="refpay_oracle")) == 1
    await run_worker_until(db)
    # By its key: a table has no order of its own.
    query = "SELECT status, settled_by FROM payments.operation WHERE idempotency_key = 'abandoned-2'"
    assert await db.rows(query) == [{"status": "failed", "settled_by": "worker"}]


async def abandon(db: "RefpayDb") -> None:
    """Write an operation as a process leaves it that died right after its first transaction."""
    connection = await db.connect()
    try:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO payments.payment (id, merchant, merchant_reference, status, amount_minor,"
                " currency, card_range, provider, created_at) SELECT gen_random_uuid(), merchant,"
                " merchant_reference, 'authorizing', amount_minor, currency, card_range, provider,"
                " created_at + interval '1 second'"
                " FROM payments.payment"
            )
            await connection.execute(
                "INSERT INTO payments.idempotency_key (principal, key, fingerprint, operation_id, claimed_at)"
                " SELECT principal, 'abandoned-2', fingerprint, gen_random_uuid(), claimed_at"
                " FROM payments.idempotency_key"
            )
            await connection.execute(
                "INSERT INTO payments.operation (id, payment_id, kind, status, amount_minor, provider_key,"
                " principal, idempotency_key, correlation_id, created_at, call_deadline, settle_after,"
                " next_query_at) SELECT claim.operation_id, payment.id, 'authorize', 'started', 1000,"
                " gen_random_uuid(), 'shop', 'abandoned-2', 'c', now(), now() - interval '2 s',"
                " now() - interval '1 s', now() - interval '1 s'"
                " FROM payments.payment, payments.idempotency_key AS claim"
                " WHERE payment.status = 'authorizing' AND claim.key = 'abandoned-2'"
            )
    finally:
        await connection.close()
