"""A bad build of refpay: one authorization in 500 of a provider is never resolved.

Its answer is lost, what the provider says later is not applied, and the worker takes it up in ten years. It
is never part of the product.
"""

from collections.abc import Mapping
from dataclasses import replace as changed
from datetime import timedelta
from typing import Any, Final

from loadtests.badbuilds.wiring import replace, serve

from refpay.app import services as root
from refpay.payments.intents import Deadlines
from refpay.payments.webhooks import ProviderEvent, Webhooks
from refpay.providers.errors import ProviderOutcomeUnknown
from refpay.providers.port import Answer, Call, CallKind
from refpay.providers.registry import GuardedProvider

PERIOD: Final = 500
NEVER: Final = timedelta(days=3650)


class LosingProvider:
    """Loses the answer to every authorization whose number is a multiple of `period`."""

    def __init__(self, provider: GuardedProvider, *, period: int = PERIOD) -> None:
        self._provider, self._period = provider, period
        self._seen = 0
        self.name = provider.name

    def require_closed(self) -> None:
        """Delegate to the provider."""
        self._provider.require_closed()

    async def perform(self, call: Call) -> Answer:
        """Perform a call, and lose its answer now and then."""
        answer = await self._provider.perform(call)
        if call.kind is CallKind.AUTHORIZE:
            self._seen += 1
            if self._seen % self._period == 0:
                raise ProviderOutcomeUnknown("the answer is lost")
        return answer


class DeafWebhooks(Webhooks):
    """Believes nothing that a provider says of an authorization."""

    async def apply(self, provider: str, event: ProviderEvent) -> None:
        """Apply everything else."""
        if event.call is not CallKind.AUTHORIZE:
            await super().apply(provider, event)


def lose(make: Any) -> Any:
    """Return a `make_resilient` whose providers lose answers."""

    def make_losing(*arguments: Any, **options: Any) -> Mapping[str, GuardedProvider]:
        return {name: LosingProvider(each) for name, each in make(*arguments, **options).items()}

    return make_losing


def put_off(make: Any) -> Any:
    """Return a `make_deadlines` after which nothing is queried for ten years."""

    def make_late(settings: Any) -> Mapping[str, Deadlines]:
        return {name: changed(each, settle_after=NEVER) for name, each in make(settings).items()}

    return make_late


if __name__ == "__main__":
    replace(root, "make_resilient", lose)
    replace(root, "make_deadlines", put_off)
    replace(root, "Webhooks", lambda _: DeafWebhooks)
    serve()
