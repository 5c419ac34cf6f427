"""How an endpoint is declared: once, and enforcement, description and telemetry follow from that.

`serving` enforces what is declared here, `openapi` describes it, and the middleware counts by its paths.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel

from refpay.app.errors import (
    CardDataRefused,
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    MediaTypeRefused,
    RequestInvalid,
    RequestMalformed,
    RequestTimedOut,
    RequestTooLarge,
    TrafficInvalid,
)
from refpay.app.services import Services
from refpay.db.errors import DatabaseUnavailable
from refpay.errors import InvariantViolation, RefpayError
from refpay.identity.errors import CredentialRefused, ScopeMissing
from refpay.identity.principals import Principal, Scope
from refpay.payments.claims import Command, Reply
from refpay.payments.errors import KeyReused

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
    """A state change that somebody entitled asks for, its body validated."""

    command: Command
    path: Mapping[str, str]
    body: G


@dataclass(frozen=True, slots=True)
class Question(Generic[G]):
    """What somebody entitled wants to read, its query validated."""

    principal: Principal
    path: Mapping[str, str]
    query: G


Changing = Callable[[Services, Demand[G]], Awaitable[Reply]]
Reading = Callable[[Services, Question[G]], Awaitable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path. `scopes` are all needed; `answers` are models by status, None without a body.

    `measured_as` is the payment operation that a refused request counts as.
    """

    method: str
    path: str
    name: str
    text: str
    auth: Auth
    scopes: tuple[Scope, ...] | Waived
    idempotency: Idempotency | Waived
    audit: tuple[str, ...] | Waived
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    answers: Mapping[int, type[BaseModel] | None]
    problems: Problems
    measured_as: str | None
    handle: Callable[[Services, Any], Awaitable[Reply | bytes]]

    @property
    def changes_state(self) -> bool:
        """Return whether more than reading is done."""
        return self.method not in ("GET", "HEAD", "OPTIONS")

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
            "body": self.body is not None,
            "answers": bool(self.answers),
            "version": self.path.startswith("/v1/"),
        }
        return [part for part, said in parts.items() if not said]


def _is_said(part: tuple[object, ...] | Waived | None) -> bool:
    return bool(part.reason.strip() if isinstance(part, Waived) else part)


_ALWAYS: Final[Problems] = (RequestTooLarge, RequestTimedOut, RefpayError, InvariantViolation)


def _implied(endpoint: Endpoint) -> Iterator[Problem]:
    yield from _ALWAYS
    if endpoint.auth is not Auth.NONE:
        yield from (CredentialRefused, DatabaseUnavailable)
    if endpoint.scopes and not isinstance(endpoint.scopes, Waived):
        yield ScopeMissing
    if endpoint.body is not None:
        yield from (RequestMalformed, MediaTypeRefused, RequestInvalid, CardDataRefused)
    if endpoint.idempotency is Idempotency.KEY:
        yield from (IdempotencyKeyMissing, IdempotencyKeyInvalid, KeyReused, TrafficInvalid)
    if endpoint.query is not None:
        yield from (RequestInvalid, CardDataRefused)


class Routes:
    """Collects the declarations of one module."""

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []

    def change(
        self,
        path: str,
        *,
        scopes: tuple[Scope, ...] | Waived,
        audit: tuple[str, ...] | Waived,
        body: type[G],
        answers: Mapping[int, type[BaseModel] | None],
        problems: Problems = (),
        auth: Auth = Auth.BEARER,
        idempotency: Idempotency | Waived = Idempotency.KEY,
        measured_as: str | None = None,
    ) -> Callable[[Changing[G]], Changing[G]]:
        """Declare a POST that changes state; its docstring is its description."""

        def add(handle: Changing[G]) -> Changing[G]:
            self.endpoints.append(
                Endpoint(
                    method="POST",
                    path=path,
                    name=handle.__name__,
                    text=handle.__doc__ or "",
                    auth=auth,
                    scopes=scopes,
                    idempotency=idempotency,
                    audit=audit,
                    body=body,
                    query=None,
                    answers=answers,
                    problems=problems,
                    measured_as=measured_as,
                    handle=handle,
                )
            )
            return handle

        return add

    def read(
        self,
        path: str,
        answer: type[BaseModel],
        query: type[G],
        *,
        scopes: tuple[Scope, ...] | Waived,
        problems: Problems = (),
        auth: Auth = Auth.BEARER,
    ) -> Callable[[Reading[G]], Reading[G]]:
        """Declare a GET; its docstring is its description."""

        def add(handle: Reading[G]) -> Reading[G]:
            self.endpoints.append(
                Endpoint(
                    method="GET",
                    path=path,
                    name=handle.__name__,
                    text=handle.__doc__ or "",
                    auth=auth,
                    scopes=scopes,
                    idempotency=_SAFE,
                    audit=_SAFE,
                    body=None,
                    query=query,
                    answers={200: answer},
                    problems=problems,
                    measured_as=None,
                    handle=handle,
                )
            )
            return handle

        return add


_SAFE: Final = Waived("it changes nothing")
