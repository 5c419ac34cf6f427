"""Build the answers that callers get: a payment as JSON, or a problem."""

from collections.abc import Sequence
from typing import Final

from refpay.encoding import encode
from refpay.errors import RefpayError
from refpay.payments.claims import StoredAnswer
from refpay.payments.errors import ProviderDeclined
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment, Subject
from refpay.problems import describe_error
from refpay.providers.errors import ProviderRefused

# The other kinds change something that exists.
_CREATES: Final = (OperationKind.AUTHORIZE, OperationKind.REFUND, OperationKind.PAYOUT)
ACCEPTED: Final = 202


def describe_payment(payment: Payment) -> dict[str, object]:
    """Return the JSON fields of a payment, without its operations."""
    return {
        **_head(payment, payment.status),
        "captured_minor": payment.captured_minor,
        "refunded_minor": payment.refunded_minor,
        "released_minor": payment.released_minor,
        "charged_back_minor": payment.charged_back_minor,
    }


def subject_body(subject: Subject, operations: Sequence[Operation]) -> bytes:
    """Return the JSON of a payment, or of a payout with the status of its one operation."""
    if isinstance(subject, Payment):
        content = describe_payment(subject)
        content["operations"] = [_describe(operation) for operation in operations]
    else:
        content = _head(subject, operations[-1].status)
    return encode(content)


def _head(subject: Subject, status: str) -> dict[str, object]:
    return {
        "id": str(subject.id),
        "merchant_reference": subject.merchant_reference,
        "status": status,
        "amount_minor": subject.amount_minor,
        "currency": subject.currency,
        "provider": subject.provider,
        "created_at": subject.created_at.isoformat(),
    }


def _describe(operation: Operation) -> dict[str, object]:
    return {
        "id": str(operation.id),
        "kind": operation.kind,
        "status": operation.status,
        "amount_minor": operation.amount_minor,
        "decline_code": operation.decline_code,
    }


def refusal_answer(error: RefpayError, correlation_id: str) -> StoredAnswer:
    """Return the answer for an expected failure."""
    return StoredAnswer(error.status, describe_error(error, correlation_id))


def operation_answer(subject: Subject, operation: Operation, operations: Sequence[Operation]) -> StoredAnswer:
    """Return the answer to the request that initiated the operation.

    It is definitive if the operation is final.
    """
    match operation.status:
        case OperationStatus.STARTED | OperationStatus.INDETERMINATE:
            return StoredAnswer(ACCEPTED, subject_body(subject, operations))
        case OperationStatus.FAILED:
            failed = ProviderRefused(f"{subject.provider} did not {operation.kind} it; nothing was moved")
            return refusal_answer(failed, operation.correlation_id)
        case OperationStatus.DECLINED if operation.kind is not OperationKind.AUTHORIZE:
            declined = ProviderDeclined(
                f"{subject.provider} declined the {operation.kind}; nothing was moved"
            )
            return refusal_answer(declined, operation.correlation_id)
        case _:
            created = operation.kind in _CREATES
            return StoredAnswer(201 if created else 200, subject_body(subject, operations))
