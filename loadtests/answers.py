"""Interpret an answer of the payment service as its client does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Operation(StrEnum):
    """The operation that is requested."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    REFUND = "refund"


class Outcome(StrEnum):
    """The outcome as the client knows it after an answer. Only the first three are definitive."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


DEFINITIVE = frozenset((Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.FAILED))
RETRIED = frozenset((Outcome.UNKNOWN, Outcome.INDETERMINATE))
_BUSY_CODES = frozenset(("idempotency_in_flight", "operation_in_flight"))
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
    """One answer; `status_code` is 0 if there was none."""

    status_code: int
    outcome: Outcome
    payment_id: str | None
    replayed: bool
    retry_after_seconds: float
    body: bytes
    code: str


NO_ANSWER = Answer(0, Outcome.UNKNOWN, None, False, 0.0, b"", "no_answer")


def read_answer(
    operation: Operation, status_code: int, headers: Mapping[str, str] | None, body: bytes | None
) -> Answer:
    """Interpret an answer; one that cannot be understood has an unknown outcome."""
    if status_code == 0 or headers is None:
        return NO_ANSWER
    content = _parse(body or b"")
    payment_id = content.get("id")
    code = content.get("code")
    known = payment_id if isinstance(payment_id, str) and 1 <= len(payment_id) <= 128 else None
    return Answer(
        status_code=status_code,
        outcome=_classify(operation, status_code, content, known),
        payment_id=known,
        replayed=headers.get("Idempotency-Replayed", "").lower() == "true",
        retry_after_seconds=_read_retry_after(headers.get("Retry-After", "")),
        body=body or b"",
        code=code[:64] if isinstance(code, str) else f"http_{status_code}",
    )


def _classify(
    operation: Operation, status_code: int, content: Mapping[str, object], payment_id: str | None
) -> Outcome:
    if status_code == 202:
        return Outcome.INDETERMINATE
    if status_code in (200, 201):
        return _classify_payment(operation, content) if payment_id else Outcome.UNKNOWN
    code = content.get("code")
    if status_code == 502 and code == "provider_failed":
        return Outcome.FAILED
    if status_code == 402 and code == "provider_declined":
        return Outcome.DECLINED
    # Rate limit, busy or server error: an earlier attempt with this key may have succeeded.
    if status_code == 429 or code in _BUSY_CODES or not 400 <= status_code < 500:
        return Outcome.UNKNOWN
    return Outcome.REJECTED


def _classify_payment(operation: Operation, content: Mapping[str, object]) -> Outcome:
    status = content.get("status")
    if operation is Operation.AUTHORIZE:
        return _PAYMENT_OUTCOMES.get(status, Outcome.INDETERMINATE)
    # A partly refunded payment is still `captured`; the status code tells the outcome.
    return Outcome.SUCCEEDED if status in ("captured", "refunded") else Outcome.UNKNOWN


def _parse(body: bytes) -> Mapping[str, object]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _read_retry_after(text: str) -> float:
    return (
        float(min(int(text), _RETRY_AFTER_MAX_SECONDS))
        if text.isascii() and text.isdigit() and len(text) < 6
        else 0.0
    )
