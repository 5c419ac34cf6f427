"""Define why a request is refused before it reaches its handler."""

import math
from collections.abc import Sequence
from enum import StrEnum

from refpay.errors import RefpayError


class RequestMalformed(RefpayError, code="request_malformed", status=400):
    """The request's body is not a JSON object."""


class RequestInvalid(RefpayError, code="request_invalid", status=422):
    """The request has wrong keys or values."""

    # The detail names keys, never values.

    def __init__(self, detail: str, errors: Sequence[dict[str, str]]) -> None:
        super().__init__(detail)
        self.errors = errors


class CardPlace(StrEnum):
    """Where in a request a card number can stand."""

    BODY = "body"
    HEADER = "header"
    PATH = "path"
    QUERY = "query"


class CardDataRefused(RefpayError, code="card_data_refused", status=422):
    """Card numbers are not accepted anywhere: send a token."""

    # The detail names the place and never the number.

    def __init__(self, detail: str, place: CardPlace = CardPlace.BODY) -> None:
        super().__init__(detail)
        self.place = place


class TrafficInvalid(RefpayError, code="traffic_invalid", status=422):
    """The header X-Traffic is not known."""


class IdempotencyKeyMissing(RefpayError, code="idempotency_key_missing", status=400):
    """State changes need an idempotency key."""


class IdempotencyKeyInvalid(RefpayError, code="idempotency_key_invalid", status=400):
    """The idempotency key is not usable."""

    # Too long or not visible ASCII, or two of them.


class RequestTooLarge(RefpayError, code="request_too_large", status=413):
    """The request is too large."""


class RequestTimedOut(RefpayError, code="request_timed_out", status=408):
    """The request's body did not arrive in time."""


class MediaTypeRefused(RefpayError, code="media_type_refused", status=415):
    """The request's body has to be application/json."""


class RouteUnknown(RefpayError, code="route_unknown", status=404):
    """There is no such path."""


class MethodRefused(RefpayError, code="method_refused", status=405):
    """The path has no such method."""


class RequestRefused(RefpayError, code="request_refused", status=400):
    """The request is refused."""


class RateLimited(RefpayError, code="rate_limited", status=429, retry_after_seconds=1):
    """Too many requests."""

    # More than one sender, or all senders together, may send.

    def __init__(self, detail: str, limit: str, *, wait_seconds: float) -> None:
        super().__init__(detail)
        self.limit = limit
        self.retry_after_seconds = max(1, math.ceil(wait_seconds))


class CursorInvalid(RefpayError, code="cursor_invalid", status=400):
    """The cursor does not belong to this listing."""
