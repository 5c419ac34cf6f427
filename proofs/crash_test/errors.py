"""Errors that end a crash test without a result."""

from typing import ClassVar

from moneypath.errors import MoneypathError


class CrashTestFailed(MoneypathError):
    """Payments do not go on, or the database does not answer."""

    code: ClassVar[str] = "crash_test_failed"
