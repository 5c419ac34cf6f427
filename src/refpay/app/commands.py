"""Reads a request: who asks, may they, under which key, and what."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final, Generic, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from moneypath.telemetry import correlation
from refpay.app.card_data import refuse_card_data
from refpay.app.errors import (
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    MediaTypeRefused,
    RequestInvalid,
    RequestMalformed,
    TrafficInvalid,
)
from refpay.identity.principals import Principal, Principals, Scope
from refpay.payments.claims import Command, fingerprint

BODY_MAXIMUM_BYTES: Final = 16 * 1024
_KEY: Final = re.compile(r"[!-~]{1,255}")
_TRAFFIC: Final = ("live", "canary", "drill")
_ERRORS_MAXIMUM: Final = 20

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Demand(Generic[B]):
    """A state change that somebody entitled asks for, its body validated."""

    command: Command
    body: B


def authenticate(request: Request, principals: Principals, scope: Scope) -> Principal:
    """Return who asks; raises CredentialRefused or ScopeMissing."""
    given = request.headers.getlist("authorization")
    principal = principals.authenticate(given[0] if len(given) == 1 else None)
    principal.require(scope)
    return principal


async def read_demand(request: Request, principals: Principals, scope: Scope, model: type[B]) -> Demand[B]:
    """Read a state change; identity first, so that strangers learn nothing about the rest."""
    principal = authenticate(request, principals, scope)
    traffic = _read_traffic(request, principal)
    key = _read_key(request)
    content = _parse(request, await request.body())
    refuse_card_data(content)
    try:
        body = model.model_validate(content)
    except ValidationError as problem:
        _refuse(problem, model)
    command = Command(
        principal=principal,
        key=key,
        fingerprint=fingerprint(request.method, request.scope["path"], content),
        correlation_id=correlation.current() or "",
        traffic=traffic,
    )
    return Demand(command, body)


def _read_traffic(request: Request, principal: Principal) -> str:
    traffic = request.headers.get("x-traffic", "live")
    if traffic not in _TRAFFIC:
        raise TrafficInvalid(f"header X-Traffic: allowed: {', '.join(_TRAFFIC)}")
    if traffic != "live":
        principal.require(Scope.TRAFFIC_CANARY)
    return traffic


def _read_key(request: Request) -> str:
    given = request.headers.getlist("idempotency-key")
    if not given:
        raise IdempotencyKeyMissing("header Idempotency-Key is missing: mint one for each new request")
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise IdempotencyKeyInvalid(
            "header Idempotency-Key: allowed: once, 1 to 255 visible ASCII characters"
        )
    refuse_card_data(given[0], "header Idempotency-Key")
    return given[0]


def _parse(request: Request, raw: bytes) -> dict[str, Any]:
    if not raw:
        return {}
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise MediaTypeRefused("header Content-Type: allowed: application/json")
    try:
        content = _DECODE(raw.decode())
    except (ValueError, RecursionError) as problem:
        raise RequestMalformed("body: needed: one JSON object in UTF-8, each key once") from problem
    if not isinstance(content, dict):
        raise RequestMalformed("body: needed: one JSON object in UTF-8, each key once")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key is there twice")
    return content


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_DECODE: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant).decode


def _refuse(problem: ValidationError, model: type[BaseModel]) -> NoReturn:
    errors = [
        _describe(error, model)
        for error in problem.errors(include_url=False, include_context=True, include_input=False)[
            :_ERRORS_MAXIMUM
        ]
    ]
    detail = "; ".join(f"{error['key']}: {error['problem']}" for error in errors)
    # The cause would carry the values.
    raise RequestInvalid(detail, errors) from None


def _describe(error: ErrorDetails, model: type[BaseModel]) -> dict[str, str]:
    key = ".".join(str(part)[:64] for part in error["loc"]) or "body"
    if error["type"] == "extra_forbidden":
        return {"key": key, "problem": f"unknown key, allowed: {', '.join(model.model_fields)}"}
    if error["type"] == "missing":
        return {"key": key, "problem": "is missing"}
    return {"key": key, "problem": error["msg"][:200]}
