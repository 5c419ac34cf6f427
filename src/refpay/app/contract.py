"""How an endpoint is declared: once, and enforcement, description and telemetry follow from that.

`serving` enforces what is declared here, `openapi` describes it, and the middleware counts by its paths.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel

from refpay.app.errors import (
    CardDataRefused,
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    MediaTypeRefused,
    RateLimited,
    RequestInvalid,
    RequestMalformed,
    RequestTimedOut,
    RequestTooLarge,
    TrafficInvalid,
)
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


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[G]):
    """One method of one path; its handler's name and docstring are its own.

    `takes` is the body of a state change and the query of a reading. `scopes` are all needed. `answers` are
    models by status, None where there is no body. `media_type` is that of the request's body. `measured_as`
    is the payment operation that a refused request counts as.
    """

    method: str
    path: str
    takes: type[G]
    answers: Mapping[int, type[BaseModel] | None]
    _: KW_ONLY
    scopes: tuple[Scope, ...] | Waived
    auth: Auth = Auth.BEARER
    idempotency: Idempotency | Waived = Idempotency.KEY
    audit: tuple[str, ...] | Waived = ()
    problems: Problems = ()
    measured_as: str | None = None
    media_type: str = "application/json"

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

    def lacks(self) -> list[str]:
        """Return which parts of the contract of a state change are not declared."""
        if not self.changes_state:
            return []
        parts = {
            "auth": self.auth is not Auth.NONE,
            "scopes": _is_said(self.scopes),
            "idempotency": isinstance(self.idempotency, Idempotency) or _is_said(self.idempotency),
            "audit": _is_said(self.audit),
            "answers": bool(self.answers),
            "version": self.path.startswith("/v1/"),
        }
        return [part for part, said in parts.items() if not said]


Handler = Callable[[Services, Demand[G]], Awaitable[Reply | Response | bytes]]
Reader = Callable[[Endpoint[Any], Services, Request], Awaitable[Demand[Any]]]


@dataclass(frozen=True, slots=True)
class Served:
    """An endpoint, what answers it, and what reads its requests if that is not a bearer's JSON."""

    endpoint: Endpoint[Any]
    handle: Handler[Any]
    read: Reader | None = None


class Routes:
    """Collects the endpoints of one module."""

    def __init__(self) -> None:
        self.served: list[Served] = []

    def serve(
        self, endpoint: Endpoint[G], *, read: Reader | None = None
    ) -> Callable[[Handler[G]], Handler[G]]:
        """Have a function answer an endpoint; one with another auth model than bearer brings its reader."""

        def add(handle: Handler[G]) -> Handler[G]:
            self.served.append(Served(endpoint, handle, read))
            return handle

        return add


def _is_said(part: tuple[object, ...] | Waived | None) -> bool:
    return bool(part.reason.strip() if isinstance(part, Waived) else part)


def _implied(endpoint: Endpoint[Any]) -> Iterator[Problem]:
    yield from (RequestTooLarge, RequestTimedOut, RefpayError, InvariantViolation)
    yield from (RequestInvalid, CardDataRefused)
    if endpoint.auth is not Auth.NONE:
        yield from (RateLimited, DatabaseUnavailable)
    if endpoint.auth is Auth.BEARER:
        yield CredentialRefused
    if endpoint.auth is Auth.SIGNATURE:
        yield from (SignatureRefused, SignatureReplayed)
    if endpoint.scopes and not isinstance(endpoint.scopes, Waived):
        yield ScopeMissing
    if endpoint.changes_state and endpoint.auth in (Auth.BEARER, Auth.SIGNATURE):
        yield from (RequestMalformed, MediaTypeRefused)
    if endpoint.keyed:
        yield from (IdempotencyKeyMissing, IdempotencyKeyInvalid, KeyReused, KeyExpired, TrafficInvalid)
