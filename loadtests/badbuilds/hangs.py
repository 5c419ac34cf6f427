"""A bad build of refpay: one request in 200 hangs for five seconds. It is never part of the product."""

import asyncio
from itertools import count
from typing import Any, Final

from loadtests.badbuilds.wiring import intercept, serve

PERIOD: Final = 200
SECONDS: Final = 5.0
REQUESTS: Final = count(1)


async def hang_sometimes(app: Any, scope: Any, receive: Any, send: Any) -> None:
    """Serve a request; one in PERIOD only after SECONDS."""
    if next(REQUESTS) % PERIOD == 0:
        await asyncio.sleep(SECONDS)
    await app(scope, receive, send)


if __name__ == "__main__":
    intercept(hang_sometimes)
    serve()
