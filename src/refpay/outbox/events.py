"""Define the domain events: versioned, without card data, one per finished operation."""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from refpay.clock import Instant
from refpay.encoding import encode_text

SCHEMA_VERSION: Final = 1
BODY_MAXIMUM_BYTES: Final = 8192


class EventType(StrEnum):
    """How an operation ended. Events of a payout belong to no payment."""

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
    LATE_REFUND_BORNE = "payment.late_refund_borne"
    PAID_OUT = "payout.paid"
    PAYOUT_DECLINED = "payout.declined"
    PAYOUT_FAILED = "payout.failed"


class EventMalformed(ValueError):
    """The bytes are not an event."""


class EventUnknown(ValueError):
    """An event has a schema version or a type that this reader does not know."""


@dataclass(frozen=True, slots=True)
class Event:
    """One finished operation. The amount is that of the operation, in minor units.

    A payout has no payment, so `payment_id` is the id of the payout.
    """

    id: UUID
    type: EventType
    at: Instant
    operation_id: UUID
    payment_id: UUID
    merchant: str
    provider: str
    currency: str
    amount_minor: int

    def encode(self) -> str:
        """Return the JSON that is stored, published and sealed."""
        return encode_text({"schema": SCHEMA_VERSION} | {name: getattr(self, name) for name in _NAMES})


@dataclass(frozen=True, slots=True)
class _Head:
    schema: int
    type: Any = None


_NAMES: Final = tuple(one.name for one in fields(Event))
_HEAD: Final = TypeAdapter(_Head)
_EVENT: Final = TypeAdapter(Event)


def decode(raw: bytes) -> Event:
    """Return the event of a message; raises EventMalformed or EventUnknown.

    Values are not checked here: the database refuses wrong ones.
    """
    if len(raw) > BODY_MAXIMUM_BYTES:
        raise EventMalformed("too large")
    try:
        head = _HEAD.validate_json(raw, strict=True)
        named = isinstance(head.type, str)
        if head.schema != SCHEMA_VERSION or (named and head.type not in set(EventType)):
            raise EventUnknown("schema version or type")
        return _EVENT.validate_json(raw, strict=True)
    except ValidationError as problem:
        raise EventMalformed("no JSON, or a key is missing or of a wrong type") from problem
