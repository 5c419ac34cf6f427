"""A bad build of refpay: one capture in 50 is made and then answered 409. It is never part of the product."""

from itertools import count
from typing import Any, Final

from loadtests.badbuilds.wiring import answer, intercept, serve

PERIOD: Final = 50
BODY: Final = b'{"code": "state_refused", "status": 409, "title": "The payment cannot be captured."}'
CAPTURES: Final = count(1)


async def deny_sometimes(app: Any, scope: Any, receive: Any, send: Any) -> None:
    """Serve a request; after one capture in PERIOD say that it was refused."""
    if not scope["path"].endswith("/capture") or next(CAPTURES) % PERIOD:
        await app(scope, receive, send)
        return

    async def drop(_: Any) -> None:
        """Forget what the service answered."""

    await app(scope, receive, drop)
    await answer(send, 409, BODY)


if __name__ == "__main__":
    intercept(deny_sometimes)
    serve()
