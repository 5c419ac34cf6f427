"""Replies and failures as HTTP responses."""

from typing import Final

import structlog
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from moneypath.telemetry import correlation
from refpay.app.errors import CardDataRefused, RequestInvalid
from refpay.app.guard import unexpected_failure
from refpay.errors import InvariantViolation, RefpayError
from refpay.identity.errors import CredentialRefused
from refpay.measures import Measures
from refpay.payments.claims import Reply
from refpay.problems import PROBLEM_MEDIA_TYPE, problem_body

_LOG: Final = structlog.get_logger()
_JSON: Final = "application/json"
_CODES = {
    404: ("route_unknown", "There is no such path"),
    405: ("method_refused", "The path has no such method"),
}


def reply_response(reply: Reply) -> Response:
    """Return a reply's bytes as they are; a replay says so in a header."""
    status = reply.answer.status
    return Response(
        reply.answer.body,
        status_code=status,
        media_type=PROBLEM_MEDIA_TYPE if status >= 400 else _JSON,
        headers={"Idempotency-Replayed": "true"} if reply.replayed else None,
    )


def json_response(body: bytes) -> Response:
    """Return JSON bytes."""
    return Response(body, media_type=_JSON)


def problem_response(problem: RefpayError) -> Response:
    """Return an expected failure as problem+json."""
    body = problem_body(
        code=problem.code,
        title=problem.title,
        status=problem.status,
        detail=problem.detail,
        correlation_id=correlation.current() or "",
        errors=problem.errors if isinstance(problem, RequestInvalid) else (),
    )
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


async def _answer_framework(_request: Request, problem: Exception) -> Response:
    if not isinstance(problem, HTTPException):
        raise problem
    code, title = _CODES.get(problem.status_code, ("request_refused", "The request is refused"))
    body = problem_body(
        code=code,
        title=title,
        status=problem.status_code,
        detail=title,
        correlation_id=correlation.current() or "",
    )
    return Response(
        body, problem.status_code, media_type=PROBLEM_MEDIA_TYPE, headers=dict(problem.headers or {})
    )
