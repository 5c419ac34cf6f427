"""Both dialects on the wire: their words, their refusals, their secrets."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.acquirers.conftest import Answer, Client, Start

NORTH_PATHS = ("authorizations", "captures", "refunds", "voids", "payouts")
SOUTH_PATHS = ("authorise", "settle", "refund", "cancel", "payout")
DIALECTS = pytest.mark.parametrize("dialect", ["north", "south"])
NORTH_BODY: dict[str, Any] = {
    "reference": "order-1", "amount": 1000, "currency": "EUR", "card_token": "tok_411111_ab",
}  # fmt: skip
SOUTH_FORM = {
    "transactionRef": "key-1", "orderRef": "order-1", "amount": "10.00", "currency": "EUR",
    "cardToken": "tok_411111_ab",
}  # fmt: skip


async def north(client: "Client", path: str, body: Any, key: str = "key-1") -> "Answer":
    """Send a north body as given."""
    headers = {**client.merchant_headers(), "Idempotency-Key": key, "Content-Type": "application/json"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.send("POST", path, headers=headers, data=data)


async def south(client: "Client", path: str, form: Any) -> "Answer":
    """Send a south form as given."""
    headers = {**client.merchant_headers(), "Content-Type": "application/x-www-form-urlencoded"}
    return await client.send("POST", path, headers=headers, data=form)


async def test_north_answers_in_its_own_words(start: "Start") -> None:
    """Authorize, capture, refund and query have exactly the contracted fields."""
    client = (await start("north")).client
    authorized = await north(client, "/v1/authorizations", NORTH_BODY)
    assert authorized.status == 201
    assert authorized.body == {"id": authorized.id, "status": "approved", "decline_code": None}
    captured = await client.capture("key-2", authorized.id)
    assert (captured.status, captured.body) == (201, {"id": captured.id, "status": "captured"})
    refunded = await client.refund("key-3", captured.id, amount=400)
    assert (refunded.status, refunded.body) == (201, {"id": refunded.id, "status": "refunded"})
    queried = await client.query("key-1")
    assert queried.status == 200
    assert queried.body == {
        "key": "key-1", "kind": "authorize", "status": "approved", "id": authorized.id, "decline_code": None,
    }  # fmt: skip
    unknown = await client.query("key-9")
    assert (unknown.status, unknown.body["error"]) == (404, "unknown_key")


async def test_south_answers_in_its_own_words(start: "Start") -> None:
    """Authorise, settle, refund and query have exactly the contracted fields."""
    client = (await start("south")).client
    authorised = await client.send(
        "POST", "/gateway/authorise", headers=client.merchant_headers(), data=SOUTH_FORM
    )
    code = authorised.body["authCode"]
    expected = {"result": "AUTHORISED", "authCode": code, "reason": None}
    assert (authorised.status, authorised.body) == (200, expected)
    settled = await client.capture("key-2", code)
    assert (settled.status, settled.body) == (200, {"result": "SETTLED", "settlementId": settled.id})
    refunded = await client.refund("key-3", settled.id, amount=400)
    assert (refunded.status, refunded.body) == (200, {"result": "REFUNDED", "refundId": refunded.id})
    queried = await client.query("key-1")
    assert queried.status == 200
    assert queried.body == {"kind": "authorize", "state": "AUTHORISED", "authCode": code, "reason": None}
    states = [(await client.query(key)).body["state"] for key in ("key-2", "key-3")]
    assert states == ["SETTLED", "REFUNDED"]
    assert (await client.query("key-9")).status == 404


@DIALECTS
async def test_the_truth_is_the_whole_book_in_pages(start: "Start", dialect: str) -> None:
    """Every operation is there once, in order, declined and refused ones too, and the cursor ends."""
    client = (await start(dialect)).client
    authorized = await client.authorize("a", currency="KWD", amount=1234, card_range="550000")
    captured = await client.capture("b", authorized.id, currency="KWD", amount=1000)
    await client.refund("c", captured.id, currency="KWD", amount=1001)
    await client.refund("d", captured.id, currency="KWD", amount=1000)
    rows = await client.truth()
    assert [row["seq"] for row in rows] == [1, 2, 3, 4]
    assert [(row["key"], row["kind"], row["status"], row["amount_minor"]) for row in rows] == [
        ("a", "authorize", "approved", 1234),
        ("b", "capture", "captured", 1000),
        ("c", "refund", "refused", 1001),
        ("d", "refund", "refunded", 1000),
    ]
    assert {row["currency"] for row in rows} == {"KWD"}
    assert {row["card_range"] for row in rows} == {"550000"}
    assert rows[0]["provider_reference"] == authorized.id
    assert rows[1]["parent"] == authorized.id
    assert set(rows[0]) == {
        "seq", "key", "kind", "reference", "amount_minor", "currency", "card_range", "status",
        "provider_reference", "parent", "at", "beneficiary",
    }  # fmt: skip
    page = await client.control("GET", "/truth/operations?after=1&limit=2")
    assert page.body == {"provider": dialect, "rows": rows[1:3], "next": 3}
    page = await client.control("GET", "/truth/operations?after=2&limit=2")
    assert page.body == {"provider": dialect, "rows": rows[2:], "next": None}


@DIALECTS
@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=5001", "after=" + "9" * 5000])
async def test_a_bad_cursor_is_refused(start: "Start", dialect: str, query: str) -> None:
    """Cursor and limit are bounded integers; the refusal names which."""
    client = (await start(dialect)).client
    answer = await client.control("GET", f"/truth/operations?{query}")
    assert answer.status == 422
    assert answer.body["detail"].startswith(query.partition("=")[0] + ":")


@DIALECTS
async def test_replays_answer_the_same_and_other_bodies_are_refused(start: "Start", dialect: str) -> None:
    """Each kind of operation replays its stored answer, refusals included, and the book stays as it is."""
    client = (await start(dialect)).client
    authorized = await client.authorize("a")
    captured = await client.capture("b", authorized.id)
    refused = await client.capture("c", authorized.id)
    refunded = await client.refund("d", captured.id)
    rows = await client.truth()
    assert await client.authorize("a") == authorized
    assert await client.capture("b", authorized.id) == captured
    assert await client.capture("c", authorized.id) == refused
    assert await client.refund("d", captured.id) == refunded
    for answer in (
        await client.authorize("a", amount=999),
        await client.authorize("a", reference="order-2"),
        await client.authorize("a", currency="USD"),
        await client.authorize("a", card_range="550000"),
        await client.capture("a", authorized.id),
        await client.refund("d", captured.id, amount=1),
    ):
        assert (answer.status, answer.body["error"]) == (409, "key_reused")
    assert await client.truth() == rows


@DIALECTS
async def test_concurrent_requests_of_one_key_charge_once(start: "Start", dialect: str) -> None:
    """Forty at once over as many connections get one answer, and the book has one entry."""
    client = (await start(dialect)).client
    answers = await asyncio.gather(*(client.authorize("a") for _ in range(40)))
    assert all(answer == answers[0] for answer in answers)
    captures = await asyncio.gather(*(client.capture(f"c{n % 4}", answers[0].id) for n in range(40)))
    assert [row["status"] for row in await client.truth()].count("captured") == 1
    assert len({answer.id for answer in captures if answer.outcome == "captured"}) == 1
    assert len(await client.truth()) == 5


@DIALECTS
async def test_limits_are_kept(start: "Start", dialect: str) -> None:
    """What exceeds, repeats, mixes currencies or follows nothing is refused with its reason."""
    client = (await start(dialect)).client
    authorized = await client.authorize("a")
    refusals = {
        "exceeds_authorization": await client.capture("b", authorized.id, amount=1001),
        "currency_differs": await client.capture("c", authorized.id, currency="USD"),
        "unknown_authorization": await client.capture("d", "auth_unknown"),
        "unknown_capture": await client.refund("e", authorized.id),
    }
    captured = await client.capture("f", authorized.id, amount=600)
    assert captured.outcome == "captured"
    again = await client.capture("k", captured.id, amount=1)
    assert again.body["reason"] == "unknown_authorization"
    assert (await client.capture("l", authorized.id, amount=300)).outcome == "captured"
    refusals["exceeds_authorization"] = await client.capture("g", authorized.id, amount=101)
    assert (await client.refund("h", captured.id, amount=500)).outcome == "refunded"
    refusals["exceeds_capture"] = await client.refund("i", captured.id, amount=101)
    assert (await client.refund("j", captured.id, amount=100)).outcome == "refunded"
    for reason, answer in refusals.items():
        assert (answer.status, answer.body["error"], answer.body["reason"]) == (422, "invalid", reason)
    assert (await client.query("b")).outcome in ("refused", "declined")


@DIALECTS
async def test_a_declined_authorization_cannot_be_captured(start: "Start", dialect: str) -> None:
    """The issuer's refusal is a proper answer with a reason, and nothing can follow it."""
    client = (await start(dialect, decline_rate=1.0)).client
    declined = await client.authorize("a")
    assert declined.outcome == "declined"
    assert (await client.query("a")).outcome == "declined"
    if dialect == "north":
        assert declined.status == 201
        assert declined.body["decline_code"] in ("insufficient_funds", "do_not_honor", "suspected_fraud")
    else:
        assert declined.status == 200
        assert (declined.body["result"], declined.body["authCode"]) == ("REFUSED", None)
        assert declined.body["reason"] in ("51", "05", "59")
    (row,) = await client.truth()
    captured = await client.capture("b", row["provider_reference"])
    assert (captured.status, captured.body["reason"]) == (422, "authorization_not_approved")


@DIALECTS
async def test_currencies_keep_their_own_decimals(start: "Start", dialect: str) -> None:
    """An amount arrives in the book as the same minor units in 0, 2 and 3 decimals."""
    client = (await start(dialect)).client
    for currency in ("JPY", "EUR", "KWD"):
        assert (await client.authorize(currency, amount=1234, currency=currency)).outcome == "approved"
    assert [row["amount_minor"] for row in await client.truth()] == [1234] * 3


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("10.001", "EUR"), ("10.0", "JPY"), ("1.2345", "KWD"), ("-1", "EUR"), ("0", "EUR"), ("9" * 20, "JPY"),
        ("", "EUR"),
    ],
)  # fmt: skip
async def test_south_refuses_other_amounts(start: "Start", amount: str, currency: str) -> None:
    """Too many decimals, negative, zero, over 63 bits and empty leave no trace in the book."""
    client = (await start("south")).client
    form = SOUTH_FORM | {"amount": amount, "currency": currency}
    answer = await client.send("POST", "/gateway/authorise", headers=client.merchant_headers(), data=form)
    assert (answer.status, answer.body["error"]) == (422, "invalid")
    assert answer.body["detail"].startswith("amount:")
    assert await client.truth() == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "the body"), (b"", "the body"), (b"\xff", "the body"), (b"[" * 9000, "the body"),
        ([], "the body"),
        (b'{"amount": 1, "amount": 2}', "the body"), (b'{"amount": ' + b"9" * 5000 + b"}", "the body"),
        (NORTH_BODY | {"amount": 10.5}, "amount"), (NORTH_BODY | {"amount": 2**63}, "amount"),
        (NORTH_BODY | {"amount": -1}, "amount"), (NORTH_BODY | {"amount": "1000"}, "amount"),
        (NORTH_BODY | {"currency": "XXX"}, "currency"), (NORTH_BODY | {"reference": ""}, "reference"),
        (NORTH_BODY | {"reference": "a" * 129}, "reference"),
        (NORTH_BODY | {"reference": "a\nb"}, "reference"),
        (NORTH_BODY | {"card_token": "4111111111111111"}, "card_token"),
        (NORTH_BODY | {"card_token": 1}, "card_token"),
        ({"reference": "order-1"}, "amount"),
    ],
)  # fmt: skip
async def test_north_refuses_bad_bodies_by_name(start: "Start", body: Any, named: str) -> None:
    """The refusal names the field, never repeats a card number, and books nothing."""
    client = (await start("north")).client
    answer = await north(client, "/v1/authorizations", body)
    assert (answer.status, answer.body["error"]) == (422, "invalid")
    assert answer.body["detail"].startswith(named + ":")
    assert "4111111111111111" not in str(answer.body)
    assert await client.truth() == []


@pytest.mark.parametrize(
    "form",
    [
        b"", b"transactionRef", b"amount=1&amount=2", b"\xff=1", b"a=%ff",
        b"&".join(b"f%d=1" % n for n in range(21)),
    ],
)  # fmt: skip
async def test_south_refuses_bad_forms(start: "Start", form: bytes) -> None:
    """Empty, torn, doubled, foreign and overlong forms are refused as a whole."""
    client = (await start("south")).client
    answer = await south(client, "/gateway/authorise", form)
    assert (answer.status, answer.body["error"]) == (422, "invalid")
    json_instead = await client.send(
        "POST", "/gateway/authorise", headers=client.merchant_headers(), json=SOUTH_FORM
    )
    assert json_instead.status == 422


@pytest.mark.parametrize("missing", sorted(SOUTH_FORM))
async def test_south_names_a_missing_field(start: "Start", missing: str) -> None:
    """Each field of the form is needed."""
    client = (await start("south")).client
    form = {name: value for name, value in SOUTH_FORM.items() if name != missing}
    answer = await client.send("POST", "/gateway/authorise", headers=client.merchant_headers(), data=form)
    assert (answer.status, answer.body["detail"]) == (422, f"{missing}: is missing")


async def test_north_needs_a_key(start: "Start") -> None:
    """Without Idempotency-Key nothing is booked."""
    client = (await start("north")).client
    answer = await client.send(
        "POST", "/v1/authorizations", headers=client.merchant_headers(), json=NORTH_BODY
    )
    assert answer.status == 422
    assert answer.body["detail"].startswith("header Idempotency-Key")
    assert await client.truth() == []


@DIALECTS
async def test_oversized_bodies_are_refused(start: "Start", dialect: str) -> None:
    """More than 16 KiB are not read."""
    client = (await start(dialect)).client
    send, path = (north, "/v1/authorizations") if dialect == "north" else (south, "/gateway/authorise")
    answer = await send(client, path, b"a" * 20_000)
    assert answer.status == 413


@DIALECTS
@pytest.mark.parametrize(
    "token", ["", "Bearer ", "Bearer wrong", "Basic {}", "{}", "Bearer {}x", "Bearer {}é"]
)
async def test_the_control_token_is_needed(start: "Start", dialect: str, token: str) -> None:
    """Controls and truth refuse every other token, the merchant's key included; nothing is changed."""
    client = (await start(dialect)).client
    await client.fault("drop", rate=0.0)
    secret = "control-token-of-the-test"
    headers = {"Authorization": token.format(secret)}
    if token == "Bearer wrong":
        headers = {"Authorization": "Bearer api-key-of-the-test"}
    for method, path in (
        ("POST", "/control/faults"), ("GET", "/control/faults"), ("DELETE", "/control/faults"),
        ("DELETE", "/control/faults/x"), ("PUT", "/control/faults/x/lease"), ("GET", "/truth/operations"),
        ("POST", "/control/chargebacks"), ("POST", "/control/chargebacks/x/won"),
        ("GET", "/control/webhooks"), ("GET", "/truth/reports"), ("GET", "/truth/requests"),
    ):  # fmt: skip
        answer = await client.send(method, path, headers=headers)
        assert (answer.status, answer.body["error"]) == (401, "unauthorized")
    assert len((await client.control("GET", "/control/faults")).body["faults"]) == 1


@DIALECTS
async def test_every_request_that_comes_in_is_counted(start: "Start", dialect: str) -> None:
    """Repeated, refused and unknown ones too: whoever sends them has to count as many."""
    client = (await start(dialect)).client
    began = (await client.control("GET", "/truth/requests")).body
    assert began["received"] == {}
    authorized = await client.authorize("key-1")
    await client.authorize("key-1")
    await client.fault("refuse", scope={"operations": ["capture"]})
    assert (await client.capture("key-2", authorized.id)).status == 503
    for key in ("key-1", "key-9"):
        await client.query(key)
    counted = (await client.control("GET", "/truth/requests")).body
    assert counted["received"] == {"authorize": 2, "capture": 1, "query": 2}
    assert counted["since"] == began["since"]


@DIALECTS
async def test_the_merchants_key_is_needed(start: "Start", dialect: str) -> None:
    """No operation or query without the right key; the control token is none."""
    client = (await start(dialect)).client
    paths = {
        "north": (*(f"/v1/{name}" for name in NORTH_PATHS), "/v1/operations/a"),
        "south": (*(f"/gateway/{name}" for name in SOUTH_PATHS), "/gateway/transactions/a"),
    }
    for path in paths[dialect]:
        method = "GET" if path.endswith("/a") else "POST"
        for headers in (
            {},
            client.merchant_headers("control-token-of-the-test"),
            client.merchant_headers(""),
        ):
            answer = await client.send(method, path, headers=headers)
            assert (answer.status, answer.body["error"]) == (401, "unauthorized")


@DIALECTS
async def test_health_needs_no_token(start: "Start", dialect: str) -> None:
    """Health and readiness answer anybody; unknown paths and methods answer in JSON."""
    client = (await start(dialect)).client
    assert (await client.send("GET", "/healthz")).body == {"status": "ok"}
    assert (await client.send("GET", "/readyz")).body == {"status": "ready"}
    assert (await client.send("GET", "/nothing")).body == {"error": "not_found"}
    assert (await client.send("POST", "/healthz")).body == {"error": "method_not_allowed"}
