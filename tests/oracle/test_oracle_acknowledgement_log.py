"""The acknowledgement log reader forgives one torn last line and nothing else."""

import json
from pathlib import Path

import pytest

from moneypath.oracle import AcknowledgementLogInvalid, Operation, Outcome, read_acknowledgement_log

ROW: dict[str, object] = {
    "at": 1.5,
    "operation": "authorize",
    "idempotency_key": "k1",
    "merchant_reference": "r1",
    "payment_id": None,
    "amount_minor": 1000,
    "currency": "EUR",
    "status_code": 0,
    "outcome": "unknown",
    "replayed": False,
    "merchant": "shop",
}
REQUEST = {key: ROW[key] for key in ROW if key not in ("payment_id", "status_code", "outcome", "replayed")}
LINE = json.dumps(ROW)


def test_a_whole_log_is_read_in_order(tmp_path: Path) -> None:
    """Every line becomes one answer; the last line break may be missing when the line is whole."""
    file = tmp_path / "acknowledgements.jsonl"
    later = json.dumps(
        {**ROW, "payment_id": "p", "status_code": 201, "outcome": "succeeded", "replayed": True}
    )
    file.write_text(f"{LINE}\n{later}")
    acknowledgement_log = read_acknowledgement_log(file)
    assert acknowledgement_log.torn_line is None
    first, second = acknowledgement_log.acknowledgements
    assert (first.operation, first.outcome, first.payment_id) == (Operation.AUTHORIZE, Outcome.UNKNOWN, None)
    assert (second.payment_id, second.status_code, second.replayed) == ("p", 201, True)


def test_an_empty_log_is_read_and_a_missing_one_is_not(tmp_path: Path) -> None:
    """A client that got no answer wrote nothing; a wrong path is an error."""
    file = tmp_path / "acknowledgements.jsonl"
    with pytest.raises(AcknowledgementLogInvalid, match=r"acknowledgements\.jsonl: cannot be read"):
        read_acknowledgement_log(file)
    file.touch()
    assert read_acknowledgement_log(file).acknowledgements == ()


def test_a_request_is_read_beside_its_answer(tmp_path: Path) -> None:
    """It was written before the request was sent, and counts even if no answer ever came."""
    file = tmp_path / "acknowledgements.jsonl"
    lost = {**REQUEST, "idempotency_key": "k2"}
    file.write_text("".join(f"{json.dumps(one)}\n" for one in (REQUEST, REQUEST, ROW, lost)))
    log = read_acknowledgement_log(file)
    assert [one.idempotency_key for one in log.requests] == ["k1", "k1", "k2"]
    assert [one.merchant for one in log.requests] == ["shop"] * 3
    assert len(log.acknowledgements) == 1
    assert log.count_checkouts() == 2


def test_the_log_of_an_older_client_is_refused(tmp_path: Path) -> None:
    """It does not say as whom the client acted, nor what it sent; the sentence says what to do."""
    file = tmp_path / "acknowledgements.jsonl"
    file.write_text(json.dumps({key: ROW[key] for key in ROW if key != "merchant"}))
    with pytest.raises(AcknowledgementLogInvalid, match=r"an older client wrote this.*run the load again"):
        read_acknowledgement_log(file)


@pytest.mark.parametrize("kept", range(1, len(LINE)))
def test_a_torn_last_line_is_said_wherever_it_broke(tmp_path: Path, kept: int) -> None:
    """A kill in the middle of a write loses that answer and no other."""
    file = tmp_path / "acknowledgements.jsonl"
    file.write_text(f"{LINE}\n{LINE}\n{LINE[:kept]}")
    acknowledgement_log = read_acknowledgement_log(file)
    assert acknowledgement_log.torn_line == 3
    assert len(acknowledgement_log.acknowledgements) == 2


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        (LINE[:40] + "\n", "not JSON"),
        (LINE[:40] + LINE + "\n", "not JSON"),
        ("\n", "not JSON"),
        ("garbage", "not JSON"),
        ("[]\n", "must be a JSON object, not list"),
        (json.dumps({**ROW, "amount_minor": 10.0}), "amount_minor: must be an integer from 0"),
        (json.dumps({**ROW, "amount_minor": True}), "amount_minor: must be an integer from 0"),
        (json.dumps({**ROW, "amount_minor": -1}), "amount_minor: must be an integer from 0"),
        (json.dumps({**ROW, "currency": "eur"}), "currency: must be a currency code"),
        (json.dumps({**ROW, "outcome": "fine"}), "outcome: must be one of succeeded, declined"),
        (json.dumps({**ROW, "operation": "cancel"}), "operation: must be one of authorize, capture, refund"),
        (json.dumps({**ROW, "status_code": 600}), "status_code: must be an integer from 0 to 599"),
        (json.dumps({**ROW, "replayed": 0}), "replayed: must be true or false"),
        (json.dumps({**ROW, "at": "now"}), "at: must be a time in Unix seconds"),
        (json.dumps({**ROW, "payment_id": 7}), "payment_id: must be a text"),
        (json.dumps({**ROW, "note": 1}), "unknown: note; allowed: amount_minor, at"),
        (json.dumps({key: ROW[key] for key in ROW if key != "at"}), "missing: at"),
        (json.dumps({**ROW, "idempotency_key": "k" * 20_000}), "longer than 16384 bytes"),
    ],
)
def test_any_other_garbage_names_file_and_line(tmp_path: Path, second: str, complaint: str) -> None:
    """What no client wrote is an error at its line, even as the last one."""
    file = tmp_path / "acknowledgements.jsonl"
    file.write_text(f"{LINE}\n{second}")
    with pytest.raises(AcknowledgementLogInvalid) as caught:
        read_acknowledgement_log(file)
    assert f"{file}:2: " in str(caught.value)
    assert complaint in str(caught.value)
