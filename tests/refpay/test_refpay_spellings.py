"""One id, one number, one spelling: what the API takes is what its description says."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from starlette.requests import Request
from yarl import URL

from refpay.app.bodies import AuditQuery, AuthorizeBody, BalancesQuery, PaymentsQuery
from refpay.app.commands import parse_body
from refpay.app.errors import RequestMalformed
from refpay.app.main import ENDPOINTS
from refpay.app.openapi import describe
from refpay.ids import ID_PATTERN, read_id
from refpay.money import MAXIMUM_MINOR
from refpay.payments.errors import EventInvalid
from refpay.payments.webhooks import read_event

if TYPE_CHECKING:
    from tests.refpay.conftest import Client, RefpayDb

DESCRIPTION: dict[str, Any] = describe(ENDPOINTS)
SOME_ID = "0198c0de-abcd-7000-8000-0123456789ab"
# Other spellings of the same UUID. Python's own reader takes all of them but those with something around.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "in upper case": str.upper,
    "with one letter in upper case": lambda text: re.sub(
        "[a-f]", lambda found: found[0].upper(), text, count=1
    ),
    "in braces": lambda text: f"{{{text}}}",
    "without hyphens": lambda text: text.replace("-", ""),
    "with hyphens elsewhere": lambda text: f"{text[:4]}-{text[4:8]}{text[9:]}",
    "as a URN": lambda text: f"urn:uuid:{text}",
    "with a blank": lambda text: f"{text} ",
    "with a line's end": lambda text: f"{text}\n",
    "with full-width digits": lambda text: text.replace("0", "０"),
}
MISSPELT = {how: spell(SOME_ID) for how, spell in SPELLINGS.items()}
SERIAL = count()


@pytest.fixture
def api(shared_api: "Client") -> "Client":
    """Share one API: each test looks at payments of its own."""
    return shared_api


@pytest.fixture
def db(shared_db: "RefpayDb") -> "RefpayDb":
    """Share its database."""
    return shared_db


@pytest.mark.parametrize("how", MISSPELT)
def test_an_id_is_read_in_one_spelling(how: str) -> None:
    """UUIDs that Python's own reader takes for the same id are none."""
    assert read_id(MISSPELT[how]) is None
    assert str(read_id(SOME_ID)) == SOME_ID


@given(st.uuids(), st.text(max_size=40))
def test_what_is_read_is_written_the_same(one: UUID, text: str) -> None:
    """Whatever is taken for an id is the text that the id is answered with."""
    assert read_id(str(one)) == one
    found = read_id(text)
    assert found is None or str(found) == text


@pytest.mark.parametrize("how", MISSPELT)
async def test_a_payment_is_reached_under_one_spelling(api: "Client", db: "RefpayDb", how: str) -> None:
    """Read, captured, voided and refunded under any other it is unknown, and the key stays free."""
    payment = (await api.authorize()).body["id"]
    other = SPELLINGS[how](payment)
    path, key = URL(f"/v1/payments/{_escape(other)}", encoded=True), f"spelling-{next(SERIAL)}"
    answers = [await api.send("GET", path)]
    for word, body in (("capture", {}), ("void", {}), ("refunds", {"amount_minor": 1})):
        answers.append(await api.send("POST", path / word, body, Idempotency_Key=key))
    assert {(answer.status, answer.body["code"]) for answer in answers} == {(404, "payment_unknown")}
    assert all("lower case" in answer.body["detail"] for answer in answers)
    assert await db.rows(f"SELECT 1 FROM payments.idempotency_key WHERE key = '{key}'") == []  # noqa: S608
    captured = await api.post(f"/v1/payments/{payment}/capture", {}, key=key)
    assert (captured.status, captured.body["id"]) == (200, payment)


def _escape(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


async def test_an_escaped_path_is_the_same_request(api: "Client") -> None:
    """A path is decoded before anything is compared, so an escape makes no second spelling."""
    payment = (await api.authorize()).body["id"]
    key = f"spelling-{next(SERIAL)}"
    first = await api.post(f"/v1/payments/{payment}/capture", {}, key=key)
    escaped = URL(f"/v1/payments/{_escape(payment)}/capture", encoded=True)
    again = await api.send("POST", escaped, {}, Idempotency_Key=key)
    assert (again.status, again.replayed, again.raw) == (200, True, first.raw)


async def test_ids_of_approvals_and_operations_are_read_the_same_way(api: "Client") -> None:
    """Every path with an id refuses it in upper case, before it is looked for."""
    for path, by in (("approvals/{}/approve", "approver"), ("approvals/{}/refuse", "approver"),
                     ("operations/suspense/{}/release", "operator")):  # fmt: skip
        answer = await api.post(f"/v1/{path.format(SOME_ID.upper())}", {"reason": "x"}, by=by)
        assert (answer.status, "lower case" in answer.body["detail"]) == (404, True)


@pytest.mark.parametrize("how", MISSPELT)
async def test_an_audit_trail_is_not_found_empty_for_a_misspelt_id(api: "Client", how: str) -> None:
    """An id in another spelling is refused, since no record has it; other subjects are no ids."""
    with pytest.raises(ValidationError, match="lower case"):
        AuditQuery.model_validate({"subject_id": MISSPELT[how]})
    assert AuditQuery.model_validate({"subject_id": SOME_ID}).subject_id == SOME_ID
    assert AuditQuery.model_validate({"subject_id": "north"}).subject_id == "north"
    answer = await api.send("GET", URL("/v1/audit").with_query(subject_id=MISSPELT[how]), by="auditor")
    assert (answer.status, answer.body["errors"][0]["key"]) == (422, "subject_id")


@pytest.mark.parametrize("name", ["event", "key"])
@pytest.mark.parametrize("how", MISSPELT)
def test_a_webhook_names_ids_in_one_spelling(name: str, how: str) -> None:
    """Its own id and ours: the same event in another spelling is no event."""
    event = {
        "event": str(uuid4()), "type": "operation", "key": str(uuid4()), "kind": "capture",
        "status": "refused", "amount": 5, "currency": "EUR",
    }  # fmt: skip
    assert read_event(event)
    with pytest.raises(EventInvalid, match=name):
        read_event({**event, name: MISSPELT[how]})


def _strings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("format") == "uuid":
            yield value
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def test_the_description_has_the_spelling_of_every_id() -> None:
    """In paths, bodies and answers; and the pattern is the one that the service reads by."""
    found = list(_strings(DESCRIPTION))
    assert len(found) > 15
    assert {each.get("pattern") for each in found} == {ID_PATTERN}
    schema = Draft202012Validator({"type": "string", "pattern": ID_PATTERN})
    # Python's `$` takes a line's end for the end; JSON Schema's does not.
    taken = [how for how, text in MISSPELT.items() if schema.is_valid(text) and not text.endswith("\n")]
    assert taken == []
    assert schema.is_valid(SOME_ID)


# Texts of numbers, and the integer that each means, as JSON Schema counts them (6.1.1: a fraction of zero).
INTEGERS = {
    "248": 248, "248.0": 248, "248.000": 248, "2.48e2": 248, "24800e-2": 248, "1e3": 1000, "1E+3": 1000,
    "-0": 0, "-0.0": 0, "0e5": 0, "0e99999999": 0, "-248.0": -248,
    # No float in between: it would be another amount.
    "9007199254740993.0": 9007199254740993, "9223372036854775807.0": MAXIMUM_MINOR,
    "922337203685477580.7e1": MAXIMUM_MINOR, "9223372036854775808.0": MAXIMUM_MINOR + 1,
}  # fmt: skip
NO_INTEGERS = ("248.5", "1e-3", "2.48e1", "0.1", "1e400", "-1e400", "1e99999999999999999999", "1e-400")


def _parse(text: str) -> dict[str, Any]:
    raw = f'{{"amount_minor": {text}}}'.encode()
    return parse_body(Request({"type": "http", "headers": []}), raw)


@pytest.mark.parametrize("text", INTEGERS)
def test_an_integer_is_read_exactly_however_it_is_written(text: str) -> None:
    """As the schema's `integer` means it."""
    found = _parse(text)["amount_minor"]
    assert (type(found), found) == (int, INTEGERS[text])


@pytest.mark.parametrize("text", NO_INTEGERS)
def test_what_is_no_integer_is_not_made_one(text: str) -> None:
    """A part, and what has more digits than any integer of ours, is refused by name."""
    found = _parse(text)["amount_minor"]
    assert type(found) is float
    with pytest.raises(ValidationError):
        AuthorizeBody.model_validate(_order(found))


@given(st.integers(-(10**25), 10**25), st.integers(0, 12))
def test_no_digit_is_lost(number: int, places: int) -> None:
    """Written with zeros behind the point, or with an exponent, it is the same integer."""
    zeros = "0" * places
    assert _parse(f"{number}.0{zeros}")["amount_minor"] == number
    assert _parse(f"{number}{zeros}e-{places}")["amount_minor"] == number
    assert _parse(f"{number}e{places}")["amount_minor"] == number * 10**places


def test_a_number_of_many_digits_is_too_large_and_no_error() -> None:
    """More than Python converts: read as too large, in no time."""
    with pytest.raises(ValidationError):
        AuthorizeBody.model_validate(_order(_parse("9" * 9000)["amount_minor"]))


@pytest.mark.parametrize("raw", ['{"a": 1, "a": 1}', '{"a": {"b": 1, "b": 2}}', '{"a": 1, "\\u0061": 1}'])
def test_a_key_is_there_once(raw: str) -> None:
    """At any depth, and escaped too."""
    with pytest.raises(RequestMalformed):
        parse_body(Request({"type": "http", "headers": []}), raw.encode())


def _order(amount: Any) -> dict[str, Any]:
    return {
        "merchant_reference": "order-spelling", "amount_minor": amount, "currency": "EUR",
        "card_token": "tok_411111_00ff",
    }  # fmt: skip


def _integers() -> list[tuple[str, str]]:
    """Return each body's key that is an integer, by the name of its schema."""
    found = []
    for one in ENDPOINTS:
        if one.endpoint.changes_state:
            name = one.endpoint.request_model.__name__
            for key, schema in DESCRIPTION["components"]["schemas"][name].get("properties", {}).items():
                if "integer" in json.dumps(schema):
                    found.append((name, key))
    return sorted(set(found))


@pytest.mark.parametrize(("name", "key"), _integers())
@pytest.mark.parametrize("text", [*INTEGERS, *NO_INTEGERS, "true", '"5"', "9" * 400])
def test_the_schema_takes_the_numbers_that_the_service_takes(name: str, key: str, text: str) -> None:
    """For every integer of every body: both take it, or both refuse it."""
    model: Any = next(
        e.endpoint.request_model for e in ENDPOINTS if e.endpoint.request_model.__name__ == name
    )
    event = {
        "event": SOME_ID, "type": "operation", "key": SOME_ID, "kind": "capture", "status": "refused",
        "currency": "EUR",
    }  # fmt: skip
    rest = event if name == "EventBody" else {k: v for k, v in _order(1).items() if k in model.model_fields}
    read = _parse(text)["amount_minor"]
    try:
        taken = bool(model.model_validate({**rest, key: read}))
    except ValidationError:
        taken = False
    schema = {**DESCRIPTION["components"]["schemas"][name], "components": DESCRIPTION["components"]}
    # What the number is, without what a reader of JSON makes of it.
    value = INTEGERS.get(text, json.loads(text) if len(text) < 100 else 10**400)
    assert Draft202012Validator(schema).is_valid({**rest, key: value}) is taken


def test_every_integer_of_a_body_is_tried() -> None:
    """Five bodies have one; a new one is found."""
    assert _integers() == [
        ("AuthorizeBody", "amount_minor"), ("CaptureBody", "amount_minor"), ("EventBody", "amount"),
        ("PayoutBody", "amount_minor"), ("RefundBody", "amount_minor"),
    ]  # fmt: skip


async def test_an_amount_in_other_digits_is_the_same_request(api: "Client") -> None:
    """248.0 and 2.48e2 replay the answer of 248; what is kept is the integer."""
    body, key = json.dumps(_order(248)), f"spelling-{next(SERIAL)}"
    first = await api.send("POST", "/v1/payments", body.encode(), Idempotency_Key=key)
    assert (first.status, first.body["amount_minor"]) == (201, 248)
    for text in ("248.0", "2.48e2"):
        same = body.replace("248", text).encode()
        again = await api.send("POST", "/v1/payments", same, Idempotency_Key=key)
        assert (again.status, again.replayed, again.raw) == (201, True, first.raw)


async def test_an_amount_that_is_no_integer_is_named(api: "Client") -> None:
    """422 for each, and never a server error."""
    for text in (*NO_INTEGERS, "-0.0", "9" * 9000):
        body = json.dumps(_order(248)).replace("248", text).encode()
        answer = await api.send("POST", "/v1/payments", body, Idempotency_Key=f"spelling-{next(SERIAL)}")
        assert (answer.status, answer.body["errors"][0]["key"]) == (422, "amount_minor")


@pytest.mark.parametrize("query", [PaymentsQuery, AuditQuery, BalancesQuery])
@pytest.mark.parametrize(
    "text", ["050", "+50", " 50", "50 ", "5_0", "50.0", "5e1", "５０", "-0", "0", "101", ""]
)
def test_a_limit_is_written_in_one_way(query: Any, text: str) -> None:
    """Digits without a sign, a blank, a point or a leading zero."""
    with pytest.raises(ValidationError):
        query.model_validate({"limit": text})
    assert query.model_validate({"limit": "50"}).limit == 50
