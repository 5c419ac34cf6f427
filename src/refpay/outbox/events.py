"""What is told of a settled operation: versioned, without card data, one event an operation."""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from refpay.encoding import encode_text

SCHEMA_VERSION: Final = 1
BODY_MAXIMUM_BYTES: Final = 8192


class EventType(StrEnum):
    """How an operation ended; those of a payout are about no single payment."""

    AUTHORIZED = "payment.authorized"
    DECLINED = "payment.declined"
    FAILED = "payment.failed"
    CAPTURED = "payment.captured"
    CAPTURE_DECLINED = "payment.capture_declined"
    CAPTURE_FAILED = "payment.capture_failed"
    VOIDED = "payment.voided"
    VOID_DECLINED = "payment.void_declined"
    VOID_FAILED = "payment.void_failed"
    EXPIRED = "payment.expired"
    EXPIRY_DECLINED = "payment.expiry_declined"
    EXPIRY_FAILED = "payment.expiry_failed"
    REFUNDED = "payment.refunded"
    REFUND_DECLINED = "payment.refund_declined"
    REFUND_FAILED = "payment.refund_failed"
    CHARGEBACK_OPENED = "payment.chargeback_opened"
    CHARGEBACK_WON = "payment.chargeback_won"
    LATE_AUTHORIZATION_VOIDED = "payment.late_authorization_voided"
    LATE_AUTHORIZATION_KEPT = "payment.late_authorization_kept"
    LATE_CAPTURE_REFUNDED = "payment.late_capture_refunded"
    LATE_CAPTURE_KEPT = "payment.late_capture_kept"
    PAID_OUT = "payout.paid"
    PAYOUT_DECLINED = "payout.declined"
    PAYOUT_FAILED = "payout.failed"


class EventMalformed(ValueError):
    """The bytes are no event of ours."""


class EventUnknown(ValueError):
    """An event of a schema version or a type that this reader does not know."""


@dataclass(frozen=True, slots=True)
class Event:
    """One settled operation; the amount is the operation's, in minor units.

    A payout stands in the place of the payment that it does not have.
    """

    id: UUID
    type: EventType
    at: datetime
    operation_id: UUID
    payment_id: UUID
    merchant: str
    provider: str
    currency: str
    amount_minor: int

    def encode(self) -> str:
        """Return the JSON that is stored, published and sealed."""
        content = {
            "schema": SCHEMA_VERSION,
            "id": self.id,
            "type": self.type.value,
            "at": self.at,
            "operation_id": self.operation_id,
            "payment_id": self.payment_id,
            "merchant": self.merchant,
            "provider": self.provider,
            "currency": self.currency,
            "amount_minor": self.amount_minor,
        }
        return encode_text(content)


def decode(raw: bytes) -> Event:
    """Return the event of a message; raises EventMalformed or EventUnknown.

    Values are not judged here: the database refuses what may not be.
    """
    if len(raw) > BODY_MAXIMUM_BYTES:
        raise EventMalformed("too large")
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as problem:
        raise EventMalformed("not JSON") from problem
    if not isinstance(content, dict) or type(content.get("schema")) is not int:
        raise EventMalformed("no object with a schema version")
    if content["schema"] != SCHEMA_VERSION:
        raise EventUnknown("schema version")
    try:
        return _read(content)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        if isinstance(problem, EventUnknown):
            raise
        raise EventMalformed("a key is missing or of a wrong type") from problem


def _read(content: dict[str, Any]) -> Event:
    if not isinstance(content["type"], str):
        raise TypeError("type")
    if content["type"] not in set(EventType):
        raise EventUnknown("type")
    at = datetime.fromisoformat(content["at"])
    if at.tzinfo is None:
        raise ValueError("at has no time zone")
    texts = {key: content[key] for key in ("merchant", "provider", "currency")}
    if not all(isinstance(text, str) for text in texts.values()) or type(content["amount_minor"]) is not int:
        raise TypeError("merchant, provider, currency or amount_minor")
    return Event(
        id=UUID(content["id"]),
        type=EventType(content["type"]),
        at=at,
        operation_id=UUID(content["operation_id"]),
        payment_id=UUID(content["payment_id"]),
        amount_minor=content["amount_minor"],
        **texts,
    )
