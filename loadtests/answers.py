"""Interpret an answer of the payment service as its client does, by the table in `moneypath.outcomes`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from moneypath.outcomes import DEFINITIVE, Outcome, read_meaning


class Operation(StrEnum):
    """The operation that is requested."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    REFUND = "refund"


_PAYMENT_OUTCOMES: Mapping[object, Outcome] = {
    "authorized": Outcome.SUCCEEDED,
    "captured": Outcome.SUCCEEDED,
    "refunded": Outcome.SUCCEEDED,
    "declined": Outcome.DECLINED,
    "failed": Outcome.FAILED,
}
_RETRY_AFTER_MAX_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `status_code` is 0 if there was none. The request is sent `again` with the same key."""

    status_code: int
    outcome: Outcome
    payment_id: str | None
    replayed: bool
    retry_after_seconds: float
    body: bytes
    code: str
    again: bool


NO_ANSWER = Answer(0, Outcome.UNKNOWN, None, False, 0.0, b"", "no_answer", True)


def read_answer(
    operation: Operation, status_code: int, headers: Mapping[str, str] | None, body: bytes | None
) -> Answer:
    """Interpret an answer; one that cannot be understood has an unknown outcome."""
    if status_code == 0 or headers is None:
        return NO_ANSWER
    parsed = _parse(body or b"")
    content = parsed or {}
    payment_id = content.get("id")
    code = content.get("code")
    known = payment_id if isinstance(payment_id, str) and 1 <= len(payment_id) <= 128 else None
    outcome, again = _classify(operation, status_code, parsed, known)
    return Answer(
        status_code=status_code,
        outcome=outcome,
        payment_id=known,
        replayed=headers.get("Idempotency-Replayed", "").lower() == "true",
        retry_after_seconds=_read_retry_after(headers.get("Retry-After", "")),
        body=body or b"",
        code=code[:64] if isinstance(code, str) else f"http_{status_code}",
        again=again,
    )


def _classify(
    operation: Operation, status_code: int, content: Mapping[str, object] | None, payment_id: str | None
) -> tuple[Outcome, bool]:
    if status_code in (200, 201):
        outcome = _classify_payment(operation, content or {}) if payment_id else Outcome.UNKNOWN
        return outcome, outcome not in DEFINITIVE
    meaning = read_meaning(status_code, content)
    return meaning.outcome, meaning.again


def _classify_payment(operation: Operation, content: Mapping[str, object]) -> Outcome:
    status = content.get("status")
    if operation is Operation.AUTHORIZE:
        return _PAYMENT_OUTCOMES.get(status, Outcome.INDETERMINATE)
    # A partly refunded payment is still `captured`; the status code tells the outcome.
    return Outcome.SUCCEEDED if status in ("captured", "refunded") else Outcome.UNKNOWN


def _parse(body: bytes) -> Mapping[str, object] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _read_retry_after(text: str) -> float:
    return (
        float(min(int(text), _RETRY_AFTER_MAX_SECONDS))
        if text.isascii() and text.isdigit() and len(text) < 6
        else 0.0
    )
