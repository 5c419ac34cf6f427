"""The reasons for which risk stops an authorization."""

from refpay.errors import RefpayError
from refpay.risk.model import Assessment


class RiskBlocked(RefpayError, code="risk_blocked", status=403):
    """The authorization was blocked."""

    # The answer does not reveal which rule or person blocked it.

    def __init__(self, assessment: Assessment) -> None:
        super().__init__("the authorization was blocked by risk: the provider was not asked")
        self.assessment = assessment


class RiskUnavailable(RefpayError, code="risk_unavailable", status=503, retry_after_seconds=1):
    """The authorization could not be assessed."""

    # Risk did not answer in time, and the amount is too large to go without.


class RiskTimedOut(RefpayError, code="risk_silent", status=503, retryable=True):
    """The authorization was not assessed."""

    # Risk did not answer in time; the amount is small enough to go without.


class CardRangeInvalid(RefpayError, code="card_range_invalid", status=422):
    """There is no such card range."""


class NoSuchRange(RefpayError, code="no_busiest_range", status=409):
    """No card range is the busiest."""
