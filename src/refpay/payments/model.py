"""A payment, its operations, and how each may end."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from refpay.money import Currency, Money


class PaymentStatus(StrEnum):
    """Where a payment stands; captured and refunded say more in their amounts."""

    AUTHORIZING = "authorizing"
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"
    CAPTURED = "captured"
    REFUNDED = "refunded"


class OperationKind(StrEnum):
    """What is done at a provider."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    REFUND = "refund"


class OperationStatus(StrEnum):
    """STARTED and INDETERMINATE are unresolved; the others are final."""

    STARTED = "started"
    INDETERMINATE = "indeterminate"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Return whether this never changes again."""
        return self in (OperationStatus.SUCCEEDED, OperationStatus.DECLINED, OperationStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Payment:
    """A charge of one merchant; all amounts in minor units of its currency."""

    id: UUID
    merchant: str
    merchant_reference: str
    status: PaymentStatus
    amount_minor: int
    currency: Currency
    card_range: str
    provider: str
    captured_minor: int
    refunded_minor: int
    refund_reserved_minor: int
    created_at: datetime

    @property
    def scheme(self) -> str:
        """Return the card scheme, which the first digit of the card range tells."""
        return "visa" if self.card_range.startswith("4") else "mastercard"

    def money(self, amount_minor: int) -> Money:
        """Return an amount in the payment's currency."""
        return Money(amount_minor, self.currency)


@dataclass(frozen=True, slots=True)
class Operation:
    """One instruction to a provider; `provider_key` identifies it there for ever."""

    id: UUID
    payment_id: UUID
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


@dataclass(frozen=True, slots=True)
class Order:
    """What a merchant wants to charge; the card is a token, and only its range is kept."""

    merchant_reference: str
    money: Money
    card_token: str

    @property
    def card_range(self) -> str:
        """Return the six digits of the issuer's range."""
        return self.card_token.split("_")[1]
