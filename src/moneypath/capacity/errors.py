"""Errors that leave a gate without a verdict, each with its exit code."""

from typing import ClassVar

from moneypath.errors import MoneypathError


class GateRefused(MoneypathError):
    """The gate file or the build cannot be used; nothing was started."""

    code: ClassVar[str] = "gate_refused"
    exit_code: ClassVar[int] = 2


class GateUnmeasured(MoneypathError):
    """Something other than the build failed, so nothing is known of the build."""

    code: ClassVar[str] = "gate_unmeasured"
    exit_code: ClassVar[int] = 3


class BuildEnded(MoneypathError):
    """The build did not start, or ended by itself: it fails."""

    code: ClassVar[str] = "build_ended"
