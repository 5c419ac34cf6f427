"""What a caller is told: a payment as JSON, or a problem."""

import json
from collections.abc import Sequence
from typing import Final

from refpay.errors import RefpayError
from refpay.payments.claims import StoredAnswer
from refpay.payments.errors import ProviderDeclined
from refpay.payments.model import Operation, OperationKind, OperationStatus, Payment
from refpay.problems import describe_error
from refpay.providers.errors import ProviderRefused

# Made once: `json.dumps` makes one for every call that is not its usual one.
_ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode
_SUCCESS: Final = {OperationKind.AUTHORIZE: 201, OperationKind.CAPTURE: 200, OperationKind.REFUND: 201}
ACCEPTED: Final = 202


def payment_body(payment: Payment, operations: Sequence[Operation]) -> bytes:
    """Return a payment's JSON."""
    content = {
        "id": str(payment.id),
        "merchant_reference": payment.merchant_reference,
        "status": payment.status,
        "amount_minor": payment.amount_minor,
        "currency": payment.currency,
        "captured_minor": payment.captured_minor,
        "refunded_minor": payment.refunded_minor,
        "provider": payment.provider,
        "created_at": payment.created_at.isoformat(),
        "operations": [
            {
                "id": str(operation.id),
                "kind": operation.kind,
                "status": operation.status,
                "amount_minor": operation.amount_minor,
                "decline_code": operation.decline_code,
            }
            for operation in operations
        ],
    }
    return _ENCODE(content).encode()


def refusal_answer(error: RefpayError, correlation_id: str) -> StoredAnswer:
    """Return the answer that an expected failure gives."""
    return StoredAnswer(error.status, describe_error(error, correlation_id))


def operation_answer(payment: Payment, operation: Operation, operations: Sequence[Operation]) -> StoredAnswer:
    """Return the answer to the request that began the operation; definitive if the operation is final."""
    match operation.status:
        case OperationStatus.STARTED | OperationStatus.INDETERMINATE:
            return StoredAnswer(ACCEPTED, payment_body(payment, operations))
        case OperationStatus.FAILED:
            failed = ProviderRefused(f"{payment.provider} did not {operation.kind} it; nothing was moved")
            return refusal_answer(failed, operation.correlation_id)
        case OperationStatus.DECLINED if operation.kind is not OperationKind.AUTHORIZE:
            declined = ProviderDeclined(
                f"{payment.provider} declined the {operation.kind}; nothing was moved"
            )
            return refusal_answer(declined, operation.correlation_id)
        case _:
            return StoredAnswer(_SUCCESS[operation.kind], payment_body(payment, operations))
