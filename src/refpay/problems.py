"""Encode errors as problem+json (RFC 9457)."""

from typing import Final

from refpay.encoding import encode
from refpay.errors import RefpayError

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"


def describe_error(error: RefpayError, correlation_id: str, /, **more: str) -> bytes:
    """Return an expected error as JSON. `errors` names the keys that were wrong, never their values."""
    content: dict[str, object] = {
        "type": f"urn:refpay:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "correlation_id": correlation_id,
        **more,
    }
    if error.errors:
        content["errors"] = list(error.errors)
    return encode(content)
