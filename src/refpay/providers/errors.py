"""How a call to a provider fails; the one question is whether it may have had an effect."""

from refpay.errors import RefpayError


class ProviderError(RefpayError):
    """A call without a definitive answer."""

    status = 502


class ProviderRefused(ProviderError):
    """The call had no effect: refused before anything happened, or never sent.

    `again` says whether the same key may be sent again at once.
    """

    code = "provider_failed"
    title = "The provider could not do this; nothing was moved"

    def __init__(self, detail: str, *, again: bool = True) -> None:
        super().__init__(detail)
        self.again = again


class ProviderSilent(ProviderError):
    """The call may or may not have had an effect: sent, and no answer that can be trusted."""

    code = "provider_silent"
    title = "The provider did not answer"


class CircuitOpened(ProviderRefused):
    """Not sent: the provider failed too often just now."""

    code = "provider_circuit_open"
    title = "The provider is failing; nothing was sent"
    status = 503
    retryable = True
    retry_after_seconds = 1

    def __init__(self, provider: str) -> None:
        super().__init__(f"provider is failing, calls are not sent: {provider}")
        self.provider = provider


class NoProviderAvailable(RefpayError):
    """Every provider is drained."""

    code = "no_provider_available"
    title = "No provider takes payments at the moment"
    status = 503
    retryable = True
    retry_after_seconds = 5
