"""Read a request: authenticate the sender, check its scopes and idempotency key, and validate the payload."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from moneypath.telemetry import correlation
from refpay.app import errors
from refpay.app.card_data import refuse_card_data
from refpay.app.contract import Auth, AuthenticatedRequest, Endpoint, PayloadT, Waived
from refpay.app.services import Services
from refpay.identity.errors import CredentialRefused
from refpay.identity.principals import Principal, Scope
from refpay.payments.claims import Command, fingerprint

BODY_MAXIMUM_BYTES: Final = 16 * 1024
_KEY: Final = re.compile(r"[!-~]{1,255}")
_TRAFFIC: Final = ("live", "canary", "drill")
_ERRORS_MAXIMUM: Final = 20
# Of an integer. No limit of ours is near, and the conversion stays cheap.
_DIGITS_MAXIMUM: Final = 100
ANONYMOUS: Final = Principal("nobody", frozenset())


def anonymous_request(request: Request, payload: Any) -> AuthenticatedRequest[Any]:
    """Return a request without a principal, for an endpoint that needs no token."""
    command = Command(ANONYMOUS, "", b"", correlation.current() or "", "live")
    return AuthenticatedRequest(command, request.path_params, payload)


async def read_request(
    endpoint: Endpoint[PayloadT], services: Services, request: Request
) -> AuthenticatedRequest[PayloadT]:
    """Read a request as its endpoint declares it.

    The sender is authenticated first, so that validation errors reveal nothing to anybody else.
    """
    principal = authenticate(endpoint, services, request)
    traffic = _read_traffic(request, principal) if endpoint.keyed else "live"
    key = _read_key(request) if endpoint.keyed else ""
    content = parse_body(request, await request.body()) if endpoint.changes_state else _parse_query(request)
    refuse_card_data(content, "body" if endpoint.changes_state else "query", services.id_forms)
    try:
        payload = endpoint.request_model.model_validate(content)
    except ValidationError as problem:
        _refuse(problem, endpoint.request_model)
    digest = fingerprint(request.method, request.scope["path"], content) if endpoint.keyed else b""
    command = Command(principal, key, digest, correlation.current() or "", traffic)
    return AuthenticatedRequest(command, request.path_params, payload)


def authenticate(endpoint: Endpoint[PayloadT], services: Services, request: Request) -> Principal:
    """Return the sender of a request; raises CredentialRefused, ScopeMissing or RateLimited."""
    if endpoint.auth is Auth.NONE:
        return ANONYMOUS
    given = request.headers.getlist("authorization")
    try:
        principal = services.principals.authenticate(given[0] if len(given) == 1 else None)
    except CredentialRefused:
        services.rates.take_unauthenticated()
        raise
    services.rates.take(principal.name)
    if not isinstance(endpoint.scopes, Waived):
        for scope in endpoint.scopes:
            principal.require(scope)
    return principal


def _read_traffic(request: Request, principal: Principal) -> str:
    traffic = request.headers.get("x-traffic", "live")
    if traffic not in _TRAFFIC:
        raise errors.TrafficInvalid(f"The header X-Traffic is not one of: {', '.join(_TRAFFIC)}.")
    if traffic != "live":
        principal.require(Scope.TRAFFIC_CANARY)
    return traffic


def _read_key(request: Request) -> str:
    given = request.headers.getlist("idempotency-key")
    if not given:
        raise errors.IdempotencyKeyMissing(
            "The header Idempotency-Key is missing: make a new key for each new request."
        )
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise errors.IdempotencyKeyInvalid(
            "The header Idempotency-Key has to be there once, with 1 to 255 visible ASCII characters."
        )
    return given[0]


def parse_body(request: Request, raw: bytes) -> dict[str, Any]:
    """Return the JSON object of a body; raises MediaTypeRefused or RequestMalformed."""
    if not raw:
        return {}
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise errors.MediaTypeRefused("The header Content-Type has to be application/json.")
    try:
        content = _DECODE(raw.decode())
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise errors.RequestMalformed("The body has to be one JSON object in UTF-8, with each key once.")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key is repeated")
    return content


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _read_number(text: str) -> int | float:
    """Return an integer however it is written, exactly: JSON Schema's `integer` takes 248.0 and 1e3.

    What has a part is a float, and so is what is far above every limit; no model takes one.
    """
    if len(text) <= _DIGITS_MAXIMUM and text.removeprefix("-").isdigit():
        return int(text)
    try:
        number = Decimal(text)
    except InvalidOperation:
        return float(text)
    if not number:
        return 0
    if number.adjusted() > _DIGITS_MAXIMUM or number != number.to_integral_value():
        return float(text)
    return int(number)


_DECODE: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_float=_read_number,
    parse_int=_read_number,
).decode


def _parse_query(request: Request) -> dict[str, Any]:
    """Return the query. A misspelt or repeated parameter is refused, not ignored."""
    given = request.query_params.multi_items()
    content: dict[str, Any] = dict(given)
    if len(given) > len(content):
        repeated = sorted({name[:64] for name, _ in given if len(request.query_params.getlist(name)) > 1})
        wrong = [{"key": name, "problem": "is repeated, allowed: once"} for name in repeated]
        raise errors.RequestInvalid("A parameter of the query is repeated.", wrong)
    return content


def _refuse(problem: ValidationError, model: type[BaseModel]) -> NoReturn:
    found = problem.errors(include_url=False, include_input=False)[:_ERRORS_MAXIMUM]
    wrong = [_describe(error, model) for error in found]
    detail = "; ".join(f"{one['key']}: {one['problem']}" for one in wrong)
    # The cause would contain the values.
    raise errors.RequestInvalid(detail, wrong) from None


def _describe(error: ErrorDetails, model: type[BaseModel]) -> dict[str, str]:
    key = ".".join(str(part)[:64] for part in error["loc"]) or "body"
    unknown = f"unknown key, allowed: {', '.join(model.model_fields)}"
    problems = {"extra_forbidden": unknown, "missing": "is missing"}
    return {"key": key, "problem": problems.get(error["type"], error["msg"][:200])}
