"""Why a payment operation is refused."""

from collections.abc import Awaitable, Callable

from refpay.errors import RefpayError


class PaymentUnknown(RefpayError):
    """There is no such payment, or it is somebody else's."""

    code = "payment_unknown"
    title = "There is no such payment"
    status = 404


class ReferenceInUse(RefpayError):
    """Another live charge has this merchant reference."""

    code = "merchant_reference_in_use"
    title = "The merchant reference belongs to another live charge"
    status = 409


class StateRefused(RefpayError):
    """The payment's state does not allow this."""

    code = "payment_state_refused"
    title = "The payment's state does not allow this"
    status = 409


class AmountExceeded(RefpayError):
    """More than what is left to capture, to refund or to pay out."""

    code = "amount_exceeded"
    title = "The amount is more than what is left"
    status = 409


class OperationInFlight(RefpayError):
    """Another operation on the payment has to end first."""

    code = "operation_in_flight"
    title = "Another operation on this payment has not ended"
    status = 409
    retryable = True
    retry_after_seconds = 1


class KeyReused(RefpayError):
    """The idempotency key was used for another request."""

    code = "idempotency_key_reused"
    title = "The idempotency key belongs to another request"
    status = 409


class KeyInFlight(RefpayError):
    """The first request with this key is still being worked on."""

    code = "idempotency_in_flight"
    title = "The first request with this idempotency key has not ended"
    status = 409
    retryable = True
    retry_after_seconds = 1


class KeyExpired(RefpayError):
    """The idempotency key was answered long ago; what it stood for is not done again."""

    code = "idempotency_key_expired"
    title = "The idempotency key was answered long ago, and its answer is no longer kept"
    status = 410


class ApprovalNeeded(RefpayError):
    """A second person has to approve this first; the same key may succeed afterwards."""

    code = "approval_needed"
    title = "A second person has to approve this"
    status = 403
    retryable = True


class ApprovalUnasked(Exception):
    """A second person is to be asked first, by `ask`, which says so: once the transaction is over.

    One that waited for a connection while it holds another would, with enough of its like, wait for itself.
    """

    def __init__(self, ask: Callable[[], Awaitable[ApprovalNeeded]]) -> None:
        super().__init__()
        self.ask = ask


class EventInvalid(RefpayError):
    """A provider's message that is not of the agreed form."""

    code = "event_invalid"
    title = "The event is not of the agreed form"
    status = 422


class ProviderDeclined(RefpayError):
    """The provider said no to a capture or a refund, for good."""

    code = "provider_declined"
    title = "The provider declined"
    status = 402


class Overloaded(RefpayError):
    """More operations are in flight than are served at once."""

    code = "overloaded"
    title = "Too many operations are in flight"
    status = 429
    retryable = True
    retry_after_seconds = 1
