"""Payments, payouts and their operations as values."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from refpay.money import Currency, Money


class PaymentStatus(StrEnum):
    """The status of a payment. Its amounts say how much of it was captured, refunded or released."""

    AUTHORIZING = "authorizing"
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    VOIDED = "voided"
    EXPIRED = "expired"
    CHARGED_BACK = "charged_back"


class OperationKind(StrEnum):
    """The kind of an operation. `lifecycle.LIFE_CYCLE` says who initiates it, when, and with what effect."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    EXPIRY = "expiry"
    REFUND = "refund"
    PAYOUT = "payout"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSAL = "chargeback_reversal"
    UNDO_AUTHORIZE = "undo_authorize"
    UNDO_CAPTURE = "undo_capture"
    SUSPENSE_RELEASE = "suspense_release"


class OperationStatus(StrEnum):
    """The status of an operation. STARTED and INDETERMINATE are unresolved, the others are final."""

    STARTED = "started"
    INDETERMINATE = "indeterminate"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Return whether the status never changes again."""
        return self in (OperationStatus.SUCCEEDED, OperationStatus.DECLINED, OperationStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Payment:
    """A charge of one merchant. All amounts are minor units of its currency."""

    id: UUID
    merchant: str
    merchant_reference: str
    status: PaymentStatus
    amount_minor: int
    currency: Currency
    card_range: str
    provider: str
    created_at: datetime
    captured_minor: int = 0
    refunded_minor: int = 0
    # Of unresolved operations: not available until they have failed.
    capture_reserved_minor: int = 0
    refund_reserved_minor: int = 0
    # The part of the hold that a void or an expiry released, or that a late capture took.
    released_minor: int = 0
    charged_back_minor: int = 0

    @property
    def scheme(self) -> str:
        """Return the card scheme, derived from the first digit of the card range."""
        return "visa" if self.card_range.startswith("4") else "mastercard"

    @property
    def held_minor(self) -> int:
        """Return what is left to capture or to release."""
        return self.amount_minor - self.captured_minor - self.capture_reserved_minor - self.released_minor

    @property
    def refundable_minor(self) -> int:
        """Return what is left to refund. It is below 0 when a chargeback took what had been refunded."""
        return (
            self.captured_minor - self.refunded_minor - self.refund_reserved_minor - self.charged_back_minor
        )


@dataclass(frozen=True, slots=True)
class Payout:
    """A transfer to a merchant. It has the id of its one operation, whose status is the payout's status."""

    id: UUID
    merchant: str
    merchant_reference: str
    amount_minor: int
    currency: Currency
    provider: str
    created_at: datetime


Subject = Payment | Payout


@dataclass(frozen=True, slots=True)
class Operation:
    """One movement of money at a provider. `provider_key` identifies it there and never changes.

    `parent_id` is the operation that it builds on or takes back, `parent_reference` the provider's reference
    of that one. The process that works on it holds it until `lease_until`; `query_attempts` grows with each
    process that takes it.
    """

    id: UUID
    payment_id: UUID | None
    kind: OperationKind
    status: OperationStatus
    amount_minor: int
    provider_key: UUID
    provider_reference: str | None
    decline_code: str | None
    principal: str
    idempotency_key: str
    correlation_id: str
    created_at: datetime
    call_deadline: datetime
    settle_after: datetime
    next_query_at: datetime
    query_attempts: int
    lease_until: datetime
    parent_id: UUID | None = None
    parent_reference: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A charge that a merchant asks for. The card is a token, and only its range is stored."""

    merchant_reference: str
    money: Money
    card_token: str

    @property
    def card_range(self) -> str:
        """Return the first six digits of the card number: the issuer's range."""
        return self.card_token.split("_")[1]


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """A payout that a merchant asks for, out of what it is owed."""

    merchant_reference: str
    money: Money
