"""Errors that end an outage without a result."""

from typing import ClassVar

from moneypath.errors import MoneypathError


class OutageFailed(MoneypathError):
    """The outage could not be brought about as it was planned."""

    code: ClassVar[str] = "outage_failed"


class MountRefused(OutageFailed):
    """The operating system did not give us a small disk."""

    code: ClassVar[str] = "mount_refused"
