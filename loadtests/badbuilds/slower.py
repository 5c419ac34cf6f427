"""A bad build of refpay: every request that moves money takes a tenth longer.

It shows in a comparison with a baseline alone. It is never part of the product.
"""

import asyncio
import time
from typing import Any, Final

from loadtests.badbuilds.wiring import intercept, serve

LONGER: Final = 0.10


async def answer_later(app: Any, scope: Any, receive: Any, send: Any) -> None:
    """Serve a request, and hold its answer back for a tenth of the time that it took."""
    since = time.perf_counter()

    async def send_later(message: Any) -> None:
        if message["type"] == "http.response.start":
            await asyncio.sleep(LONGER * (time.perf_counter() - since))
        await send(message)

    await app(scope, receive, send_later)


if __name__ == "__main__":
    intercept(answer_later)
    serve()
