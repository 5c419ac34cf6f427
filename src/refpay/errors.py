"""The one error base: a stable code, an HTTP status, and whether the same request may be sent again."""

from collections.abc import Sequence
from typing import ClassVar


class RefpayError(Exception):
    """An expected failure that a caller or an operator can act on.

    `detail` reads "what: which" and never holds a secret, a token or card data. A `retryable` refusal is
    never stored under an idempotency key: the same key may succeed later. `errors` name each key of a
    request that was wrong, and what is allowed.

    A kind of failure says at the head of its class what sets it apart from its base, and the first line of
    its docstring is the title that callers read. Whoever says when to come again may come again.
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
        """Set what the class says of itself, and leave the rest to its base."""
        if code is not None:
            cls.code = code
            said = cls.__doc__ or code.replace("_", " ").capitalize()  # `python -OO` has no docstrings
            cls.title = said.partition("\n")[0].removesuffix(".")
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

    # Something that cannot be true is true: a bug, or a hand in the database.


class StartRefused(RefpayError, code="start_refused"):
    """The service cannot start."""

    # As it is set up; the detail says what to change.
