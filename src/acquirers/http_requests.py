"""Helpers of every endpoint: read bodies, check secrets, answer errors."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from aiohttp import web

from acquirers.errors import AcquirerError, InstructionInvalid, Unauthorized

BODY_BYTES_MAX: Final = 16 * 1024
INTEGER_MAX: Final = 2**63 - 1
_BODY_SECONDS: Final = 10.0
_FIELDS_MAX: Final = 20

Value = TypeVar("Value")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Secret:
    """A secret, stored as a digest so that a comparison takes the same time for every candidate."""

    __slots__ = ("_digest",)

    def __init__(self, value: bytes) -> None:
        self._digest = hashlib.sha256(value).digest()

    def matches(self, candidate: str) -> bool:
        """Compare in constant time."""
        digest = hashlib.sha256(candidate.encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(self._digest, digest)

    def require_bearer(self, request: web.Request) -> None:
        """Raise Unauthorized unless the request carries this secret as its bearer token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not self.matches(token) or scheme.lower() != "bearer":
            raise Unauthorized("header Authorization: must be Bearer and the right token")


async def read_json(request: web.Request) -> object:
    """Return the JSON body; raises InstructionInvalid, also for a key given twice."""
    body = await _read(request)
    try:
        return json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise InstructionInvalid("the body: must be JSON") from error


async def read_json_object(request: web.Request) -> Mapping[str, object]:
    """Return the JSON body, which must be an object."""
    value = await read_json(request)
    if not isinstance(value, dict):
        raise InstructionInvalid("the body: must be a JSON object")
    return value


async def read_form(request: web.Request) -> Mapping[str, str]:
    """Return the fields of a form-encoded body; raises InstructionInvalid, also for a field given twice."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise InstructionInvalid("header Content-Type: must be application/x-www-form-urlencoded")
    body = await _read(request)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_FIELDS_MAX,
        )
        return _unique(pairs)
    except ValueError as error:
        raise InstructionInvalid(
            f"the body: must be at most {_FIELDS_MAX} form-encoded fields, each once"
        ) from error


def read_query_integer(request: web.Request, name: str, default: int, lowest: int, highest: int) -> int:
    """Return an integer of the query string; raises InstructionInvalid."""
    text = request.query.get(name, str(default))
    # Check the length first: Python raises another error for thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and lowest <= int(text) <= highest):
        raise InstructionInvalid(f"{name}: must be an integer from {lowest} to {highest}")
    return int(text)


def error_response(error: AcquirerError, reason: str | None = None) -> web.Response:
    """Answer an error; `reason` is a machine-readable code beside the sentence."""
    body = {"error": error.code, "detail": error.detail}
    if reason is not None:
        body["reason"] = reason
    return web.json_response(body, status=error.status)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every expected failure into a JSON answer."""
    try:
        return await handler(request)
    except AcquirerError as error:
        return error_response(error)
    except web.HTTPException as error:
        code = (error.reason or "error").lower().replace(" ", "_")
        return web.json_response({"error": code}, status=error.status)


def _unique(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is given twice")
    return fields


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise InstructionInvalid(f"the body: did not arrive within {_BODY_SECONDS:g} s") from error
