"""The one error base of the platform: what went wrong, and what to do next."""

from typing import ClassVar


class MoneypathError(Exception):
    """An expected failure that a user can act on.

    `what` reads "what: which"; `hint` says what to do next. The command line prints both
    without a stack trace and exits with `exit_code`, which is never 0.
    """

    code: ClassVar[str] = "moneypath_error"
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n  {self.hint}" if self.hint else self.what
