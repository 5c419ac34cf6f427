"""Turn replies and errors into HTTP responses."""

from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from moneypath.telemetry import correlation
from refpay.app.errors import CardDataRefused, MethodRefused, RequestRefused, RouteUnknown
from refpay.errors import InvariantViolation, RefpayError
from refpay.identity.errors import ClientRefused, CredentialRefused
from refpay.measures import ServiceMetrics
from refpay.payments.claims import Reply
from refpay.problems import PROBLEM_MEDIA_TYPE, describe_error

_LOG: Final = structlog.get_logger()
_JSON: Final = "application/json"
_ROUTER_PROBLEMS: Final[dict[int, type[RefpayError]]] = {404: RouteUnknown, 405: MethodRefused}
_CHALLENGES: Final = {CredentialRefused: "Bearer", ClientRefused: 'Basic realm="refpay"'}


def make_response(answer: Reply | Response | bytes) -> Response:
    """Return an answer's bytes unchanged. A replayed answer has a header that says so."""
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, bytes):
        return Response(answer, media_type=_JSON)
    said, headers = answer.answer, {"Idempotency-Replayed": "true"} if answer.replayed else None
    return Response(said.body, said.status, headers, PROBLEM_MEDIA_TYPE if said.status >= 400 else _JSON)


def problem_response(problem: RefpayError, /, **more: str) -> Response:
    """Return an expected error as problem+json, with further members from `more`."""
    body = describe_error(problem, correlation.current() or "", **more)
    response = Response(body, problem.status, media_type=PROBLEM_MEDIA_TYPE)
    if problem.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(problem.retry_after_seconds)
    if challenge := _CHALLENGES.get(type(problem)):
        response.headers["WWW-Authenticate"] = challenge
    return response


def unexpected_failure() -> Response:
    """Return a generic 500 that reveals nothing."""
    return problem_response(RefpayError("An unexpected error; it is logged under the correlation id."))


def install_error_handlers(app: Starlette, measures: ServiceMetrics) -> None:
    """Make an app answer expected errors, and those of its router, as problem+json."""

    async def answer_expected(_request: Request, problem: Exception) -> Response:
        assert isinstance(problem, RefpayError)  # noqa: S101 narrows the type
        if isinstance(problem, CardDataRefused):
            measures.count_card_data(problem.place)
        if problem.status == InvariantViolation.status:
            _LOG.error("invariant_violated", code=problem.code, detail=problem.detail)
        return problem_response(problem)

    async def answer_router(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, HTTPException)  # noqa: S101 narrows the type
        kind = _ROUTER_PROBLEMS.get(problem.status_code, RequestRefused)
        response = problem_response(kind(kind.title))
        if kind is MethodRefused:
            # The router names only the methods of the first route of the path.
            routes = (one for one in app.routes if one.matches(request.scope)[0] is not Match.NONE)
            methods = {method for route in routes for method in getattr(route, "methods", ())}
            response.headers["Allow"] = ", ".join(sorted(methods))
        return response

    async def answer_unexpected(_request: Request, _problem: Exception) -> Response:
        return unexpected_failure()

    app.add_exception_handler(RefpayError, answer_expected)
    app.add_exception_handler(HTTPException, answer_router)
    # Starlette answers with this and raises the exception again; the guard logs it.
    app.add_exception_handler(Exception, answer_unexpected)
