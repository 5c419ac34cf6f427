"""The parts of the checkout load test: settings, orders, answers, acknowledgement log."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from loadtests.acknowledgement_log import AcknowledgementLog, AcknowledgementLogUnwritable, RequestLine
from loadtests.answers import Operation, read_answer
from loadtests.orders import Orders
from loadtests.settings import (
    SettingsInvalid,
    read_card_testing_settings,
    read_settings,
    require_loopback,
)

from moneypath.outcomes import MEANINGS, Outcome

AUTHORIZE, CAPTURE = Operation.AUTHORIZE, Operation.CAPTURE


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return the least that a run needs."""
    client_file = tmp_path / "client"
    client_file.write_text("checkout:the-secret\n")
    return {
        "MONEYPATH_ACKNOWLEDGEMENT_LOG_FILE": str(tmp_path / "acknowledgements.jsonl"),
        "MONEYPATH_CHECKOUT_CLIENT_FILE": str(client_file),
    }


def test_settings_have_defaults_and_hide_the_secret(environment: dict[str, str]) -> None:
    """Two files are enough; the secret stays in its own."""
    settings = read_settings(environment)
    assert settings.client_file.name == "client"
    assert "the-secret" not in repr(settings)
    assert settings.card_range_weights == {"411111": 6, "550000": 4}
    assert (settings.retry_interval_seconds, settings.retry_budget_seconds) == (0.5, 20)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("ACKNOWLEDGEMENT_LOG_FILE", "", "MONEYPATH_ACKNOWLEDGEMENT_LOG_FILE is missing"),
        ("CHECKOUT_CLIENT_FILE", "/nonexistent/client", "cannot be read: client (No such file"),
        ("USERS", "0", "must be an integer from 1 to 200"),
        ("USERS", "2.5", "must be an integer from 1 to 200"),
        ("CHECKOUTS_PER_SECOND", "201", "must be a number from 0.01 to 200"),
        ("CHECKOUTS_PER_SECOND", "nan", "must be a number from 0.01 to 200"),
        ("RESEND_RATIO", "5", "must be a number from 0 to 1"),
        ("CARD_RANGE_WEIGHTS", "4111=1", "six-digit card ranges"),
        ("CARD_RANGE_WEIGHTS", "311111=1", "six-digit card ranges"),
        ("CARD_RANGE_WEIGHTS", "411111", "six-digit card ranges"),
        ("CARD_RANGE_WEIGHTS", "411111=0", "at least one weight"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], name: str, value: str, complaint: str) -> None:
    """The message names the variable and what is allowed."""
    with pytest.raises(SettingsInvalid) as caught:
        read_settings({**environment, f"MONEYPATH_{name}": value})
    assert f"MONEYPATH_{name}" in str(caught.value)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", "\n", "two words", "smörgås", "a\nb", "checkout:", "Checkout:x", "checkout:x\ny"]
)
def test_a_file_without_a_client_is_refused_unseen(environment: dict[str, str], content: str) -> None:
    """What is in the file is not repeated."""
    Path(environment["MONEYPATH_CHECKOUT_CLIENT_FILE"]).write_text(content, encoding="utf-8")
    with pytest.raises(SettingsInvalid, match="does not hold a client") as caught:
        read_settings(environment)
    assert not content.strip() or content not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["http://127.0.0.1:80", "http://127.8.8.8:1", "http://[::1]:80", "http://localhost:9"]
)
def test_this_machine_is_allowed(host: str) -> None:
    """Every name of the loopback is fine."""
    assert require_loopback(host) == host


@pytest.mark.parametrize(
    "host",
    [None, "", "127.0.0.1:80", "https://127.0.0.1", "http://10.0.0.1", "http://localhost.example.com",
     "http://127.0.0.1.example.com", "http://127.0.0.1@example.com", "http://0.0.0.0:80"],
)  # fmt: skip
def test_every_other_host_is_refused(host: str | None) -> None:
    """Names that only look local are refused as well."""
    with pytest.raises(SettingsInvalid, match="--host"):
        require_loopback(host)


def make_orders(user: int = 0, nonce: str = "a") -> Orders:
    weights = {"411111": 6, "550000": 4}
    return Orders(
        seed="7", user=user, nonce=nonce, card_range_weights=weights, refund_ratio=0.3, resend_ratio=0.05
    )


def test_a_seed_buys_the_same_things_under_other_names() -> None:
    """Two runs of one seed differ in their references alone; two users differ in what they buy."""
    orders, again, other = make_orders(), make_orders(nonce="b"), make_orders(user=1)
    pairs = [(orders.next_order(), again.next_order(), other.next_order()) for _ in range(50)]
    for first, second, _ in pairs:
        assert first.reference != second.reference
        assert (first.amount_minor, first.card_token) == (second.amount_minor, second.card_token)
    assert [first.amount_minor for first, _, _ in pairs] != [third.amount_minor for _, _, third in pairs]


def test_orders_are_plausible() -> None:
    """Captures fit their authorization, refunds their capture, and the weights are kept."""
    orders = make_orders()
    drawn = [orders.next_order() for _ in range(2000)]
    assert len({order.reference for order in drawn}) == 2000
    assert {order.currency for order in drawn} == {"EUR", "USD", "JPY", "KWD"}
    for order in drawn:
        assert 1 <= order.capture_minor <= order.amount_minor
        assert order.refund_minor is None or 1 <= order.refund_minor <= order.capture_minor
    visa = sum(order.card_token.startswith("tok_411111_") for order in drawn)
    assert 1080 < visa < 1320
    assert 60 < sum(order.resends for order in drawn) < 145
    assert 500 < sum(order.refund_minor is not None for order in drawn) < 700


@pytest.mark.parametrize(
    ("operation", "status_code", "body", "outcome"),
    [
        (AUTHORIZE, 201, b'{"id": "p", "status": "authorized"}', Outcome.SUCCEEDED),
        (AUTHORIZE, 200, b'{"id": "p", "status": "captured"}', Outcome.SUCCEEDED),
        (AUTHORIZE, 201, b'{"id": "p", "status": "declined"}', Outcome.DECLINED),
        (AUTHORIZE, 200, b'{"id": "p", "status": "failed"}', Outcome.FAILED),
        (AUTHORIZE, 200, b'{"id": "p", "status": "authorizing"}', Outcome.INDETERMINATE),
        (AUTHORIZE, 201, b'{"status": "authorized"}', Outcome.UNKNOWN),
        (AUTHORIZE, 201, b"[]", Outcome.UNKNOWN),
        (AUTHORIZE, 201, b'{"id": "p', Outcome.UNKNOWN),
        (AUTHORIZE, 202, b"", Outcome.INDETERMINATE),
        (CAPTURE, 200, b'{"id": "p", "status": "captured"}', Outcome.SUCCEEDED),
        (CAPTURE, 200, b'{"id": "p", "status": "authorized"}', Outcome.UNKNOWN),
        (CAPTURE, 402, b'{"code": "provider_declined"}', Outcome.DECLINED),
        (CAPTURE, 409, b'{"code": "operation_in_flight"}', Outcome.UNKNOWN),
        (AUTHORIZE, 409, b'{"code": "idempotency_in_flight"}', Outcome.UNKNOWN),
        (AUTHORIZE, 409, b'{"code": "idempotency_key_reused"}', Outcome.UNKNOWN),
        (AUTHORIZE, 410, b'{"code": "idempotency_key_expired"}', Outcome.UNKNOWN),
        (AUTHORIZE, 409, b'{"code": "merchant_reference_in_use"}', Outcome.UNKNOWN),
        (CAPTURE, 409, b'{"code": "payment_state_refused"}', Outcome.REJECTED),
        (CAPTURE, 409, b'{"code": "amount_exceeded"}', Outcome.REJECTED),
        (CAPTURE, 404, b'{"code": "payment_unknown"}', Outcome.REJECTED),
        (CAPTURE, 404, b"<html>", Outcome.UNKNOWN),
        (AUTHORIZE, 422, b'{"code": "body_invalid"}', Outcome.REJECTED),
        (AUTHORIZE, 403, b'{"code": "risk_blocked"}', Outcome.REJECTED),
        (AUTHORIZE, 403, b'{"code": "scope_missing"}', Outcome.UNPROCESSED),
        (AUTHORIZE, 401, b'{"code": "credential_refused"}', Outcome.UNPROCESSED),
        (AUTHORIZE, 429, b'{"code": "overloaded"}', Outcome.UNPROCESSED),
        (AUTHORIZE, 429, b"slow down", Outcome.UNKNOWN),
        (AUTHORIZE, 302, b"", Outcome.UNKNOWN),
        (AUTHORIZE, 502, b'{"code": "provider_failed"}', Outcome.FAILED),
        (AUTHORIZE, 502, b'{"code": "provider_silent"}', Outcome.UNKNOWN),
        (AUTHORIZE, 502, b"<html>", Outcome.UNKNOWN),
        (AUTHORIZE, 503, b'{"code": "provider_circuit_open"}', Outcome.UNKNOWN),
        (AUTHORIZE, 500, b"", Outcome.UNKNOWN),
        (AUTHORIZE, 0, b"", Outcome.UNKNOWN),
    ],
)
def test_only_a_clear_answer_is_a_promise(
    operation: Operation, status_code: int, body: bytes, outcome: Outcome
) -> None:
    """What does not say clearly that money moved or did not move promises nothing."""
    assert read_answer(operation, status_code, {}, body).outcome is outcome


def test_only_what_may_still_come_is_asked_again() -> None:
    """A busy service and one that says nothing clear are; a no, and a reference of another are not."""
    again = {(code, status) for status, code in (
        (409, "operation_in_flight"), (429, "overloaded"), (409, "merchant_reference_in_use"),
        (409, "amount_exceeded"), (401, "credential_refused"), (503, "database_unavailable"),
    ) if read_answer(CAPTURE, status, {}, f'{{"code": "{code}"}}'.encode()).again}  # fmt: skip
    assert again == {("operation_in_flight", 409), ("overloaded", 429), ("database_unavailable", 503)}


def test_no_line_of_the_table_is_hidden_by_one_before_it() -> None:
    """A line that never applies would be a promise that nobody keeps."""
    for place, line in enumerate(MEANINGS):
        examples = [(status, code) for status in line.statuses for code in (line.codes or {"any_other"})]
        before = MEANINGS[:place]
        assert any(not any(one.covers(*example) for one in before) for example in examples)


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2), ("600", 5), ("", 0), ("-1", 0), ("soon", 0), ("²", 0)]
)
def test_retry_after_is_honoured_within_bounds(text: str, seconds: float) -> None:
    """A server may slow its client down, not stop it."""
    assert read_answer(AUTHORIZE, 503, {"Retry-After": text}, b"").retry_after_seconds == seconds


def test_a_log_goes_on_where_it_was_torn(tmp_path: Path) -> None:
    """The torn tail of a killed run goes, whole lines stay, and the next line stands by itself."""
    file = tmp_path / "acknowledgements.jsonl"
    for before, kept in (("", ""), ('{"a":1}\n', '{"a":1}\n'), ('{"a":1}\n{"b"', '{"a":1}\n'), ('{"b"', "")):
        file.write_text(before)
        with AcknowledgementLog(file) as acknowledgement_log:
            acknowledgement_log.append_request(RequestLine(AUTHORIZE, "k", "r", "shop", 1, "EUR"))
        whole, added = file.read_text()[: len(kept)], file.read_text()[len(kept) :]
        assert whole == kept
        assert json.loads(added)["merchant"] == "shop"


def test_a_log_has_one_writer(tmp_path: Path) -> None:
    """Two runs into one file are refused; after the first has ended it is free."""
    file = tmp_path / "acknowledgements.jsonl"
    with (
        AcknowledgementLog(file),
        pytest.raises(AcknowledgementLogUnwritable, match="another load test writes it"),
    ):
        AcknowledgementLog(file)
    AcknowledgementLog(file).close()


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The message names the file and why."""
    with pytest.raises(
        AcknowledgementLogUnwritable,
        match=r"missing/acknowledgements\.jsonl: cannot be written: No such file",
    ):
        AcknowledgementLog(tmp_path / "missing" / "acknowledgements.jsonl")


@pytest.mark.parametrize("read", [read_settings, read_card_testing_settings])
def test_an_old_name_of_a_setting_is_refused_by_its_new_one(read: Callable[..., object]) -> None:
    """Ignored, the answers of a whole run would be missing."""
    with pytest.raises(SettingsInvalid, match="MONEYPATH_ACKNOWLEDGEMENT_LOG_FILE now"):
        read({"MONEYPATH_JOURNAL_FILE": "answers.jsonl"})
