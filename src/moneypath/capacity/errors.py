"""Why a gate gives no verdict; each with the exit code that a pipeline reads."""

from typing import ClassVar

from moneypath.errors import MoneypathError


class GateRefused(MoneypathError):
    """A gate file, or a build, that cannot be used; nothing was started."""

    code: ClassVar[str] = "gate_refused"
    exit_code: ClassVar[int] = 2


class GateUnmeasured(MoneypathError):
    """The machinery round the build failed, so nothing is known of the build."""

    code: ClassVar[str] = "gate_unmeasured"
    exit_code: ClassVar[int] = 3


class BuildEnded(MoneypathError):
    """The build under test did not start, or ended by itself: that is a verdict."""

    code: ClassVar[str] = "build_ended"
