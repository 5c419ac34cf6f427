"""The one error base: a stable code, an HTTP status, and whether the same request may be sent again."""

from collections.abc import Sequence
from typing import ClassVar


class RefpayError(Exception):
    """An expected failure that a caller or an operator can act on.

    `detail` reads "what: which" and never holds a secret, a token or card data. A `retryable`
    refusal is never stored under an idempotency key: the same key may succeed later. `errors` name
    each key of a request that was wrong, and what is allowed.
    """

    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong on our side"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    retry_after_seconds: int | None = None
    errors: Sequence[dict[str, str]] = ()

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvariantViolation(RefpayError):
    """Something that cannot be true is true: a bug, or a hand in the database."""

    code = "invariant_violation"
    title = "An invariant is broken"


class StartRefused(RefpayError):
    """The process cannot start as it is set up; the detail says what to change."""

    code = "start_refused"
    title = "The service cannot start"
