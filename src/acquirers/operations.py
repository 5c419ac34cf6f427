"""The data types that all modules share: an instruction comes in, and the book stores an entry."""

import hashlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from acquirers.errors import InstructionInvalid

_TOKEN: Final = re.compile(r"tok_([0-9]{6})_[0-9a-fA-F]{1,64}")
_LABEL: Final = re.compile(r"[!-~]{1,128}")


class Kind(StrEnum):
    """The kinds of operation in the book. Merchants order the first five, card holders and issuers the
    others.
    """

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    REFUND = "refund"
    VOID = "void"
    PAYOUT = "payout"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSAL = "chargeback_reversal"


class Status(StrEnum):
    """The result of an operation; `declined` and `refused` moved nothing."""

    APPROVED = "approved"
    DECLINED = "declined"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    VOIDED = "voided"
    PAID = "paid"
    CHARGED_BACK = "charged_back"
    REVERSED = "reversed"
    REFUSED = "refused"


class DeclineCode(StrEnum):
    """The issuer's reason to decline."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    DO_NOT_HONOR = "do_not_honor"
    SUSPECTED_FRAUD = "suspected_fraud"
    ISSUER_UNAVAILABLE = "issuer_unavailable"


class Refusal(StrEnum):
    """The acquirer's reason to refuse a capture, a void or a refund; final for its key."""

    UNKNOWN_AUTHORIZATION = "unknown_authorization"
    AUTHORIZATION_NOT_APPROVED = "authorization_not_approved"
    AUTHORIZATION_VOIDED = "authorization_voided"
    AUTHORIZATION_EXPIRED = "authorization_expired"
    EXCEEDS_AUTHORIZATION = "exceeds_authorization"
    NOT_WHAT_IS_LEFT = "not_what_is_left"
    UNKNOWN_CAPTURE = "unknown_capture"
    CAPTURE_NOT_CAPTURED = "capture_not_captured"
    EXCEEDS_CAPTURE = "exceeds_capture"
    CURRENCY_DIFFERS = "currency_differs"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One validated request to move money.

    `parent` is the provider reference of the authorization (for a capture or void) or of the capture (for a
    refund). Only authorizations have a `card_token`, only payouts a `beneficiary`; otherwise they are empty.
    """

    key: str
    kind: Kind
    reference: str
    amount_minor: int
    currency: str
    card_token: str = ""
    parent: str = ""
    beneficiary: str = ""

    def fingerprint(self) -> str:
        """Return a digest of everything but the key. If it is equal, the same request was sent again."""
        money = (self.kind, self.reference, self.amount_minor, self.currency)
        parts = [*money, self.card_token, self.parent, self.beneficiary]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the book; `at` is in Unix seconds, `reason` is a DeclineCode or a Refusal.

    `movement` is 1, or 2 if the acquirer forgot the key and booked the operation again. A chargeback and its
    reversal have the key, the reference and the movement of their capture, which is their `parent`; both have
    the provider reference of the case.
    """

    seq: int
    key: str
    fingerprint: str
    kind: Kind
    reference: str
    amount_minor: int
    currency: str
    card_range: str
    status: Status
    provider_reference: str
    parent: str
    reason: str | None
    at: float
    movement: int
    beneficiary: str = ""


def read_label(name: str, value: object) -> str:
    """Return a key, reference or id: 1 to 128 visible ASCII characters."""
    if not isinstance(value, str) or _LABEL.fullmatch(value) is None:
        raise InstructionInvalid(f"{name}: must be a text of 1 to 128 visible ASCII characters")
    return value


def read_card_token(name: str, value: object) -> str:
    """Return a card token; the error never quotes the value, which might be a card number."""
    if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
        raise InstructionInvalid(f"{name}: must look like tok_<six digits>_<hexadecimal digits>")
    return value


def card_range_of(card_token: str) -> str:
    """Return the card range of a valid card token."""
    return card_token[4:10]
