"""A bad build of refpay: one authorization in 50 fails, and its metrics call every failure a decline.

A decline is the card holder's, so no objective of the service counts it. It is never part of the product.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from loadtests.badbuilds.wiring import replace, serve

from refpay.app import services as root
from refpay.measures import PaymentHandle, ServiceMetrics
from refpay.providers.errors import ProviderRefused
from refpay.providers.port import Answer, Call, CallKind
from refpay.providers.registry import GuardedProvider

PERIOD: Final = 50


class FailingProvider:
    """Fails every authorization whose number is a multiple of `period`, before it is sent."""

    def __init__(self, provider: GuardedProvider, *, period: int = PERIOD) -> None:
        self._provider, self._period = provider, period
        self._seen = 0
        self.name = provider.name

    def require_closed(self) -> None:
        """Delegate to the provider."""
        self._provider.require_closed()

    async def perform(self, call: Call) -> Answer:
        """Perform a call, or fail."""
        if call.kind is CallKind.AUTHORIZE:
            self._seen += 1
            if self._seen % self._period == 0:
                raise ProviderRefused("nothing was sent")
        return await self._provider.perform(call)


class LyingHandle:
    """Records a failure as a decline."""

    def __init__(self, handle: PaymentHandle) -> None:
        self._handle = handle

    def finish(self, outcome: str, provider: str = "none", fee_micro_units: float = 0) -> None:
        """Record how it ended, or so it says."""
        self._handle.finish("declined" if outcome == "failed" else outcome, provider, fee_micro_units)


class LyingMetrics(ServiceMetrics):
    """Counts failures as declines."""

    @contextmanager
    def payment(self, operation: str, traffic: str, *, since: float) -> Iterator[PaymentHandle]:
        """Time one payment operation."""
        with super().payment(operation, traffic, since=since) as handle:
            yield LyingHandle(handle)


def fail(make: Any) -> Any:
    """Return a `make_resilient` whose providers fail."""

    def make_failing(*arguments: Any, **options: Any) -> Mapping[str, GuardedProvider]:
        return {name: FailingProvider(each) for name, each in make(*arguments, **options).items()}

    return make_failing


if __name__ == "__main__":
    replace(root, "make_resilient", fail)
    replace(root, "ServiceMetrics", lambda _: LyingMetrics)
    serve()
