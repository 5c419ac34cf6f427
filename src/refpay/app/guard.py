"""Limit the size and duration of every request, and answer every exception without a stack trace."""

import asyncio
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moneypath.telemetry.redaction import IdForms
from refpay.app.card_data import refuse_card_data_around
from refpay.app.commands import BODY_MAXIMUM_BYTES
from refpay.app.errors import CardDataRefused, RequestTimedOut, RequestTooLarge
from refpay.app.responses import problem_response, unexpected_failure
from refpay.errors import RefpayError
from refpay.measures import ServiceMetrics

_LOG: Final = structlog.get_logger()
_BODY_SECONDS: Final = 10.0


class Guard:
    """Middleware that reads the whole body first and answers exceptions that nothing else answered.

    Headers and body may have 16 KiB each, and the body has to arrive in time. A card number in the path,
    query or headers is refused here; one in the body is found when the body is parsed.
    """

    def __init__(self, app: ASGIApp, measures: ServiceMetrics, id_forms: IdForms) -> None:
        self._app, self._measures, self._id_forms = app, measures, id_forms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            body = await _read_body(scope, receive)
            if body is not None:
                refuse_card_data_around(scope, self._id_forms)
                await self._app(scope, _replay(body, receive), send_noted)
        except RefpayError as problem:
            if isinstance(problem, CardDataRefused):
                self._measures.count_card_data(problem.place)
            await _closing(problem_response(problem))(scope, receive, send)
        except Exception:  # noqa: BLE001 - the server would answer with less and log with more
            _LOG.exception("request_failed", path=scope["path"][:200])
            if not begun:
                await _closing(unexpected_failure())(scope, receive, send)


async def _read_body(scope: Scope, receive: Receive) -> bytes | None:
    """Return the body, or None if the client disconnected."""
    if sum(len(name) + len(value) for name, value in scope["headers"]) > BODY_MAXIMUM_BYTES:
        raise RequestTooLarge(f"The headers are larger than {BODY_MAXIMUM_BYTES} bytes.")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > BODY_MAXIMUM_BYTES:
                    raise RequestTooLarge(f"The body is larger than {BODY_MAXIMUM_BYTES} bytes.")
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError as problem:
        raise RequestTimedOut(f"The body did not arrive within {_BODY_SECONDS:g} s.") from problem


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _closing(response: Response) -> Response:
    # The rest of the request is not read.
    response.headers["Connection"] = "close"
    return response
