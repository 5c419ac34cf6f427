"""One key, one operation, one answer: at once, repeated, late, and while the outcome is unknown."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from tests.refpay.conftest import Acquirer, Client, RefpayDb

ORDER: dict[str, Any] = {
    "merchant_reference": "order-again",
    "amount_minor": 5,
    "currency": "EUR",
    "card_token": "tok_411111_00ff",
}


async def test_two_hundred_at_once_are_one(
    patient_api: "Client", db: "RefpayDb", acquirers: "Mapping[str, Acquirer]"
) -> None:
    """One payment, one provider call, one answer; those that came too early are told to ask again."""
    reference = f"order-{uuid4().hex}"
    body = {**ORDER, "merchant_reference": reference}
    answers = await asyncio.gather(*(patient_api.post("/v1/payments", body, key="same") for _ in range(200)))
    told = [answer for answer in answers if answer.status == 201]
    early = [answer for answer in answers if answer.status == 409]
    assert len(told) + len(early) == 200
    assert {answer.body["code"] for answer in early} <= {"idempotency_in_flight"}
    assert all(answer.headers["Retry-After"] == "1" for answer in early)
    assert len({answer.raw for answer in told}) == 1
    assert sum(not answer.replayed for answer in told) == 1
    assert await db.rows("SELECT count(*) AS n FROM payments.operation") == [{"n": 1}]
    rows = [row for acquirer in acquirers.values() for row in await acquirer.truth()]
    assert sum(row["reference"] == reference for row in rows) == 1
    provider = told[0].body["provider"]
    attempts = await patient_api.metric(
        "moneypath_provider_attempts_total", provider=provider, outcome="succeeded"
    )
    assert attempts == 1
    counted = await patient_api.metric(
        "moneypath_payments_total", operation="authorize", outcome="succeeded", provider=provider
    )
    assert counted == 1


async def test_a_replay_is_the_same_to_the_byte(api: "Client") -> None:
    """For a success, a decline, a refusal and a failure; the header says that it is one."""
    payment = (await api.authorize()).body
    too_much = {"amount_minor": 999_999}
    for path, body in (("/v1/payments", ORDER), (f"/v1/payments/{payment['id']}/capture", too_much)):
        first = await api.post(path, body, key=f"replayed-{len(body)}")
        # The same meaning in other words is the same request.
        turned = dict(reversed(body.items()))
        second = await api.post(path, turned, key=f"replayed-{len(body)}")
        assert (second.status, second.raw) == (first.status, first.raw)
        assert second.headers["Content-Type"] == first.headers["Content-Type"]
        assert (first.replayed, second.replayed) == (False, True)
    assert (
        await api.metric("moneypath_idempotency_results_total", operation="authorize", result="replayed") == 1
    )
    # A refusal that was stored stays, even when the state would allow the operation now.
    assert first.body["code"] == "amount_exceeded"


async def test_another_request_under_the_key_is_a_conflict(api: "Client") -> None:
    """Another body, another path; but another principal's key is another key."""
    assert (await api.post("/v1/payments", ORDER, key="taken")).status == 201
    other = await api.post("/v1/payments", {**ORDER, "amount_minor": 6}, key="taken")
    assert (other.status, other.body["code"]) == (409, "idempotency_key_reused")
    payment = (await api.authorize()).body
    other = await api.post(f"/v1/payments/{payment['id']}/capture", {}, key="taken")
    assert (other.status, other.body["code"]) == (409, "idempotency_key_reused")
    assert (await api.post("/v1/payments", ORDER, key="taken", by="rival")).status == 201
    assert (
        await api.metric("moneypath_idempotency_results_total", result="conflict", operation="authorize") == 1
    )


async def test_a_retry_while_the_first_is_working_is_told_so(
    patient_api: "Client", acquirers: "Mapping[str, Acquirer]"
) -> None:
    """409 with Retry-After while the provider takes its time, then the replay."""
    for acquirer in acquirers.values():
        await acquirer.inject(kind="delay", latency_seconds=1)
    answers = await asyncio.gather(*(patient_api.post("/v1/payments", ORDER, key="slow") for _ in range(2)))
    early, told = sorted(answers, key=lambda answer: -answer.status)
    assert (early.status, early.body["code"], early.headers["Retry-After"]) == (
        409,
        "idempotency_in_flight",
        "1",
    )
    assert told.status == 201
    again = await patient_api.post("/v1/payments", ORDER, key="slow")
    assert (again.status, again.replayed, again.raw) == (201, True, told.raw)


async def test_an_unknown_outcome_is_told_until_it_is_known(
    api: "Client", db: "RefpayDb", acquirers: "Mapping[str, Acquirer]", run_worker_until: Any
) -> None:
    """202 with the current state, never stored; once resolved, the definitive answer to the byte."""
    for acquirer in acquirers.values():
        await acquirer.inject(kind="drop")
    first = await api.post("/v1/payments", ORDER, key="unknown")
    assert (first.status, first.body["status"]) == (202, "indeterminate")
    again = await api.post("/v1/payments", ORDER, key="unknown")
    assert (again.status, again.replayed, again.body) == (202, False, first.body)
    await run_worker_until(db)
    settled = await api.post("/v1/payments", ORDER, key="unknown")
    assert (settled.status, settled.replayed, settled.body["status"]) == (201, True, "authorized")
    assert (await api.post("/v1/payments", ORDER, key="unknown")).raw == settled.raw
    provider = settled.body["provider"]
    for outcome, times in (("indeterminate", 1), ("succeeded", 0)):
        counted = await api.metric(
            "moneypath_payments_total", operation="authorize", outcome=outcome, provider=provider
        )
        assert counted == times
    assert (
        await api.metric("moneypath_idempotency_results_total", operation="authorize", result="recovered")
        == 1
    )


async def test_a_refusal_that_may_pass_is_not_stored(api: "Client", db: "RefpayDb") -> None:
    """While every provider is drained nothing is claimed, and the same key succeeds afterwards."""
    connection = await db.connect("refpay_owner")
    try:
        await connection.execute("UPDATE routing.provider SET active = false")
        refused = await api.post("/v1/payments", ORDER, key="later")
        assert (refused.status, refused.body["code"]) == (503, "no_provider_available")
        await connection.execute("UPDATE routing.provider SET active = true")
    finally:
        await connection.close()
    later = await api.post("/v1/payments", ORDER, key="later")
    assert (later.status, later.replayed) == (201, False)
