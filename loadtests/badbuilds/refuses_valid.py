"""A bad build of refpay: it refuses 5 % of valid requests with 422, before anything counts them.

It is never part of the product.
"""

from itertools import count
from typing import Any, Final

from loadtests.badbuilds.wiring import answer, intercept, serve

PERIOD: Final = 20
BODY: Final = b'{"code": "request_invalid", "status": 422, "title": "The request is not valid."}'
REQUESTS: Final = count(1)


async def refuse_sometimes(app: Any, scope: Any, receive: Any, send: Any) -> None:
    """Serve a request, or refuse one in PERIOD."""
    if next(REQUESTS) % PERIOD == 0:
        await answer(send, 422, BODY)
    else:
        await app(scope, receive, send)


if __name__ == "__main__":
    intercept(refuse_sometimes)
    serve()
