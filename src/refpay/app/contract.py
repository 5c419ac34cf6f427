"""Declare endpoints. Enforcement, the OpenAPI description and telemetry are all derived from the declaration.

`serving` enforces it, `openapi` describes it, and the telemetry middleware counts by its path.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from refpay.app import errors
from refpay.app.services import Services
from refpay.db.errors import DatabaseUnavailable
from refpay.errors import InvariantViolation, RefpayError
from refpay.identity.errors import CredentialRefused, ScopeMissing, SignatureRefused, SignatureReplayed
from refpay.identity.principals import Scope
from refpay.ids import read_id
from refpay.payments.claims import Command, Reply
from refpay.payments.errors import KeyExpired, KeyReused

PayloadT = TypeVar("PayloadT", bound=BaseModel)
Problem = type[RefpayError]
Problems = tuple[Problem, ...]


class Auth(StrEnum):
    """How a sender is authenticated."""

    BEARER = "bearer"
    SIGNATURE = "signature"
    CLIENT_CREDENTIALS = "client_credentials"
    NONE = "none"


class Idempotency(StrEnum):
    """How a repeated request is recognized, so that it changes nothing."""

    KEY = "key"
    EVENT_ID = "event_id"


@dataclass(frozen=True, slots=True)
class Waived:
    """The reason why an endpoint does without a part of its contract."""

    reason: str


@dataclass(frozen=True, slots=True)
class AuthenticatedRequest(Generic[PayloadT]):
    """A request whose sender may make it, with its body or query validated."""

    command: Command
    path: Mapping[str, str]
    payload: PayloadT

    def id(self, name: str, unknown: Problem) -> UUID:
        """Return an id from the path; raises `unknown` unless it is spelled as we answer it."""
        found = read_id(self.path[name])
        if found is None:
            raise unknown(f"{unknown.title}: an id is a UUID in lower case with hyphens.")
        return found


Handler = Callable[[Services, AuthenticatedRequest[PayloadT]], Awaitable[Reply | Response | bytes]]
Reader = Callable[["Endpoint[Any]", Services, Request], Awaitable[AuthenticatedRequest[Any]]]


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[PayloadT]):
    """One method of one path. It decorates its handler, whose name and docstring go into the description.

    `request_model` is the body of a state change or the query of a read. All `scopes` are needed.
    `responses` maps a status to a model or dataclass, or to None if there is no body. `media_type` is that
    of the request's body. `measured_as` is the payment operation that a refused request is counted as.
    `read` replaces the reading of a bearer's JSON request; an endpoint with another auth model needs one.
    """

    method: str
    path: str
    request_model: type[PayloadT]
    responses: Mapping[int, type[Any] | None]
    _: KW_ONLY
    scopes: tuple[Scope, ...] | Waived
    auth: Auth = Auth.BEARER
    idempotency: Idempotency | Waived = Idempotency.KEY
    audit: tuple[str, ...] | Waived = ()
    problems: Problems = ()
    measured_as: str | None = None
    media_type: str = "application/json"
    read: Reader | None = None

    def __call__(self, handle: Handler[PayloadT]) -> "BoundEndpoint":
        """Bind a handler to this endpoint."""
        return BoundEndpoint(self, handle)

    @property
    def changes_state(self) -> bool:
        """Return whether a request changes anything."""
        return self.method not in ("GET", "HEAD", "OPTIONS")

    @property
    def keyed(self) -> bool:
        """Return whether a request needs an idempotency key."""
        return self.changes_state and self.idempotency is Idempotency.KEY

    def refusals(self) -> Problems:
        """Return every problem that it may answer with: its own and those that its contract implies."""
        return tuple(dict.fromkeys((*_implied(self), *self.problems)))


@dataclass(frozen=True, slots=True)
class BoundEndpoint:
    """An endpoint and its handler."""

    endpoint: Endpoint[Any]
    handle: Handler[Any]


def _implied(endpoint: Endpoint[Any]) -> Iterator[Problem]:
    yield from (errors.RequestTooLarge, errors.RequestTimedOut, RefpayError, InvariantViolation)
    yield from (errors.RequestInvalid, errors.CardDataRefused)
    if endpoint.auth is not Auth.NONE:
        yield from (errors.RateLimited, DatabaseUnavailable)
    if endpoint.auth is Auth.BEARER:
        yield CredentialRefused
    if endpoint.auth is Auth.SIGNATURE:
        yield from (SignatureRefused, SignatureReplayed)
    if endpoint.scopes and not isinstance(endpoint.scopes, Waived):
        yield ScopeMissing
    if endpoint.changes_state and endpoint.auth in (Auth.BEARER, Auth.SIGNATURE):
        yield from (errors.RequestMalformed, errors.MediaTypeRefused)
    if endpoint.keyed:
        yield from (errors.IdempotencyKeyMissing, errors.IdempotencyKeyInvalid, errors.TrafficInvalid)
        yield from (KeyReused, KeyExpired)
