"""The outcome of a provider call, in the terms of an operation."""

from dataclasses import dataclass

from refpay.errors import InvariantViolation
from refpay.payments.model import OperationStatus
from refpay.providers.port import Answer, DeclineCode, ProviderResult


@dataclass(frozen=True, slots=True)
class ReportedOutcome:
    """The status of an operation as a provider reports it. INDETERMINATE is an outcome like any other.

    An outcome with a `fencing_token` counts only while no other process has taken the operation since:
    "unknown key" proves nothing once another process may have sent the operation again.
    """

    status: OperationStatus
    provider_reference: str | None = None
    decline_code: DeclineCode | None = None
    fencing_token: int | None = None


NOT_DONE = ReportedOutcome(OperationStatus.FAILED)
NOT_KNOWN = ReportedOutcome(OperationStatus.INDETERMINATE)


def interpret(answer: Answer, *, fencing_token: int | None = None) -> ReportedOutcome:
    """Return the outcome that a definitive answer means. Before the deadline "unknown key" means nothing."""
    match answer.result:
        case ProviderResult.DONE:
            if not answer.provider_reference:
                raise InvariantViolation("provider's answer has no reference for what was done")
            return ReportedOutcome(OperationStatus.SUCCEEDED, provider_reference=answer.provider_reference)
        case ProviderResult.DECLINED:
            return ReportedOutcome(
                OperationStatus.DECLINED, decline_code=answer.decline_code or DeclineCode.OTHER
            )
        case ProviderResult.REFUSED:
            return NOT_DONE
        case ProviderResult.UNKNOWN_KEY:
            return ReportedOutcome(OperationStatus.FAILED, fencing_token=fencing_token)
