"""Why a request is refused before any payment is thought of."""

import math
from collections.abc import Sequence
from enum import StrEnum

from refpay.errors import RefpayError


class RequestMalformed(RefpayError):
    """The body is not the JSON object that it should be."""

    code = "request_malformed"
    title = "The request's body is not a JSON object"
    status = 400


class RequestInvalid(RefpayError):
    """Keys are missing, unknown or have a wrong value; their names are said, never their values."""

    code = "request_invalid"
    title = "The request has wrong keys or values"
    status = 422

    def __init__(self, detail: str, errors: Sequence[dict[str, str]]) -> None:
        super().__init__(detail)
        self.errors = errors


class CardPlace(StrEnum):
    """Where in a request a card number can stand."""

    BODY = "body"
    HEADER = "header"
    PATH = "path"
    QUERY = "query"


class CardDataRefused(RefpayError):
    """A card number stands where only tokens may; the detail names the place and never the number."""

    code = "card_data_refused"
    title = "Card numbers are not accepted anywhere: send a token"
    status = 422

    def __init__(self, detail: str, place: CardPlace = CardPlace.BODY) -> None:
        super().__init__(detail)
        self.place = place


class TrafficInvalid(RefpayError):
    """The header X-Traffic has a value that is not known."""

    code = "traffic_invalid"
    title = "The header X-Traffic is not known"
    status = 422


class IdempotencyKeyMissing(RefpayError):
    """A state change without an idempotency key."""

    code = "idempotency_key_missing"
    title = "State changes need an idempotency key"
    status = 400


class IdempotencyKeyInvalid(RefpayError):
    """An idempotency key that is too long or not visible ASCII, or two of them."""

    code = "idempotency_key_invalid"
    title = "The idempotency key is not usable"
    status = 400


class RequestTooLarge(RefpayError):
    """More bytes than are read."""

    code = "request_too_large"
    title = "The request is too large"
    status = 413


class RequestTimedOut(RefpayError):
    """The body did not arrive in time."""

    code = "request_timed_out"
    title = "The request's body did not arrive in time"
    status = 408


class MediaTypeRefused(RefpayError):
    """A body that is not JSON."""

    code = "media_type_refused"
    title = "The request's body has to be application/json"
    status = 415


class RouteUnknown(RefpayError):
    """Nothing is served under this path."""

    code = "route_unknown"
    title = "There is no such path"
    status = 404


class MethodRefused(RefpayError):
    """The path is served, and not by this method."""

    code = "method_refused"
    title = "The path has no such method"
    status = 405


class RequestRefused(RefpayError):
    """What is not a request that could be understood."""

    code = "request_refused"
    title = "The request is refused"
    status = 400


class RateLimited(RefpayError):
    """More requests than one caller, or all of them together, may send."""

    code = "rate_limited"
    title = "Too many requests"
    status = 429
    retryable = True
    retry_after_seconds = 1

    def __init__(self, detail: str, limit: str, *, wait_seconds: float) -> None:
        super().__init__(detail)
        self.limit = limit
        self.retry_after_seconds = max(1, math.ceil(wait_seconds))


class CursorInvalid(RefpayError):
    """A cursor that did not come from this very listing."""

    code = "cursor_invalid"
    title = "The cursor does not belong to this listing"
    status = 400
