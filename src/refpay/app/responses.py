"""Replies and failures as HTTP responses."""

from typing import Final

import structlog
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from moneypath.telemetry import correlation
from refpay.app.errors import CardDataRefused, MethodRefused, RequestRefused, RouteUnknown
from refpay.errors import InvariantViolation, RefpayError
from refpay.identity.errors import ClientRefused, CredentialRefused
from refpay.measures import Measures
from refpay.payments.claims import Reply
from refpay.problems import PROBLEM_MEDIA_TYPE, describe_error

_LOG: Final = structlog.get_logger()
_JSON: Final = "application/json"
_FRAMEWORK: Final[dict[int, type[RefpayError]]] = {404: RouteUnknown, 405: MethodRefused}
_CHALLENGES: Final = {CredentialRefused: "Bearer", ClientRefused: 'Basic realm="refpay"'}


def make_response(answer: Reply | Response | bytes) -> Response:
    """Return an answer's bytes as they are; a replay says so in a header."""
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, bytes):
        return Response(answer, media_type=_JSON)
    said, headers = answer.answer, {"Idempotency-Replayed": "true"} if answer.replayed else None
    return Response(said.body, said.status, headers, PROBLEM_MEDIA_TYPE if said.status >= 400 else _JSON)


def problem_response(problem: RefpayError, /, **more: str) -> Response:
    """Return an expected failure as problem+json, with `more` members beside."""
    body = describe_error(problem, correlation.current() or "", **more)
    response = Response(body, problem.status, media_type=PROBLEM_MEDIA_TYPE)
    if problem.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(problem.retry_after_seconds)
    if challenge := _CHALLENGES.get(type(problem)):
        response.headers["WWW-Authenticate"] = challenge
    return response


def unexpected_failure() -> Response:
    """Return what a caller is told of a bug: nothing of it."""
    return problem_response(RefpayError("an unexpected failure; it is logged under the correlation id"))


def answer_failures(app: FastAPI, measures: Measures) -> None:
    """Teach an app to answer expected failures, and the framework's own, as problems."""

    @app.exception_handler(RefpayError)
    async def answer_expected(_request: Request, problem: RefpayError) -> Response:
        if isinstance(problem, CardDataRefused):
            measures.count_card_data(problem.place)
        if problem.status == InvariantViolation.status:
            _LOG.error("invariant_violated", code=problem.code, detail=problem.detail)
        return problem_response(problem)

    @app.exception_handler(HTTPException)
    async def answer_framework(request: Request, problem: HTTPException) -> Response:
        kind = _FRAMEWORK.get(problem.status_code, RequestRefused)
        response = problem_response(kind(kind.title))
        if kind is MethodRefused:
            # The framework names the methods of the first route of the path alone.
            routes = (one for one in app.routes if one.matches(request.scope)[0] is not Match.NONE)
            methods = {method for route in routes for method in getattr(route, "methods", ())}
            response.headers["Allow"] = ", ".join(sorted(methods))
        return response

    # Starlette answers with this and raises on; the guard outside logs it.
    @app.exception_handler(Exception)
    async def answer_unexpected(_request: Request, _problem: Exception) -> Response:
        return unexpected_failure()
