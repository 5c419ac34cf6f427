"""Run the API with acquirers in its own process that approve at once; all round them is the product's own."""

import sys
from pathlib import Path
from typing import Any

from refpay.providers import registry
from refpay.providers.port import Answer, Call, ProviderResult

sys.path.insert(0, str(Path(__file__).parents[1]))


class Issuer:
    """Approves, as an adapter would tell it."""

    def __init__(self, _session: Any, settings: Any) -> None:
        self.name = settings.name

    async def perform(self, call: Call) -> Answer:
        """Approve."""
        return Answer(ProviderResult.DONE, provider_reference=f"ref-{call.key}")


if __name__ == "__main__":
    from loadtests.badbuilds.wiring import replace, serve

    for adapter in ("NorthAdapter", "SouthAdapter"):
        replace(registry, adapter, lambda _: Issuer)
    serve()
