"""Run refpay with one part replaced in its composition root, or with something between it and its callers."""

import sys
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any, TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from refpay.app import main as api
from refpay.runtime import run

Between: TypeAlias = Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]]


def replace(module: ModuleType | type, name: str, wrap: Callable[[Any], Any]) -> None:
    """Replace the attribute `name` of `module` by `wrap` of it; raises AttributeError if it does not
    exist.
    """
    setattr(module, name, wrap(getattr(module, name)))


def intercept(between: Between) -> None:
    """Put a function between the API and whoever asks it to move money; other requests pass."""

    def around(create_app: Callable[..., ASGIApp]) -> Callable[..., ASGIApp]:
        def create(*arguments: Any) -> ASGIApp:
            app = create_app(*arguments)

            async def serve_request(scope: Scope, receive: Receive, send: Send) -> None:
                if moves_money(scope):
                    await between(app, scope, receive, send)
                else:
                    await app(scope, receive, send)

            return serve_request

        return create

    replace(api, "create_app", around)


def moves_money(scope: Scope) -> bool:
    """Return whether a request is one of a merchant for a payment."""
    return bool(
        scope["type"] == "http" and scope["method"] == "POST" and scope["path"].startswith("/v1/payments")
    )


async def answer(send: Send, status: int, body: bytes) -> None:
    """Send a problem as the service does."""
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]
    start: Message = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def serve() -> None:
    """Run the API as `python -m refpay.app` does."""
    sys.exit(run(api.main, service="refpay-api"))
