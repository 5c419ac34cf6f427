"""Errors of witnesses: what is wrong with one, and why one could not be read."""

from typing import ClassVar

from moneypath.errors import MoneypathError


class WitnessInvalid(MoneypathError):
    """A witness cannot be used as it is declared: its file, its query or its columns."""

    code: ClassVar[str] = "witness_invalid"
    exit_code: ClassVar[int] = 2


class WitnessUnreadable(MoneypathError):
    """A witness could not be read completely, so that nothing was proven either way."""

    code: ClassVar[str] = "witness_unreadable"
    exit_code: ClassVar[int] = 3
