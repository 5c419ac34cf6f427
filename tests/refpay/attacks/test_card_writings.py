"""Card numbers in every writing, at every door of the service: none is stored."""

import itertools
from typing import TYPE_CHECKING

import pytest
from tests.proof_table import caught_by
from tests.refpay.conftest import order
from tests.telemetry.redaction.card_writings import readable_digits, writings
from yarl import URL

from refpay.app.card_data import contains_card_number

if TYPE_CHECKING:
    from tests.refpay.conftest import Client, RefpayDb

ORDER = order()
PAYOUT = {"merchant_reference": "payout", "amount_minor": 10, "currency": "EUR"}
TABLES = """
    SELECT format('SELECT %L AS place, row.*::text AS content FROM %I.%I AS row', relname, nspname, relname)
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind = 'r'
      AND nspname IN ('payments', 'audit', 'identity', 'outbox', 'messages', 'risk', 'routing')
"""


async def send(api: "Client", door: int, text: str, number: int) -> int:
    """Send a writing through one of the doors; return the status."""
    key, reference = f"key-{number}", f"reference-{number}"
    match door:
        case 0:
            answer = await api.post("/v1/payments", {**ORDER, "merchant_reference": text}, key=key)
        case 1:
            answer = await api.post(
                "/v1/payments", {**ORDER, "merchant_reference": reference, "card_token": text}, key=key
            )
        case 2:
            answer = await api.post("/v1/payments", {**ORDER, "merchant_reference": reference}, key=text)
        case 3:
            answer = await api.post("/v1/payouts", {**PAYOUT, "merchant_reference": text}, key=key)
        case 4:
            answer = await api.post(
                "/v1/payments", {**ORDER, "merchant_reference": reference, "note": {text: 1}}, key=key
            )
        case _:
            answer = await api.send("GET", URL("/v1/payments").with_query(merchant_reference=text), None)
    return answer.status


async def stored(db: "RefpayDb") -> list[str]:
    """Return each row of each table that a request can write, as a reader sees its digits."""
    rows = [await db.rows(row["format"], role="postgres") for row in await db.rows(TABLES, role="postgres")]
    return [readable_digits(row["content"]) for row in itertools.chain(*rows)]


async def attack(api: "Client", db: "RefpayDb", count: int) -> None:
    """Send so many writings through the doors in turn, with honest payments between them."""
    cards = []
    for number, (card, text) in enumerate(writings(count, seed=count)):
        cards.append(card)
        assert await send(api, number % 6, text, number) == 422, ascii(text)
        if number % 20 == 0:
            assert await send(api, 0, f"honest-{number}", number) == 201
    honest = await db.rows("SELECT merchant_reference FROM payments.payment")
    assert len(honest) == -(-count // 20)
    kept = "\n".join(await stored(db))
    assert [card for card in cards if card in kept] == []


async def test_no_writing_of_a_card_is_stored(api: "Client", db: "RefpayDb") -> None:
    """A few through each door: reference, token, key, payout, a name within a note, and the query."""
    await attack(api, db, 60)


@pytest.mark.proof
@pytest.mark.attack
@pytest.mark.timeout(1200)
async def test_a_hundred_thousand_writings_are_refused(api: "Client", db: "RefpayDb") -> None:
    """All by the function that every door asks, and 600 by the service itself."""
    refused = sum(contains_card_number(text) for _, text in writings(100_000))
    assert refused == 100_000
    await attack(api, db, 600)
    caught_by([f"the door: {refused} of 100000 writings of cards, and 600 by HTTP"])
