"""Why a run of the torture ended without a verdict."""

from typing import ClassVar

from moneypath.errors import MoneypathError


class TortureFailed(MoneypathError):
    """Payments did not go on, or what was begun did not end."""

    code: ClassVar[str] = "torture_failed"
