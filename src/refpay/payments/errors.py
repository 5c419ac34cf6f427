"""The reasons for which a payment operation is refused."""

from collections.abc import Awaitable, Callable

from refpay.errors import RefpayError


class PaymentUnknown(RefpayError, code="payment_unknown", status=404):
    """There is no such payment."""

    # Or it belongs to another merchant.


class ReferenceInUse(RefpayError, code="merchant_reference_in_use", status=409):
    """The merchant reference belongs to another live charge, or to another payout."""


class StateRefused(RefpayError, code="payment_state_refused", status=409):
    """The payment's state does not allow this."""


class AmountExceeded(RefpayError, code="amount_exceeded", status=409):
    """The amount is more than what is left."""

    # More than what is left to capture, to refund or to pay out.


class OperationInFlight(RefpayError, code="operation_in_flight", status=409, retry_after_seconds=1):
    """Another operation on this payment has not ended."""


class KeyReused(RefpayError, code="idempotency_key_reused", status=409):
    """The idempotency key belongs to another request."""


class KeyInFlight(RefpayError, code="idempotency_in_flight", status=409, retry_after_seconds=1):
    """The first request with this idempotency key has not ended."""


class KeyExpired(RefpayError, code="idempotency_key_expired", status=410):
    """The idempotency key was answered long ago, and its answer is no longer kept."""

    # Its operation is not repeated.


class ApprovalNeeded(RefpayError, code="approval_needed", status=403, retryable=True):
    """A second person has to approve this."""

    # The same key may succeed afterwards.


class EventInvalid(RefpayError, code="event_invalid", status=422):
    """The event is not of the agreed form."""


class ApprovalUnasked(Exception):
    """A second person has to be asked first, by calling `ask` once the transaction is over.

    A transaction that waits for a second connection could, with enough of its kind, wait for itself.
    """

    def __init__(self, ask: Callable[[], Awaitable[ApprovalNeeded]]) -> None:
        super().__init__()
        self.ask = ask


class ProviderDeclined(RefpayError, code="provider_declined", status=402):
    """The provider declined."""


class Overloaded(RefpayError, code="overloaded", status=429, retry_after_seconds=1):
    """Too many operations are in flight."""

    # More operations are in flight than are served at once.
