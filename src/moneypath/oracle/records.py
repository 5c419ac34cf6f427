"""The rows of the witnesses, and the discrepancies between them.

Rows are named tuples: an audit makes millions of them, and a frozen dataclass takes eight times as long.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from moneypath.outcomes import Outcome

__all__ = [
    "Acknowledgement",
    "Charge",
    "ChargeStatus",
    "Discrepancy",
    "DiscrepancyKind",
    "Operation",
    "Outcome",
    "PostingLine",
    "ReportTaken",
    "Request",
]


class Operation(StrEnum):
    """The operations in a provider's book. An authorization and a void move no money."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    REFUND = "refund"
    VOID = "void"
    PAYOUT = "payout"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSAL = "chargeback_reversal"

    @property
    def is_posted(self) -> bool:
        """Whether it moves money, so that the ledger has an entry for it."""
        return self is not Operation.AUTHORIZE and self is not Operation.VOID

    @property
    def is_case(self) -> bool:
        """Whether a card holder and the issuer caused it, and no client."""
        return self is Operation.CHARGEBACK or self is Operation.CHARGEBACK_REVERSAL

    @property
    def sign(self) -> int:
        """Return 1 if the provider owes us more afterwards, -1 if it owes us less."""
        return 1 if self is Operation.CAPTURE or self is Operation.CHARGEBACK_REVERSAL else -1


class ChargeStatus(StrEnum):
    """The status of an operation at its provider; `declined` and `refused` moved nothing."""

    APPROVED = "approved"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    VOIDED = "voided"
    PAID = "paid"
    CHARGED_BACK = "charged_back"
    REVERSED = "reversed"
    DECLINED = "declined"
    REFUSED = "refused"


class DiscrepancyKind(StrEnum):
    """The ways in which witnesses can contradict each other or themselves."""

    CAPTURE_WITHOUT_POSTING = "capture_without_posting"
    POSTING_WITHOUT_CAPTURE = "posting_without_capture"
    CHARGEBACK_WITHOUT_POSTING = "chargeback_without_posting"
    POSTING_WITHOUT_CHARGEBACK = "posting_without_chargeback"
    PAYOUT_WITHOUT_POSTING = "payout_without_posting"
    POSTING_WITHOUT_PAYOUT = "posting_without_payout"
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
    AMOUNT_INVALID = "amount_invalid"
    ENTRY_KIND_UNKNOWN = "entry_kind_unknown"
    ENTRY_INCONSISTENT = "entry_inconsistent"
    ACCOUNT_UNEXPECTED = "account_unexpected"
    BENEFICIARY_DIFFERS = "beneficiary_differs"
    PAYMENT_DIFFERS = "payment_differs"
    MOVED_UNASKED = "moved_unasked"
    CAPTURE_EXCEEDS_AUTHORIZATION = "capture_exceeds_authorization"
    REFUND_EXCEEDS_CAPTURE = "refund_exceeds_capture"
    CHARGEBACK_EXCEEDS_CAPTURE = "chargeback_exceeds_capture"
    PAYOUT_EXCEEDS_PAYABLE = "payout_exceeds_payable"
    BOOK_INCONSISTENT = "book_inconsistent"
    FEE_DIFFERS = "fee_differs"
    EXCHANGE_DIFFERS = "exchange_differs"
    ANSWER_WITHOUT_REQUEST = "answer_without_request"


class PostingLine(NamedTuple):
    """One line of one ledger entry; a debit is positive, in minor units.

    A value that the ledger does not have is the empty string, so that an entry without an operation or a
    payment still shows. An entry without lines is one line with an empty account and amount 0. `posted_at` is
    in Unix seconds. `merchant` is whose money the ledger says it is, `report` the number of the settlement
    report that a fee or an exchange comes from. An amount that is no integer counts as 0 and stands in
    `misstated` as the ledger has it.
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
    merchant: str = ""
    report: str = ""
    misstated: str = ""


class Charge(NamedTuple):
    """One operation in a provider's book; `key` is the provider key, `reference` the merchant's.

    `parent` is the provider's reference of the operation before: the authorization of a capture, the capture
    of a refund. A chargeback and its reversal have the key of their capture, and share the
    `provider_reference` of the case. `beneficiary` is whom a payout went to. An amount that is no integer
    counts as 0 and stands in `misstated`.
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
    beneficiary: str = ""
    misstated: str = ""

    @property
    def effective(self) -> bool:
        """Whether the provider carried it out."""
        return self.status is not ChargeStatus.DECLINED and self.status is not ChargeStatus.REFUSED

    @property
    def name(self) -> str:
        """Return the id that both sides use: the provider key, or the id of a chargeback case."""
        return self.provider_reference if self.operation.is_case else self.key


class ReportTaken(NamedTuple):
    """What a settlement report takes, as its provider served it; amounts in minor units by currency.

    `fees` is what the provider keeps, `exchanged` what it owes more or less after its exchanges. `at` is when
    it was served, in Unix seconds. A report may be served again, corrected. One that was cut off is not
    `whole`, and takes nothing.
    """

    provider: str
    sequence: int
    at: float
    fees: tuple[tuple[str, int], ...] = ()
    exchanged: tuple[tuple[str, int], ...] = ()
    whole: bool = True


class Request(NamedTuple):
    """One request as the client recorded it before it was sent; `merchant` is as whom the client acted."""

    at: float
    operation: Operation
    idempotency_key: str
    merchant_reference: str
    merchant: str
    amount_minor: int
    currency: str


class Acknowledgement(NamedTuple):
    """One answer as the client received it; `status_code` is 0 if there was none.

    `merchant` is as whom the client acted, empty if it is not known.
    """

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
    merchant: str = ""


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One contradiction.

    `subject` is the merchant reference if there is one, else the idempotency key, the entry id or the
    currency. `amount_minor` is the amount at stake and never negative: the whole amount if money is missing
    or was moved twice, the difference if two amounts disagree. `at` is when what contradicts happened, in
    Unix seconds; None if it has no time of its own, as a sum has none.
    """

    kind: DiscrepancyKind
    subject: str
    detail: str
    amount_minor: int | None = None
    currency: str | None = None
    at: float | None = field(default=None, compare=False)
