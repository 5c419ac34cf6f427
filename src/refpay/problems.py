"""Errors as problem+json (RFC 9457): a stable code, a sentence, never a stack trace."""

import json
from collections.abc import Sequence
from typing import Final

from refpay.errors import RefpayError

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"


def problem_body(
    *,
    code: str,
    title: str,
    status: int,
    detail: str,
    correlation_id: str,
    errors: Sequence[dict[str, str]] = (),
) -> bytes:
    """Return the bytes of a problem; `errors` name the keys that were wrong, without their values."""
    content: dict[str, object] = {
        "type": f"urn:refpay:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "correlation_id": correlation_id,
    }
    if errors:
        content["errors"] = list(errors)
    return json.dumps(content, separators=(",", ":")).encode()


def describe_error(error: RefpayError, correlation_id: str) -> bytes:
    """Return the problem of an expected failure."""
    return problem_body(
        code=error.code,
        title=error.title,
        status=error.status,
        detail=error.detail,
        correlation_id=correlation_id,
    )
