"""A bad build of refpay: it keeps 10 KiB of every request that moves money.

It is never part of the product.
"""

from typing import Any, Final

from loadtests.badbuilds.wiring import intercept, serve

KEPT_BYTES: Final = 10 * 1024
KEPT: Final[list[bytes]] = []


async def keep(app: Any, scope: Any, receive: Any, send: Any) -> None:
    """Serve a request, and keep something of it."""
    KEPT.append(b"x" * KEPT_BYTES)
    await app(scope, receive, send)


if __name__ == "__main__":
    intercept(keep)
    serve()
