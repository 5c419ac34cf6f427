"""Define the base of all errors: a stable code, an HTTP status, and whether the request may be sent again."""

from collections.abc import Sequence
from typing import ClassVar


class RefpayError(Exception):
    """An expected error that a caller or an operator can act on.

    `detail` says what is wrong and names it, and never contains a secret, a token or card data. A `retryable`
    error is never stored under an idempotency key, because the same key may succeed later. `errors` names
    each wrong key of a request and what is allowed.

    A subclass sets its code, status and the like in its class header. The first line of its docstring is
    the title that callers read. An error with `retry_after_seconds` is retryable.
    """

    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong on our side"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    retry_after_seconds: int | None = None
    errors: Sequence[dict[str, str]] = ()

    def __init_subclass__(
        cls,
        *,
        code: str | None = None,
        status: int | None = None,
        retryable: bool = False,
        retry_after_seconds: int | None = None,
    ) -> None:
        """Set what the class header gives; everything else is inherited."""
        if code is not None:
            cls.code = code
            title = cls.__doc__ or code.replace("_", " ").capitalize()  # `python -OO` has no docstrings
            cls.title = title.partition("\n")[0].removesuffix(".")
        if status is not None:
            cls.status = status
        if retryable or retry_after_seconds is not None:
            cls.retryable = True
            cls.retry_after_seconds = retry_after_seconds

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvariantViolation(RefpayError, code="invariant_violation"):
    """An invariant is broken."""

    # A bug, or somebody changed the database by hand.


class StartRefused(RefpayError, code="start_refused"):
    """The service cannot start."""

    # The detail says what to change.
