"""Chargebacks: opened and won by the operator, booked once, settled, and in the way of refunds."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from moneypath.oracle import DiscrepancyKind, find_discrepancies, read_provider_book

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acquirers.conftest import Client, Launch, Start, Statement

    Read = Callable[[str, bytes], Statement]

DIALECTS = pytest.mark.parametrize("dialect", ["north", "south"])


async def capture(client: "Client", key: str = "c", reference: str = "order-1", amount: int = 1000) -> str:
    """Capture over a new authorization; return the capture's id."""
    authorized = await client.authorize(f"a-{key}", reference=reference)
    return (await client.capture(key, authorized.id, reference=reference, amount=amount)).id


@DIALECTS
async def test_a_chargeback_is_opened_and_won_once(start: "Start", dialect: str) -> None:
    """Each is booked under the capture's key with the case's id, and doing it again changes nothing."""
    client = (await start(dialect)).client
    captured = await capture(client)
    opened = await client.charge_back(key="c")
    movement = opened.body["movement"]
    assert (opened.status, opened.body) == (
        201,
        {
            "movement": movement, "kind": "chargeback", "key": "c", "reference": "order-1",
            "capture": captured, "amount_minor": 1000, "currency": "EUR",
        },
    )  # fmt: skip
    again = await client.charge_back(key="c", amount_minor=1000)
    assert (again.status, again.body) == (200, opened.body)
    won = await client.win(movement)
    assert (won.status, won.body) == (201, {**opened.body, "kind": "chargeback_reversal"})
    assert (await client.win(movement)).status == 200
    assert (await client.charge_back(key="c")).status == 200
    rows = (await client.truth())[2:]
    shared = {
        "key": "c", "provider_reference": movement, "parent": captured, "amount_minor": 1000,
        "card_range": "411111",
    }  # fmt: skip
    assert [(row["kind"], row["status"]) for row in rows] == [
        ("chargeback", "charged_back"), ("chargeback_reversal", "reversed"),
    ]  # fmt: skip
    assert all(row | shared == row for row in rows)
    assert (await client.query("c")).id == captured  # the key is the capture's, as before


@DIALECTS
async def test_racing_orders_open_one_case(start: "Start", dialect: str) -> None:
    """Of many at once one is new, whether for the capture or for its end."""
    client = (await start(dialect)).client
    await capture(client)
    opened = await asyncio.gather(*(client.charge_back(key="c") for _ in range(10)))
    assert sorted(answer.status for answer in opened) == [200] * 9 + [201]
    won = await asyncio.gather(*(client.win(opened[0].body["movement"]) for _ in range(10)))
    assert sorted(answer.status for answer in won) == [200] * 9 + [201]
    assert len(await client.truth()) == 4


@DIALECTS
async def test_refunds_and_chargebacks_share_a_capture(start: "Start", dialect: str) -> None:
    """Together they never give back more than was captured; what was won can be refunded again."""
    client = (await start(dialect)).client
    captured = await capture(client)
    assert (await client.refund("r", captured, amount=300)).outcome == "refunded"
    beyond = await client.charge_back(key="c", amount_minor=701)
    assert (beyond.status, beyond.body["error"]) == (409, "chargeback_refused")
    assert beyond.body["detail"].startswith("amount_minor: ")
    opened = await client.charge_back(key="c")
    assert opened.body["amount_minor"] == 700
    other = await client.charge_back(key="c", amount_minor=1)
    assert (other.status, other.body["error"]) == (409, "chargeback_refused")
    refused = await client.refund("s", captured, amount=1)
    assert refused.body["reason"] == "exceeds_capture"
    await client.win(opened.body["movement"])
    assert await client.refund("s", captured, amount=1) == refused  # final for its key
    assert (await client.refund("t", captured, amount=700)).outcome == "refunded"
    assert (await client.refund("u", captured, amount=1)).body["reason"] == "exceeds_capture"


@DIALECTS
async def test_a_case_is_found_by_the_merchants_reference(start: "Start", dialect: str) -> None:
    """The newest capture of it is meant; what was given back whole cannot be charged back."""
    client = (await start(dialect)).client
    authorized = await client.authorize("a")
    await client.capture("b", authorized.id, amount=400)
    newest = await client.capture("c", authorized.id, amount=500)
    opened = await client.charge_back(reference="order-1", amount_minor=499)
    assert (opened.body["key"], opened.body["capture"], opened.body["amount_minor"]) == ("c", newest.id, 499)
    whole = await capture(client, "d", "order-2")
    await client.refund("r", whole, reference="order-2")
    assert (await client.charge_back(key="d")).body["detail"].endswith("0 minor units are left")


@DIALECTS
@pytest.mark.parametrize(
    ("order", "status", "said"),
    [
        ({}, 422, "key: give either"),
        ({"key": "c", "reference": "order-1"}, 422, "key: give either"),
        ({"key": ""}, 422, "key: must be"),
        ({"reference": 5}, 422, "reference: must be"),
        ({"key": "c", "amount_minor": 0}, 422, "amount_minor: must be an integer from 1"),
        ({"key": "c", "amount_minor": True}, 422, "amount_minor: must be"),
        ({"key": "c", "amount_minor": 1.0}, 422, "amount_minor: must be"),
        ({"key": "c", "amount": 1}, 422, "amount: unknown key; allowed: key, reference, amount_minor"),
        ({"key": "a-c"}, 404, "no capture has this key"),
        ({"key": "nobody"}, 404, "no capture has this key"),
        ({"reference": "nobody"}, 404, "no capture has this reference"),
    ],
)
async def test_a_bad_order_is_refused_by_name(
    start: "Start", dialect: str, order: dict[str, Any], status: int, said: str
) -> None:
    """And nothing is booked: neither for an authorization's key, nor for nobody's."""
    client = (await start(dialect)).client
    await capture(client)
    answer = await client.charge_back(**order)
    assert (answer.status, str(answer.body["detail"])[: len(said)]) == (status, said)
    assert (await client.win("chb_nobody")).status == 404
    assert len(await client.truth()) == 2


@DIALECTS
async def test_cases_are_lines_of_settlement(start: "Start", read: "Read", dialect: str) -> None:
    """Each in the report of its time, with its movement, without a fee, and in the control totals."""
    acquirer = await start(dialect)
    client = acquirer.client
    captured = await capture(client)
    opened = await client.charge_back(key="c", amount_minor=250)
    acquirer.wall.seconds += 10
    await client.win(opened.body["movement"])
    acquirer.wall.seconds += 20
    first, second, *_ = [
        read(dialect, await client.report(row["sequence"])) for row in await client.reports()
    ]
    assert [(line["key"], line["kind"], line["id"], line["amount"], line["fee"]) for line in first.lines] == [
        ("c", "capture", captured, 1000, 24),
        ("c", "chargeback", opened.body["movement"], 250, 0),
    ]
    assert first.totals == {"EUR": (2, 1000, 0, 24, 250, 0)}
    (line,) = second.lines
    assert (line["key"], line["kind"], line["id"], line["amount"]) == (
        "c", "chargeback_reversal", opened.body["movement"], 250,
    )  # fmt: skip
    assert second.totals == {"EUR": (1, 0, 0, 0, 0, 250)}


@DIALECTS
async def test_a_misstatement_hits_cases_too(start: "Start", read: "Read", dialect: str) -> None:
    """Scoped to chargebacks it leaves the capture's line alone."""
    acquirer = await start(dialect)
    client = acquirer.client
    await capture(client)
    await client.charge_back(key="c")
    acquirer.wall.seconds += 11
    await client.fault("misstate", what="missing", scope={"operations": ["chargeback"]})
    (row, *_) = await client.reports()
    assert [line["kind"] for line in read(dialect, await client.report(row["sequence"])).lines] == ["capture"]


@DIALECTS
async def test_each_movement_of_a_doubled_capture_is_charged_back_by_itself(
    start: "Start", dialect: str
) -> None:
    """By the key the newest is meant; the case of the one is not the case of the other."""
    client = (await start(dialect)).client
    authorized = await client.authorize("a")
    await client.fault("drop")
    await client.capture("c", authorized.id)
    first = await client.charge_back(key="c")
    await client.control("DELETE", "/control/faults")
    await client.fault("forget")
    second_capture = await client.capture("c", authorized.id)
    second = await client.charge_back(key="c")
    assert (first.status, second.status, second.body["capture"]) == (201, 201, second_capture.id)
    assert first.body["movement"] != second.body["movement"]


@DIALECTS
async def test_the_oracle_reads_every_kind(start: "Start", dialect: str) -> None:
    """What no ledger has of captures, cases and payouts is missed there; a void moves no money."""
    client = (await start(dialect)).client
    authorized = await client.authorize("a")
    for key in ("b", "c"):
        await client.capture(key, authorized.id, amount=400)
    await client.void("v", authorized.id, amount=200)
    await client.payout("p")
    opened = await client.charge_back(key="c")
    await client.win(opened.body["movement"])
    book = await read_provider_book(client.url, "control-token-of-the-test")
    assert [charge.operation for charge in book] == [
        "authorize", "capture", "capture", "void", "payout", "chargeback", "chargeback_reversal",
    ]  # fmt: skip
    assert [(found.kind, found.subject) for found in find_discrepancies([], book, [])] == [
        (DiscrepancyKind.CAPTURE_WITHOUT_POSTING, "order-1"),
        (DiscrepancyKind.CAPTURE_WITHOUT_POSTING, "order-1"),
        (DiscrepancyKind.PAYOUT_WITHOUT_POSTING, "payout-1"),
        (DiscrepancyKind.CHARGEBACK_WITHOUT_POSTING, "order-1"),
        (DiscrepancyKind.CHARGEBACK_WITHOUT_POSTING, "order-1"),
    ]


@DIALECTS
async def test_cases_survive_a_kill(launch: "Launch", dialect: str) -> None:
    """What was answered stands in the book of the next process."""
    first = await launch(dialect)
    await capture(first.client)
    opened = await first.client.charge_back(key="c")
    first.process.kill()
    await first.process.wait()
    second = await launch(dialect)
    again = await second.client.charge_back(key="c")
    assert (again.status, again.body) == (200, opened.body)
