"""What a provider call has shown, in the terms of an operation."""

from dataclasses import dataclass

from refpay.errors import InvariantViolation
from refpay.payments.model import OperationStatus
from refpay.providers.port import Answer, DeclineCode, Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """How an operation stands after a call; INDETERMINATE is a finding like any other.

    One with a `turn` holds only while nobody else has taken the operation since: that a provider does not
    know a key says nothing once somebody may have sent it again.
    """

    status: OperationStatus
    provider_reference: str | None = None
    decline_code: DeclineCode | None = None
    turn: int | None = None


NOT_DONE = Finding(OperationStatus.FAILED)
NOT_KNOWN = Finding(OperationStatus.INDETERMINATE)


def judge(answer: Answer, *, turn: int | None = None) -> Finding:
    """Return what a definitive answer means; that a key is unknown means nothing before the deadline."""
    match answer.verdict:
        case Verdict.DONE:
            if not answer.provider_reference:
                raise InvariantViolation("a provider did something without a reference to it")
            return Finding(OperationStatus.SUCCEEDED, provider_reference=answer.provider_reference)
        case Verdict.DECLINED:
            return Finding(OperationStatus.DECLINED, decline_code=answer.decline_code or DeclineCode.OTHER)
        case Verdict.REFUSED:
            return NOT_DONE
        case Verdict.UNKNOWN_KEY:
            return Finding(OperationStatus.FAILED, turn=turn)
