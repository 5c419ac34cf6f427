"""How an endpoint is declared: once, and enforcement, description and telemetry follow from that.

`serving` enforces what is declared here, `openapi` describes it, and the middleware counts by its paths.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel

from refpay.app import errors
from refpay.app.services import Services
from refpay.db.errors import DatabaseUnavailable
from refpay.errors import InvariantViolation, RefpayError
from refpay.identity.errors import CredentialRefused, ScopeMissing, SignatureRefused, SignatureReplayed
from refpay.identity.principals import Scope
from refpay.payments.claims import Command, Reply
from refpay.payments.errors import KeyExpired, KeyReused

G = TypeVar("G", bound=BaseModel)
Problem = type[RefpayError]
Problems = tuple[Problem, ...]


class Auth(StrEnum):
    """How a caller shows who it is."""

    BEARER = "bearer"
    SIGNATURE = "signature"
    CLIENT_CREDENTIALS = "client_credentials"
    NONE = "none"


class Idempotency(StrEnum):
    """What makes the same request, sent again, change nothing."""

    KEY = "key"
    EVENT_ID = "event_id"


@dataclass(frozen=True, slots=True)
class Waived:
    """Says why an endpoint does without a part of its contract."""

    reason: str


@dataclass(frozen=True, slots=True)
class Demand(Generic[G]):
    """What somebody entitled asks for, its body or query validated."""

    command: Command
    path: Mapping[str, str]
    given: G

    def id(self, name: str, unknown: Problem) -> UUID:
        """Return the id that stands in the path; what is no UUID is the id of nothing."""
        try:
            return UUID(self.path[name])
        except ValueError as problem:
            raise unknown(f"{unknown.title}: the id is not a UUID") from problem


Handler = Callable[[Services, Demand[G]], Awaitable[Reply | Response | bytes]]
Reader = Callable[["Endpoint[Any]", Services, Request], Awaitable[Demand[Any]]]


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[G]):
    """One method of one path; it decorates its handler, whose name and docstring are its own.

    `takes` is the body of a state change and the query of a reading. `scopes` are all needed. `answers` are
    models or dataclasses by status, None where there is no body. `media_type` is that of the request's body.
    `measured_as` is the payment operation that a refused request counts as. `read` reads its requests if they
    are not a bearer's JSON: one with another auth model brings its own.
    """

    method: str
    path: str
    takes: type[G]
    answers: Mapping[int, type[Any] | None]
    _: KW_ONLY
    scopes: tuple[Scope, ...] | Waived
    auth: Auth = Auth.BEARER
    idempotency: Idempotency | Waived = Idempotency.KEY
    audit: tuple[str, ...] | Waived = ()
    problems: Problems = ()
    measured_as: str | None = None
    media_type: str = "application/json"
    read: Reader | None = None

    def __call__(self, handle: Handler[G]) -> "Served":
        """Have a function answer it."""
        return Served(self, handle)

    @property
    def changes_state(self) -> bool:
        """Return whether more than reading is done."""
        return self.method not in ("GET", "HEAD", "OPTIONS")

    @property
    def keyed(self) -> bool:
        """Return whether a request needs an idempotency key."""
        return self.changes_state and self.idempotency is Idempotency.KEY

    def refusals(self) -> Problems:
        """Return every problem that it may answer: those of its own and those that its contract implies."""
        return tuple(dict.fromkeys((*_implied(self), *self.problems)))


@dataclass(frozen=True, slots=True)
class Served:
    """An endpoint, and what answers it."""

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
