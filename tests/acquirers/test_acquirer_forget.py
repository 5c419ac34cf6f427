"""An acquirer that forgets its keys: the second attempt is a second charge, and everybody can see it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from moneypath.oracle import DiscrepancyKind, find_discrepancies, read_provider_book

if TYPE_CHECKING:
    from tests.acquirers.conftest import Client, Start, Statement

DIALECTS = pytest.mark.parametrize("dialect", ["north", "south"])
FIRST = 176_722_560


async def captured(client: "Client") -> list[dict[str, Any]]:
    """Return the captures of the book."""
    return [row for row in await client.truth() if row["status"] == "captured"]


@DIALECTS
async def test_forget_charges_a_retried_capture_twice(
    start: "Start", read: "Callable[[str, bytes], Statement]", dialect: str
) -> None:
    """No answer at first, then a second movement; all later attempts and queries get the second."""
    acquirer = await start(dialect)
    client = acquirer.client
    authorized = await client.authorize("a")
    await client.fault("forget")
    assert (await client.capture("c", authorized.id)).status == 0
    (first,) = await captured(client)
    assert (await client.query("c")).id == first["provider_reference"]
    acquirer.wall.seconds += 1
    second = await client.capture("c", authorized.id)
    assert second.outcome == "captured"
    assert second.id != first["provider_reference"]
    rows = await captured(client)
    assert [(row["key"], row["provider_reference"], row["amount_minor"]) for row in rows] == [
        ("c", first["provider_reference"], 1000), ("c", second.id, 1000),
    ]  # fmt: skip
    for _ in range(2):
        assert await client.capture("c", authorized.id) == second
        await client.control("DELETE", "/control/faults")
    assert (await client.query("c")).id == second.id
    assert (await client.capture("c", authorized.id, amount=999)).status == 409
    assert await captured(client) == rows
    acquirer.wall.seconds += 11
    lines = read(dialect, await client.report(FIRST)).lines
    assert [(line["key"], line["id"], line["fee"]) for line in lines] == [
        ("c", row["provider_reference"], 24) for row in rows
    ]


@DIALECTS
async def test_each_movement_is_refunded_by_its_own_id(start: "Start", dialect: str) -> None:
    """Both can be given back in full, neither beyond its own amount, and refunds are not forgotten."""
    client = (await start(dialect)).client
    authorized = await client.authorize("a")
    await client.fault("forget", scope={"operations": ["authorize", "capture", "refund"]})
    await client.capture("c", authorized.id)
    await client.capture("c", authorized.id)
    first, second = [row["provider_reference"] for row in await captured(client)]
    refunded = await client.refund("r2", second)
    assert refunded.outcome == "refunded"
    assert await client.refund("r2", second) == refunded
    assert (await client.refund("r3", second, amount=1)).body["reason"] == "exceeds_capture"
    assert (await client.refund("r1", first)).outcome == "refunded"
    assert len(await client.truth()) == 6


@DIALECTS
async def test_the_oracle_sees_the_double_charge(start: "Start", dialect: str) -> None:
    """The audit of the truth names the key that was charged twice, and does not without the fault."""
    client = (await start(dialect)).client
    authorized = await client.authorize("a")

    async def find() -> int:
        charges = await read_provider_book(client.url, "control-token-of-the-test")
        found = find_discrepancies([], charges, [])
        return [one.kind for one in found].count(DiscrepancyKind.KEY_CHARGED_TWICE)

    await client.fault("drop")
    for _ in range(2):
        await client.capture("c", authorized.id)
    assert await find() == 0
    await client.control("DELETE", "/control/faults")
    await client.fault("forget")
    await client.capture("c", authorized.id)  # the key is known from before the fault: a second movement
    assert await find() == 1


@DIALECTS
async def test_forget_keeps_to_its_scope_and_to_captures_that_moved(start: "Start", dialect: str) -> None:
    """Others replay as ever; a refused capture is refused once; authorizations keep their keys."""
    client = (await start(dialect)).client
    euro, yen = await client.authorize("a"), await client.authorize("b", currency="JPY")
    await client.fault("forget", scope={"currencies": ["EUR"]})
    spared = await client.capture("d", yen.id, currency="JPY")
    assert await client.capture("d", yen.id, currency="JPY") == spared
    assert spared.outcome == "captured"
    assert await client.authorize("a") == euro
    assert (await client.capture("e", euro.id, amount=1001)).status == 0  # booked as refused, unanswered
    for _ in range(2):
        assert (await client.capture("e", euro.id, amount=1001)).body["reason"] == "exceeds_authorization"
    assert len(await client.truth()) == 4
    (fault,) = (await client.control("GET", "/control/faults")).body["faults"]
    assert (fault["kind"], fault["hits"]) == ("forget", 3)


@DIALECTS
async def test_a_key_that_looks_like_a_second_movement_is_another_key(start: "Start", dialect: str) -> None:
    """References of second movements meet no reference of any other key."""
    client = (await start(dialect)).client
    ids = set()
    await client.fault("forget")
    for key in ("k", "k/2", "k2", "k%202"):
        authorized = await client.authorize(f"a-{key}")
        for _ in range(2):
            await client.capture(key, authorized.id)
        ids |= {row["provider_reference"] for row in await captured(client)}
    assert len(ids) == 8
