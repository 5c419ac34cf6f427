"""Replies and failures as HTTP responses."""

from typing import Final

import structlog
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from moneypath.telemetry import correlation
from refpay.app.errors import CardDataRefused, MethodRefused, RequestRefused, RouteUnknown
from refpay.app.guard import unexpected_failure
from refpay.errors import InvariantViolation, RefpayError
from refpay.identity.errors import CredentialRefused
from refpay.measures import Measures
from refpay.payments.claims import Reply
from refpay.problems import PROBLEM_MEDIA_TYPE, describe_error

_LOG: Final = structlog.get_logger()
_JSON: Final = "application/json"
_FRAMEWORK: Final[dict[int, type[RefpayError]]] = {404: RouteUnknown, 405: MethodRefused}


def make_response(answer: Reply | Response | bytes) -> Response:
    """Return an answer's bytes as they are; a replay says so in a header."""
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, bytes):
        return Response(answer, media_type=_JSON)
    status = answer.answer.status
    return Response(
        answer.answer.body,
        status_code=status,
        media_type=PROBLEM_MEDIA_TYPE if status >= 400 else _JSON,
        headers={"Idempotency-Replayed": "true"} if answer.replayed else None,
    )


def problem_response(problem: RefpayError) -> Response:
    """Return an expected failure as problem+json."""
    body = describe_error(problem, correlation.current() or "")
    headers = {}
    if problem.retry_after_seconds is not None:
        headers["Retry-After"] = str(problem.retry_after_seconds)
    if isinstance(problem, CredentialRefused):
        headers["WWW-Authenticate"] = "Bearer"
    return Response(body, status_code=problem.status, media_type=PROBLEM_MEDIA_TYPE, headers=headers)


def answer_failures(app: FastAPI, measures: Measures) -> None:
    """Teach an app to answer expected failures, and the framework's own, as problems."""

    async def answer_expected(request: Request, problem: Exception) -> Response:
        if isinstance(problem, CardDataRefused):
            measures.count_card_data(problem.place)
        return await _answer_expected(request, problem)

    app.add_exception_handler(RefpayError, answer_expected)
    app.add_exception_handler(HTTPException, _answer_framework)
    # Starlette answers with this and raises on; the guard outside logs it.
    app.add_exception_handler(Exception, _answer_unexpected)


async def _answer_expected(_request: Request, problem: Exception) -> Response:
    if not isinstance(problem, RefpayError):
        raise problem
    if problem.status == InvariantViolation.status:
        _LOG.error("invariant_violated", code=problem.code, detail=problem.detail)
    return problem_response(problem)


async def _answer_unexpected(_request: Request, _problem: Exception) -> Response:
    return problem_response(unexpected_failure())


async def _answer_framework(request: Request, problem: Exception) -> Response:
    if not isinstance(problem, HTTPException):
        raise problem
    kind = _FRAMEWORK.get(problem.status_code, RequestRefused)
    response = problem_response(kind(kind.title))
    if kind is MethodRefused:
        # The framework names the methods of the first route of the path alone.
        routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
        response.headers["Allow"] = ", ".join(
            sorted({method for route in routes for method in route.methods})
        )
    return response
