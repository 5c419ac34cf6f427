"""A bad build of refpay: one request in 100 never closes a connection.

It is never part of the product.
"""

import asyncio
from itertools import count
from typing import Any, Final

from loadtests.badbuilds.wiring import intercept, serve

PERIOD: Final = 100
REQUESTS: Final = count(1)
KEPT: Final[list[Any]] = []


async def keep_connection(app: Any, scope: Any, receive: Any, send: Any) -> None:
    """Serve a request; now and then open a connection, to this very server, and never close it."""
    if next(REQUESTS) % PERIOD == 0:
        KEPT.append(await asyncio.open_connection(*scope["server"]))
    await app(scope, receive, send)


if __name__ == "__main__":
    intercept(keep_connection)
    serve()
