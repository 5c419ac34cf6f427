"""What the three witnesses say, one value a row, and what the oracle answers."""

from dataclasses import dataclass
from enum import StrEnum


class Operation(StrEnum):
    """What moves a card holder's money."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    REFUND = "refund"


class Outcome(StrEnum):
    """What the client was told. Only the first three are promises, the others assert nothing."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class ChargeStatus(StrEnum):
    """What became of an operation at its provider; `declined` and `refused` moved nothing."""

    APPROVED = "approved"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    DECLINED = "declined"
    REFUSED = "refused"


class DiscrepancyKind(StrEnum):
    """Every way in which the witnesses can contradict each other or themselves."""

    CAPTURE_WITHOUT_POSTING = "capture_without_posting"
    POSTING_WITHOUT_CAPTURE = "posting_without_capture"
    POSTED_TWICE = "posted_twice"
    AMOUNT_DIFFERS = "amount_differs"
    CURRENCY_DIFFERS = "currency_differs"
    ENTRY_UNBALANCED = "entry_unbalanced"
    CURRENCY_UNBALANCED = "currency_unbalanced"
    ACKNOWLEDGED_LOST = "acknowledged_lost"
    REFUSED_BUT_CHARGED = "refused_but_charged"
    REPLAY_DIFFERS = "replay_differs"
    KEY_CHARGED_TWICE = "key_charged_twice"
    REFERENCE_CHARGED_TWICE = "reference_charged_twice"
    REFERENCE_AUTHORIZED_TWICE = "reference_authorized_twice"


@dataclass(frozen=True, slots=True)
class PostingLine:
    """One line of one ledger entry; debit positive, minor units.

    What the ledger does not know is the empty string: an entry whose operation or payment is missing
    still shows, and an entry without lines shows as one line with an empty account and amount 0.
    `posted_at` is Unix seconds.
    """

    entry_id: str
    entry_kind: str
    operation_id: str
    provider: str
    provider_key: str
    payment_id: str
    merchant_reference: str
    idempotency_key: str
    account: str
    currency: str
    amount_minor: int
    posted_at: float


@dataclass(frozen=True, slots=True)
class Charge:
    """One operation in a provider's book; `key` is the provider key, `reference` the merchant's.

    `parent` is the provider's reference of what it follows: a capture's authorization, a refund's capture.
    """

    provider: str
    seq: int
    key: str
    operation: Operation
    reference: str
    amount_minor: int
    currency: str
    card_range: str
    status: ChargeStatus
    provider_reference: str
    at: float
    parent: str = ""

    @property
    def effective(self) -> bool:
        """Whether it moved or holds the card holder's money."""
        return self.status not in (ChargeStatus.DECLINED, ChargeStatus.REFUSED)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """One answer as the client saw it; `status_code` 0 means that there was none."""

    at: float
    operation: Operation
    idempotency_key: str
    merchant_reference: str
    payment_id: str | None
    amount_minor: int
    currency: str
    status_code: int
    outcome: Outcome
    replayed: bool


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One contradiction.

    `subject` is the merchant reference where there is one, else the idempotency key, the entry id or
    the currency. `amount_minor` is what is at stake, never negative: the whole amount where money is
    missing or moved twice, the difference where two amounts disagree.
    """

    kind: DiscrepancyKind
    subject: str
    detail: str
    amount_minor: int | None = None
    currency: str | None = None
