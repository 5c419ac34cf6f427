"""Who may do what, and which requests are turned away before anything happens."""

import asyncio
import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from yarl import URL

import refpay
from moneypath.telemetry import Catalogue, setup
from refpay.app.card_data import contains_card_number
from refpay.app.main import create_app
from refpay.app.services import Services
from refpay.clock import SystemClock
from refpay.errors import InvariantViolation
from refpay.identity.principals import Principals, Scope
from refpay.measures import API_METRICS, ServiceMetrics

if TYPE_CHECKING:
    from tests.refpay.conftest import Client, RefpayDb


@pytest.fixture
def api(shared_api: "Client") -> "Client":
    """Share one API: what is refused leaves nothing behind."""
    return shared_api


@pytest.fixture
def db(shared_db: "RefpayDb") -> "RefpayDb":
    """Share its database."""
    return shared_db


SOME_ID = "0198c0de-0000-7000-8000-000000000000"
ORDER: dict[str, Any] = {
    "merchant_reference": "order-access",
    "amount_minor": 5,
    "currency": "EUR",
    "card_token": "tok_411111_00ff",
}
PAYOUT: dict[str, Any] = {"merchant_reference": "payout-access", "amount_minor": 5, "currency": "EUR"}
ENDPOINTS: list[tuple[str, str, Any, Scope]] = [
    ("POST", "/v1/payments", ORDER, Scope.PAYMENTS_AUTHORIZE),
    ("POST", f"/v1/payments/{SOME_ID}/capture", {}, Scope.PAYMENTS_CAPTURE),
    ("POST", f"/v1/payments/{SOME_ID}/refunds", {"amount_minor": 1}, Scope.PAYMENTS_REFUND),
    ("GET", f"/v1/payments/{SOME_ID}", None, Scope.PAYMENTS_READ),
    ("POST", "/v1/operations/providers/north/drain", {"reason": "test"}, Scope.OPERATIONS_ROUTE),
    ("POST", "/v1/operations/providers/north/restore", {"reason": "test"}, Scope.OPERATIONS_ROUTE),
    ("POST", "/v1/operations/settlements/north/refetch", {"reason": "test"}, Scope.OPERATIONS_ROUTE),
    ("POST", "/v1/operations/duplicates/north/refund", {"reason": "test"}, Scope.OPERATIONS_REPAIR),
    ("POST", f"/v1/operations/suspense/{SOME_ID}/release", {"reason": "test"}, Scope.OPERATIONS_REPAIR),
    ("GET", "/v1/operations/reconciliation", None, Scope.OPERATIONS_READ),
    ("GET", "/v1/operations/providers", None, Scope.OPERATIONS_READ),
    ("POST", "/v1/operations/risk/ranges/499999/block", {"reason": "test"}, Scope.OPERATIONS_RISK),
    ("POST", "/v1/operations/risk/ranges/499999/unblock", {"reason": "test"}, Scope.OPERATIONS_RISK),
    ("GET", "/v1/operations/risk", None, Scope.OPERATIONS_READ),
    ("POST", "/v1/operations/dead-letters/notifications/replay", {"reason": "t"}, Scope.OPERATIONS_REPLAY),
    ("GET", "/v1/operations/dead-letters", None, Scope.OPERATIONS_READ),
    ("GET", "/v1/approvals", None, Scope.APPROVALS_DECIDE),
    ("POST", f"/v1/approvals/{SOME_ID}/approve", {"reason": "test"}, Scope.APPROVALS_DECIDE),
    ("POST", f"/v1/approvals/{SOME_ID}/refuse", {"reason": "test"}, Scope.APPROVALS_DECIDE),
    ("GET", "/v1/payments", None, Scope.PAYMENTS_READ),
    ("GET", "/v1/audit", None, Scope.AUDIT_READ),
    ("POST", f"/v1/payments/{SOME_ID}/void", {}, Scope.PAYMENTS_VOID),
    ("POST", "/v1/payouts", PAYOUT, Scope.PAYOUTS_CREATE),
    ("GET", "/v1/ledger/balances", None, Scope.LEDGER_READ),
]
# What opens without a bearer token: to everybody, to a client's secret, or to a signature.
OPEN = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/openapi.json",
    "/.well-known/jwks.json",
    "/v1/oauth/token",
    "/v1/webhooks/{provider}",
}


@pytest.mark.parametrize(("method", "path", "body", "needed"), ENDPOINTS)
async def test_each_endpoint_opens_to_its_scope_alone(
    api: "Client", make_token: Any, method: str, path: str, body: Any, needed: Scope
) -> None:
    """A token with any other scope is refused with 403, and so is one with all of the others together."""
    wrong = [{scope} for scope in Scope if scope is not needed]
    for scopes in [set(), *wrong, set().union(*wrong), {needed}]:
        given = {"Authorization": f"Bearer {make_token('everybody', scopes)}"}
        if method == "POST":
            given["Idempotency_Key"] = f"endpoint-{len(scopes)}-{min(scopes, default='none')}"
        answer = await api.send(method, path, body, **given)
        if needed in scopes:
            assert answer.status not in (401, 403), answer.raw
        else:
            assert (answer.status, answer.body["code"]) == (403, "scope_missing"), scopes


async def test_every_endpoint_is_tried(api: "Client") -> None:
    """The table has every path of the description; what is open is named."""
    described = (await api.get("/v1/openapi.json", by=None)).body["paths"]
    tried = {(method.lower(), _template(path)) for method, path, *_ in ENDPOINTS}
    found = {(method, path) for path, methods in described.items() for method in methods if path not in OPEN}
    assert found == tried


def _template(path: str) -> str:
    for given, name in (
        ("/north/", "/{provider}/"),
        ("/499999/", "/{card_range}/"),
        ("/notifications/", "/{queue}/"),
        (f"approvals/{SOME_ID}", "approvals/{approval_id}"),
        (f"suspense/{SOME_ID}", "suspense/{operation_id}"),
        (SOME_ID, "{payment_id}"),
    ):
        path = path.replace(given, name)
    return path


@pytest.mark.parametrize(("method", "path", "body", "needed"), ENDPOINTS)
async def test_strangers_are_turned_away(
    api: "Client", method: str, path: str, body: Any, needed: Scope
) -> None:
    """No token, an unknown one, another kind and two of them are all 401, and say nothing more."""
    assert needed
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic c2hvcDpzaG9w"}):
        answer = await api.send(method, path, body, by=None, Idempotency_Key="stranger", **headers)
        assert (answer.status, answer.body["code"]) == (401, "credential_refused")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_an_operator_reads_every_payment_and_a_rival_none(api: "Client") -> None:
    """Somebody else's payment looks like none at all."""
    payment = (await api.authorize()).body
    assert (await api.get(f"/v1/payments/{payment['id']}", by="rival")).body["code"] == "payment_unknown"
    assert (await api.get(f"/v1/payments/{payment['id']}")).status == 200


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"amount_minor": 0}, "amount_minor"),
        ({"amount_minor": -5}, "amount_minor"),
        ({"amount_minor": 2**63}, "amount_minor"),
        ({"amount_minor": 10**400}, "amount_minor"),
        ({"amount_minor": 1.5}, "amount_minor"),
        ({"amount_minor": "5"}, "amount_minor"),
        ({"amount_minor": True}, "amount_minor"),
        ({"amount_minor": None}, "amount_minor"),
        ({"currency": "GBP"}, "currency"),
        ({"currency": "eur"}, "currency"),
        ({"card_token": "tok_41_ff"}, "card_token"),
        ({"card_token": "tok_611111_00ff"}, "card_token"),
        ({"merchant_reference": ""}, "merchant_reference"),
        ({"merchant_reference": "with blank"}, "merchant_reference"),
        ({"merchant_reference": "x" * 129}, "merchant_reference"),
        ({"merchant_reference": "null\x00"}, "merchant_reference"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_wrong_values_are_named(
    api: "Client", db: "RefpayDb", changed: dict[str, Any], key: str
) -> None:
    """422 names the key; nothing is written, and the idempotency key stays free."""
    answer = await api.authorize(key="refused", **changed)
    assert (answer.status, answer.body["code"]) == (422, "request_invalid")
    assert [error["key"] for error in answer.body["errors"]] == [key]
    assert await db.rows("SELECT 1 FROM payments.idempotency_key WHERE key = 'refused'") == []


async def test_missing_keys_are_named_and_unknown_ones_told_what_is_allowed(api: "Client") -> None:
    """All of them at once."""
    answer = await api.post("/v1/payments", {"reference": "x"})
    problems = {error["key"]: error["problem"] for error in answer.body["errors"]}
    assert problems["merchant_reference"] == "is missing"
    assert "allowed: merchant_reference, amount_minor, currency, card_token" in problems["reference"]


@pytest.mark.parametrize(
    "raw", [b"{", b"[]", b'"x"', b"\xff\xfe", b'{"amount_minor":NaN}', b'{"a":1,"a":2}', b"[" * 9000, b"null"]
)
async def test_what_is_not_a_json_object_is_refused(api: "Client", raw: bytes) -> None:
    """400, whatever the trick."""
    answer = await api.send("POST", "/v1/payments", raw, Idempotency_Key="malformed")
    assert (answer.status, answer.body["code"]) == (400, "request_malformed")


async def test_the_idempotency_key_is_required_and_bounded(api: "Client") -> None:
    """None is 400, and so is one that is too long."""
    answer = await api.send("POST", "/v1/payments", ORDER)
    assert (answer.status, answer.body["code"]) == (400, "idempotency_key_missing")
    for key in ("k" * 256, "with blank"):
        answer = await api.post("/v1/payments", ORDER, key=key)
        assert (answer.status, answer.body["code"]) == (400, "idempotency_key_invalid")


async def test_a_large_request_is_not_read(api: "Client") -> None:
    """One byte more than 16 KiB is 413, declared or in chunks; 16 KiB are read."""

    async def chunks() -> Any:
        for _ in range(17):
            yield b" " * 1024

    for body in (b" " * (16 * 1024 + 1), chunks()):
        async with api.session.post(
            "/v1/payments", data=body, headers={"Idempotency-Key": "large"}
        ) as refused:
            assert refused.status == 413
            assert (await refused.json(content_type=None))["code"] == "request_too_large"
    fits = json.dumps({**ORDER, "merchant_reference": "order-fits"}).encode().ljust(16 * 1024)
    assert (await api.send("POST", "/v1/payments", fits, Idempotency_Key="fits")).status == 201
    answer = await api.send("POST", "/v1/payments", ORDER, Idempotency_Key="x", X_Padding="x" * 16 * 1024)
    assert answer.status in (400, 413)


CARD = "4111111111111111"


@pytest.mark.parametrize(
    "changed",
    [
        {"merchant_reference": CARD},
        {"merchant_reference": f"order-{CARD}"},
        {"card_token": CARD},
        {"card_token": f"tok_411111_{CARD}"},
        {"currency": "4111 1111 1111 1111"},
        {"note": {"deep": ["5555-5555-5555-4444"]}},
        {"378282246310005": 1},
        {"merchant_reference": f"order{CARD}"},
        {"merchant_reference": "4111.1111.1111.1111"},
        {"merchant_reference": "4111--1111--1111--1111"},
        {"merchant_reference": "411111-1111111111"},
        {"merchant_reference": f"{CARD}1227"},
        {"merchant_reference": f"{CARD}/12/27"},
        {"merchant_reference": "４１１１１１１１１１１１１１１１"},
        {"merchant_reference": "٤١١١١١١١١١١١١١١١"},
        {"merchant_reference": "4111\u200b1111\u00ad11111111"},
        {"merchant_reference": "④①①①①①①①①①①①①①①①"},
        {"merchant_reference": "4111_1111_1111_1111"},
        {"card_token": "tok_411111_1111111111"},
    ],
)
async def test_a_card_number_is_refused_anywhere(
    api: "Client", db: "RefpayDb", changed: dict[str, Any]
) -> None:
    """Whatever the field, and it is not repeated to anyone."""
    answer = await api.authorize(key="refused", **changed)
    assert (answer.status, answer.body["code"]) == (422, "card_data_refused")
    assert b"111111" not in answer.raw
    assert b"5555" not in answer.raw
    assert await db.rows("SELECT 1 FROM payments.idempotency_key WHERE key = 'refused'") == []


@pytest.mark.parametrize(
    ("place", "path", "headers"),
    [
        ("header", "/v1/payments", {"Idempotency_Key": CARD}),
        ("header", "/v1/payments", {"Idempotency_Key": "5555-5555-5555-4444"}),
        ("header", "/v1/payments", {"Idempotency_Key": f"k{CARD}"}),
        ("header", "/v1/payments", {"Idempotency_Key": f"{CARD}_1227"}),
        ("header", "/v1/payments", {"Idempotency_Key": "４１１１１１１１１１１１１１１１"}),
        ("header", "/v1/payments", {"X_Anything": f"card={CARD};"}),
        ("header", "/v1/payments", {CARD: "x"}),
        ("header", "/v1/payments", {"Authorization": f"Bearer {CARD}"}),
        ("header", "/v1/payments", {"tracestate": f"vendor={CARD}"}),
        ("header", "/v1/payments", {"traceparent": CARD}),
        ("header", "/v1/payments", {"X_Correlation_Id": CARD}),
        ("path", f"/v1/payments/{CARD}/capture", {}),
        ("path", f"/nowhere/4%31{CARD[2:]}", {}),
        ("query", f"/v1/payments?card={CARD}", {}),
        ("query", f"/v1/payments?{CARD}", {}),
        ("query", "/v1/payments?card=4111+1111%201111%2b1111&card=5555%205555+5555+4444", {}),
    ],
)
async def test_a_card_number_around_the_body_is_refused_and_counted(
    api: "Client", place: str, path: str, headers: dict[str, str]
) -> None:
    """In any header, the path or the query, escaped or not, for friends and strangers; nobody hears it."""
    before = await api.metric("moneypath_card_data_refusals_total", place=place)
    answer = await api.send("POST", URL(path, encoded=True), ORDER, **{"Idempotency_Key": "card", **headers})
    assert (answer.status, answer.body["code"]) == (422, "card_data_refused")
    assert b"111111" not in answer.raw
    assert CARD not in str(answer.headers)
    assert await api.metric("moneypath_card_data_refusals_total", place=place) == before + 1


async def test_a_card_number_in_a_body_is_counted(api: "Client") -> None:
    """Once."""
    before = await api.metric("moneypath_card_data_refusals_total", place="body")
    await api.authorize(merchant_reference=CARD)
    assert await api.metric("moneypath_card_data_refusals_total", place="body") == before + 1


async def test_a_span_that_reads_as_a_card_number_is_none(api: "Client") -> None:
    """A caller's trace ids are drawn by chance, and a payment must not depend on them."""
    traceparent = f"00-0af7651916cd43dd8448eb211c80319c-{CARD}-01"
    order = {**ORDER, "merchant_reference": "order-of-a-span"}
    answer = await api.post("/v1/payments", order, traceparent=traceparent)
    assert answer.status == 201


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # fails the check
        "0198c0de-4111-4111-4111-111111111111",  # groups inside a longer id
        "1763791234567",  # milliseconds since 1970
        "7111111111111113",  # a right check digit, and no issuer begins like this
        "tok_411111_4222222222222f22",  # a token: its random part has a letter
        "411111111111",  # too short
        "42222222222222222222",  # too long
        "2026/11/24 10:20:30.123456",
        "0.4111111111111111",
    ],
)
def test_what_only_resembles_a_card_number_passes(text: str) -> None:
    """Identifiers, times and tokens are no cards."""
    assert not contains_card_number(text)


async def test_marked_traffic_needs_its_scope(api: "Client") -> None:
    """Canary and drill are for those entitled; an unknown mark is refused."""
    for traffic in ("canary", "drill"):
        answer = await api.post(
            "/v1/payments", {**ORDER, "merchant_reference": f"m-{traffic}"}, X_Traffic=traffic
        )
        assert (answer.status, answer.body["code"]) == (403, "scope_missing")
        answer = await api.post(
            "/v1/payments", {**ORDER, "merchant_reference": f"m-{traffic}"}, by="canary", X_Traffic=traffic
        )
        assert answer.status == 201
        counted = await api.metric(
            "moneypath_payments_total", traffic=traffic, outcome="succeeded", provider=answer.body["provider"]
        )
        assert counted == 1
    answer = await api.post("/v1/payments", ORDER, X_Traffic="fast")
    assert (answer.status, answer.body["code"]) == (422, "traffic_invalid")


async def test_unknown_paths_and_methods_are_problems_too(api: "Client") -> None:
    """404 and 405 in the same form as everything else."""
    missing = await api.get("/v1/nothing")
    assert (missing.status, missing.body["code"]) == (404, "route_unknown")
    wrong = await api.send("DELETE", "/v1/payments")
    assert (wrong.status, wrong.body["code"]) == (405, "method_refused")
    assert wrong.headers["Allow"] == "GET, POST"
    assert missing.headers["Content-Type"] == wrong.headers["Content-Type"] == "application/problem+json"


async def test_the_house_sees_health_without_a_token(api: "Client") -> None:
    """Liveness, readiness and metrics; the SLI series exist before the first payment."""
    health, ready = await asyncio.gather(api.get("/healthz", by=None), api.get("/readyz", by=None))
    assert (health.status, ready.status) == (200, 200)
    metrics = (await api.get("/metrics", by=None)).raw.decode()
    for provider in ("north", "south"):
        assert f'operation="authorize",outcome="indeterminate",provider="{provider}"' in metrics
        assert f'moneypath_provider_circuit_open{{provider="{provider}"}} 0' in metrics
    assert "moneypath_ledger_imbalance_minor_units" not in metrics


async def test_a_bug_is_a_problem_without_a_trace(serve: Any, secrets_folder: Path) -> None:
    """500 with a correlation id; neither the exception's text nor its type reaches the caller."""

    class Broken:
        async def read(self, *_: object) -> bytes:
            raise LookupError("internals of 4111111111111111")

        async def ping(self) -> None:
            raise InvariantViolation("books differ")

    catalogue = Catalogue.load(Path(refpay.__file__).with_name("catalogue.json"))
    measures = ServiceMetrics(setup(catalogue, service="refpay-api", metrics=API_METRICS))
    broken: Any = Broken()
    principals = Principals.load(secrets_folder, SystemClock())
    services = dict.fromkeys((field.name for field in fields(Services)), broken)
    app = create_app(Services(**{**services, "measures": measures, "principals": principals}))
    async with serve(app) as client:
        answer = await client.get(f"/v1/payments/{SOME_ID}")
        assert (answer.status, answer.body["code"]) == (500, "internal_error")
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.body["correlation_id"] == answer.headers["X-Correlation-Id"]
        assert b"LookupError" not in answer.raw
        assert b"internals" not in answer.raw
        answer = await client.get("/readyz")
        assert (answer.status, answer.body["code"]) == (500, "invariant_violation")
