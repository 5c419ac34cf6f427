"""Authorize, capture, refund and read, against a real database and real acquirers."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from refpay.money import MAXIMUM_MINOR
from refpay.providers.routing import Route, choose_provider

if TYPE_CHECKING:
    from tests.refpay.conftest import Acquirer, Client, RefpayDb


def reference_for(provider: str, label: str) -> str:
    """Return a merchant reference that routing sends to the provider."""
    routes = [Route(name, True, None, None, None) for name in ("north", "south")]
    return next(
        reference
        for reference in (f"{label}-{attempt}" for attempt in range(100))
        if choose_provider(routes, merchant="shop", merchant_reference=reference) == provider
    )


async def test_a_payment_goes_its_whole_way(api: "Client", db: "RefpayDb") -> None:
    """Authorized, captured, refunded in two parts; the ledger holds three balanced entries of money."""
    authorized = await api.authorize()
    assert authorized.status == 201
    payment = authorized.body
    assert (payment["status"], payment["captured_minor"]) == ("authorized", 0)
    captured = await api.post(f"/v1/payments/{payment['id']}/capture")
    assert (captured.status, captured.body["status"], captured.body["captured_minor"]) == (
        200,
        "captured",
        1000,
    )
    first = await api.post(f"/v1/payments/{payment['id']}/refunds", {"amount_minor": 400})
    assert (first.status, first.body["status"], first.body["refunded_minor"]) == (201, "captured", 400)
    second = await api.post(f"/v1/payments/{payment['id']}/refunds", {"amount_minor": 600})
    assert (second.status, second.body["status"], second.body["refunded_minor"]) == (201, "refunded", 1000)
    read = await api.get(f"/v1/payments/{payment['id']}")
    assert read.body == second.body
    assert [one["kind"] for one in read.body["operations"]] == ["authorize", "capture", "refund", "refund"]
    lines = await db.rows(
        "SELECT entry_kind, account, amount_minor FROM oracle.ledger_lines WHERE account NOT LIKE 'hold%'",
        role="refpay_oracle",
    )
    provider = payment["provider"]
    assert sorted(tuple(line.values()) for line in lines) == sorted(
        [
            ("posting", f"provider_receivable:{provider}", 1000),
            ("posting", "merchant_payable:shop", -1000),
            ("reversal", f"provider_receivable:{provider}", -400),
            ("reversal", "merchant_payable:shop", 400),
            ("reversal", f"provider_receivable:{provider}", -600),
            ("reversal", "merchant_payable:shop", 600),
        ]
    )


@pytest.mark.parametrize("provider", ["north", "south"])
@pytest.mark.parametrize(
    ("currency", "amount_minor"),
    [
        ("JPY", 1),
        ("JPY", 123456),
        ("KWD", 1),
        ("KWD", 1234),
        ("EUR", 5),
        ("USD", 100),
        ("KWD", MAXIMUM_MINOR),
    ],
)
async def test_amounts_survive_each_dialect(
    api: "Client", acquirers: "Mapping[str, Acquirer]", provider: str, currency: str, amount_minor: int
) -> None:
    """Currencies of 0, 2 and 3 decimals reach both acquirers' books to the minor unit."""
    reference = reference_for(provider, f"{currency}-{uuid4().hex}")
    payment = await api.captured(merchant_reference=reference, currency=currency, amount_minor=amount_minor)
    assert payment["provider"] == provider
    refunded = await api.post(f"/v1/payments/{payment['id']}/refunds", {"amount_minor": amount_minor})
    assert refunded.status == 201
    rows = [row for row in await acquirers[provider].truth() if row["reference"] == reference]
    assert [(row["kind"], row["amount_minor"], row["currency"]) for row in rows] == [
        (kind, amount_minor, currency) for kind in ("authorize", "capture", "refund")
    ]


async def test_a_reference_is_charged_once(api: "Client") -> None:
    """A live charge keeps its reference; another merchant may use the same text."""
    assert (await api.authorize(merchant_reference="order-once")).status == 201
    second = await api.authorize(merchant_reference="order-once")
    assert (second.status, second.body["code"]) == (409, "merchant_reference_in_use")
    assert (await api.authorize(merchant_reference="order-once", by="rival")).status == 201


@pytest.mark.parametrize(
    ("kind", "status", "payment_status"), [("decline", 201, "declined"), ("refuse", 502, None)]
)
async def test_a_declined_or_failed_charge_frees_its_reference(
    api: "Client", acquirers: "Mapping[str, Acquirer]", kind: str, status: int, payment_status: str | None
) -> None:
    """The same reference may be tried again under a new key."""
    reference = f"order-freed-{kind}-{uuid4().hex}"
    for acquirer in acquirers.values():
        await acquirer.inject(kind=kind)
    first = await api.authorize(merchant_reference=reference)
    assert (first.status, first.body.get("status") if status == 201 else None) == (status, payment_status)
    for acquirer in acquirers.values():
        await acquirer.heal()
    second = await api.authorize(merchant_reference=reference)
    assert (second.status, second.body["status"]) == (201, "authorized")


async def test_captures_stay_within_the_authorization(api: "Client") -> None:
    """More than authorized, more than is left, and a capture of somebody else's payment are refused."""
    payment = (await api.authorize()).body
    path = f"/v1/payments/{payment['id']}/capture"
    assert (await api.post(path, {"amount_minor": 1001})).body["code"] == "amount_exceeded"
    assert (await api.post(path, by="rival")).body["code"] == "payment_unknown"
    partial = await api.post(path, {"amount_minor": 300})
    assert (partial.status, partial.body["captured_minor"]) == (200, 300)
    assert (await api.post(path, {"amount_minor": 701})).body["code"] == "amount_exceeded"
    refund = await api.post(f"/v1/payments/{payment['id']}/refunds", {"amount_minor": 301})
    assert (refund.status, refund.body["code"]) == (409, "amount_exceeded")


async def test_nothing_is_refunded_before_it_is_captured(api: "Client") -> None:
    """An authorization alone has nothing to give back, and an unknown payment even less."""
    payment = (await api.authorize()).body
    refund = await api.post(f"/v1/payments/{payment['id']}/refunds", {"amount_minor": 1})
    assert (refund.status, refund.body["code"]) == (409, "payment_state_refused")
    for unknown in (str(uuid4()), "not-an-id"):
        refund = await api.post(f"/v1/payments/{unknown}/refunds", {"amount_minor": 1})
        assert (refund.status, refund.body["code"]) == (404, "payment_unknown")
        assert (await api.get(f"/v1/payments/{unknown}")).status == 404


async def test_concurrent_captures_make_one(patient_api: "Client", db: "RefpayDb") -> None:
    """Twenty captures at once, each under its own key: one succeeds, the money moves once."""
    payment = (await patient_api.authorize()).body
    answers = await asyncio.gather(
        *(patient_api.post(f"/v1/payments/{payment['id']}/capture") for _ in range(20))
    )
    assert sorted({answer.status for answer in answers}) == [200, 409]
    assert sum(answer.status == 200 for answer in answers) == 1
    rows = await db.rows(
        "SELECT count(*) AS entries, sum(abs(amount_minor)) AS total FROM ledger.line"
        " WHERE account NOT LIKE 'hold%'"
    )
    assert (rows[0]["entries"], rows[0]["total"]) == (2, 2000)


async def test_concurrent_refunds_never_exceed_the_capture(patient_api: "Client", db: "RefpayDb") -> None:
    """Twenty refunds of a fifth each: five succeed, and the acquirer agrees."""
    payment = await patient_api.captured()
    path = f"/v1/payments/{payment['id']}/refunds"
    answers = await asyncio.gather(*(patient_api.post(path, {"amount_minor": 200}) for _ in range(20)))
    assert sum(answer.status == 201 for answer in answers) == 5
    assert {answer.status for answer in answers} == {201, 409}
    rows = await db.rows("SELECT refunded_minor, refund_reserved_minor, status FROM payments.payment")
    assert rows == [{"refunded_minor": 1000, "refund_reserved_minor": 0, "status": "refunded"}]


async def test_every_change_leaves_its_record(api: "Client", db: "RefpayDb") -> None:
    """Who, what, when, before, after and which request, in order; and no token in it."""
    answer = await api.post(
        "/v1/payments",
        {
            "merchant_reference": "audited",
            "amount_minor": 7,
            "currency": "EUR",
            "card_token": "tok_411111_beef",
        },
        X_Correlation_Id="correlation-of-a-test",
    )
    assert answer.headers["X-Correlation-Id"] == "correlation-of-a-test"
    rows = await db.rows("SELECT * FROM audit.event ORDER BY seq")
    assert [(row["action"], row["actor"]) for row in rows] == [
        ("authorize.begun", "shop"),
        ("authorize.succeeded", "shop"),
        ("payment.changed", "shop"),
    ]
    assert {row["correlation_id"] for row in rows} == {"correlation-of-a-test"}
    assert '"authorizing"' in rows[2]["before"]
    assert '"authorized"' in rows[2]["after"]
    everything = await db.rows(
        "SELECT (SELECT jsonb_agg(e) FROM audit.event e)::text"
        " || (SELECT jsonb_agg(p) FROM payments.payment p)::text"
        " || (SELECT jsonb_agg(o) FROM payments.operation o)::text AS text"
    )
    assert "beef" not in everything[0]["text"]
