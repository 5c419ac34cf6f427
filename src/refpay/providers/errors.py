"""Errors of provider calls. They differ in whether the call may have had an effect."""

from refpay.errors import RefpayError


class ProviderError(RefpayError, status=502):
    """A call without a definitive answer."""


class ProviderRefused(ProviderError, code="provider_failed"):
    """The provider could not do this; nothing was moved.

    Refused before anything happened, or never sent; `may_resend`: the same key may be sent again at once.
    """

    def __init__(self, detail: str, *, may_resend: bool = True) -> None:
        super().__init__(detail)
        self.may_resend = may_resend


class ProviderOutcomeUnknown(ProviderError, code="provider_silent"):
    """The provider did not answer."""

    # The call may or may not have had an effect: sent, and no answer that can be trusted.


class CircuitOpened(ProviderRefused, code="provider_circuit_open", status=503, retry_after_seconds=1):
    """The provider is failing; nothing was sent."""

    # Too many of its last calls failed.

    def __init__(self, provider: str) -> None:
        super().__init__(f"provider is failing, calls are not sent: {provider}")
        self.provider = provider


class NoProviderAvailable(RefpayError, code="no_provider_available", status=503, retry_after_seconds=5):
    """No provider takes payments at the moment."""

    # Every provider is drained.
