"""A bad build of refpay: every authorization takes a second longer. It is never part of the product."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from loadtests.badbuilds.wiring import replace, serve

from refpay.app import services as root
from refpay.providers.port import Answer, Call, CallKind
from refpay.providers.registry import GuardedProvider

SECONDS: Final = 1.1


class SlowProvider:
    """Waits before each authorization."""

    def __init__(self, provider: GuardedProvider) -> None:
        self._provider = provider
        self.name = provider.name

    def require_closed(self) -> None:
        """Delegate to the provider."""
        self._provider.require_closed()

    async def perform(self, call: Call) -> Answer:
        """Perform a call, authorizations with a delay."""
        if call.kind is CallKind.AUTHORIZE:
            await asyncio.sleep(SECONDS)
        return await self._provider.perform(call)


def slow_down(make: Any) -> Any:
    """Return a `make_resilient` whose providers are slow."""

    def make_slow(*arguments: Any, **options: Any) -> Mapping[str, GuardedProvider]:
        return {name: SlowProvider(each) for name, each in make(*arguments, **options).items()}

    return make_slow


if __name__ == "__main__":
    replace(root, "make_resilient", slow_down)
    serve()
