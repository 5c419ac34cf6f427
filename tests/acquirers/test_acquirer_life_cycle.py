"""Several captures, voids, expiry and payouts, in both dialects, over real sockets."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.acquirers.conftest import NEW_YEAR

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acquirers.conftest import Answer, Start, Statement

    Read = Callable[[str, bytes], Statement]

DIALECTS = pytest.mark.parametrize("dialect", ["north", "south"])


def reason(answer: "Answer") -> str:
    """Return why an operation was refused."""
    assert (answer.status, answer.body["error"]) == (422, "invalid")
    return str(answer.body["reason"])


async def test_north_voids_and_pays_out_in_its_own_words(start: "Start") -> None:
    """Void, payout and their queries have exactly the contracted fields."""
    client = (await start("north")).client
    authorized = await client.authorize("a")
    voided = await client.void("v", authorized.id)
    assert (voided.status, voided.body) == (201, {"id": voided.id, "status": "voided"})
    paid = await client.payout("p")
    assert (paid.status, paid.body) == (201, {"id": paid.id, "status": "paid"})
    for key, kind, answer in (("v", "void", voided), ("p", "payout", paid)):
        described = {"key": key, "kind": kind, "status": answer.body["status"], "id": answer.id}
        assert (await client.query(key)).body == described | {"decline_code": None}


async def test_south_cancels_and_pays_out_in_its_own_words(start: "Start") -> None:
    """Cancel, payout and their queries have exactly the contracted fields."""
    client = (await start("south")).client
    authorised = await client.authorize("a")
    cancelled = await client.void("v", authorised.id)
    assert (cancelled.status, cancelled.body) == (200, {"result": "CANCELLED", "cancelId": cancelled.id})
    paid = await client.payout("p")
    assert (paid.status, paid.body) == (200, {"result": "PAID", "payoutId": paid.id})
    queried = await client.query("v")
    assert queried.body == {"kind": "void", "state": "CANCELLED", "cancelId": cancelled.id, "reason": None}
    queried = await client.query("p")
    assert queried.body == {"kind": "payout", "state": "PAID", "payoutId": paid.id, "reason": None}


@DIALECTS
async def test_an_authorization_is_captured_up_to_its_amount(start: "Start", dialect: str) -> None:
    """Each capture takes its part, one beyond the rest is refused for good, and the rest can still go."""
    client = (await start(dialect)).client
    authorized = await client.authorize("a")
    first = await client.capture("b", authorized.id, amount=400)
    second = await client.capture("c", authorized.id, amount=500)
    assert (first.outcome, second.outcome) == ("captured", "captured")
    assert first.id != second.id
    beyond = await client.capture("d", authorized.id, amount=101)
    assert reason(beyond) == "exceeds_authorization"
    assert (await client.capture("e", authorized.id, amount=100)).outcome == "captured"
    assert await client.capture("d", authorized.id, amount=101) == beyond
    assert (await client.refund("f", first.id, amount=400)).outcome == "refunded"
    assert reason(await client.refund("g", first.id, amount=1)) == "exceeds_capture"
    assert (await client.refund("h", second.id, amount=500)).outcome == "refunded"


@DIALECTS
async def test_racing_captures_never_take_more_than_was_authorized(start: "Start", dialect: str) -> None:
    """Of ten at once over 300 of 1000 exactly three go through."""
    client = (await start(dialect)).client
    authorized = await client.authorize("a")
    calls = [client.capture(f"c{n}", authorized.id, amount=300) for n in range(10)]
    outcomes = [answer.outcome for answer in await asyncio.gather(*calls)]
    assert outcomes.count("captured") == 3


@DIALECTS
async def test_a_void_releases_what_is_left(start: "Start", dialect: str) -> None:
    """After it nothing more is captured or voided; what was captured stays, and can be refunded."""
    client = (await start(dialect)).client
    authorized = await client.authorize("a")
    captured = await client.capture("b", authorized.id, amount=400)
    assert reason(await client.void("c", authorized.id, amount=1000)) == "not_what_is_left"
    assert reason(await client.void("d", authorized.id, amount=599)) == "not_what_is_left"
    voided = await client.void("e", authorized.id, amount=600)
    assert voided.outcome == "voided"
    assert await client.void("e", authorized.id, amount=600) == voided
    assert (await client.void("e", authorized.id, amount=1)).status == 409
    assert reason(await client.capture("f", authorized.id, amount=1)) == "authorization_voided"
    assert reason(await client.void("g", authorized.id, amount=600)) == "authorization_voided"
    assert (await client.refund("h", captured.id, amount=400)).outcome == "refunded"
    row = (await client.truth())[4]
    assert (row["kind"], row["status"], row["amount_minor"], row["parent"]) == (
        "void", "voided", 600, authorized.id,
    )  # fmt: skip


@DIALECTS
async def test_only_an_open_authorization_is_voided(start: "Start", dialect: str) -> None:
    """A capture, a declined one, one captured whole and one in another currency are refused by reason."""
    client = (await start(dialect)).client
    whole = await client.authorize("a")
    captured = await client.capture("b", whole.id)
    assert reason(await client.void("c", captured.id)) == "unknown_authorization"
    assert reason(await client.void("d", "auth_unknown")) == "unknown_authorization"
    assert reason(await client.void("e", whole.id)) == "not_what_is_left"
    other = await client.authorize("f")
    assert reason(await client.void("g", other.id, currency="USD")) == "currency_differs"
    await client.fault("decline")
    await client.authorize("h")
    declined = (await client.truth())[-1]["provider_reference"]
    assert reason(await client.void("i", declined)) == "authorization_not_approved"


@DIALECTS
async def test_an_authorization_expires(start: "Start", dialect: str) -> None:
    """Until its last second it is captured, afterwards not; captures can be refunded, the rest voided."""
    acquirer = await start(dialect, lifetime_seconds=100)
    client = acquirer.client
    one, two = [await client.authorize(key) for key in ("a", "b")]
    acquirer.wall.seconds = NEW_YEAR + 99.9
    captured = await client.capture("c", one.id, amount=400)
    assert captured.outcome == "captured"
    acquirer.wall.seconds = NEW_YEAR + 100
    expired = await client.capture("d", one.id, amount=1)
    assert reason(expired) == "authorization_expired"
    assert (await client.void("e", two.id)).outcome == "voided"
    assert reason(await client.capture("g", two.id)) == "authorization_voided"
    assert (await client.refund("f", captured.id, amount=400)).outcome == "refunded"
    acquirer.wall.seconds = NEW_YEAR  # a clock that jumps back changes no answer that was given
    assert await client.capture("d", one.id, amount=1) == expired
    assert await client.capture("c", one.id, amount=400) == captured


@DIALECTS
async def test_a_payout_is_made_once_and_to_one(start: "Start", dialect: str) -> None:
    """Its key replays; another beneficiary or amount under it is refused; the truth says who was paid."""
    client = (await start(dialect)).client
    answers = await asyncio.gather(*(client.payout("p") for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert (await client.payout("p", beneficiary="other")).status == 409
    assert (await client.payout("p", amount=999)).status == 409
    (row,) = await client.truth()
    assert (row["kind"], row["status"], row["amount_minor"], row["reference"]) == (
        "payout", "paid", 1000, "payout-1",
    )  # fmt: skip
    assert (row["beneficiary"], row["card_range"], row["parent"]) == ("shop", "", "")


@DIALECTS
async def test_a_payout_without_a_beneficiary_is_refused(start: "Start", dialect: str) -> None:
    """By the name of the field, and nothing is booked."""
    client = (await start(dialect)).client
    body: dict[str, Any] = {"reference": "p-1", "amount": 5, "currency": "EUR"}
    form = {"transactionRef": "p", "orderRef": "p-1", "amount": "5.00", "currency": "EUR"}
    path = "/v1/payouts" if dialect == "north" else "/gateway/payout"
    headers = client.merchant_headers() | {"Idempotency-Key": "p"}
    given: dict[str, Any] = {"json": body} if dialect == "north" else {"data": form}
    answer = await client.send("POST", path, headers=headers, **given)
    field = "beneficiary" if dialect == "north" else "payee"
    assert (answer.status, answer.body["detail"]) == (422, f"{field}: is missing")
    assert (await client.payout("p", beneficiary="a b")).status == 422
    assert await client.truth() == []


@DIALECTS
async def test_a_forgetful_acquirer_pays_out_twice(start: "Start", dialect: str) -> None:
    """The key sent again is a second movement, and no third."""
    client = (await start(dialect)).client
    await client.fault("forget", scope={"operations": ["payout"]})
    assert (await client.payout("p")).status == 0
    second = await client.payout("p")
    assert second.outcome == "paid"
    assert await client.payout("p") == second
    assert [row["key"] for row in await client.truth()] == ["p", "p"]


@DIALECTS
async def test_neither_voids_nor_payouts_are_settled(start: "Start", read: "Read", dialect: str) -> None:
    """A void moves no money, and a payout is no card's movement: of four operations one is a line."""
    acquirer = await start(dialect)
    client = acquirer.client
    authorized = await client.authorize("a")
    await client.capture("c", authorized.id, amount=400)
    await client.void("v", authorized.id, amount=600)
    await client.payout("p")
    acquirer.wall.seconds += 30
    bodies = [await client.report(row["sequence"]) for row in await client.reports()]
    assert [line["key"] for body in bodies for line in read(dialect, body).lines] == ["c"]
