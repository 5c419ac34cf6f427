"""Why risk keeps an authorization from its provider."""

from refpay.errors import RefpayError
from refpay.risk.model import Assessment


class RiskBlocked(RefpayError):
    """The card's range is blocked; which rule or person did it is not the caller's to know."""

    code = "risk_blocked"
    title = "The authorization was blocked"
    status = 403

    def __init__(self, assessment: Assessment) -> None:
        super().__init__("the authorization was blocked by risk: the provider was not asked")
        self.assessment = assessment


class RiskUnavailable(RefpayError):
    """Risk did not answer in time, and the amount is too large to go without."""

    code = "risk_unavailable"
    title = "The authorization could not be assessed"
    status = 503
    retryable = True
    retry_after_seconds = 1


class RiskSilent(RefpayError):
    """Risk did not answer in time; the amount is small enough to go without."""

    code = "risk_silent"
    title = "The authorization was not assessed"
    status = 503
    retryable = True


class CardRangeInvalid(RefpayError):
    """Neither a card range nor the word that stands for one."""

    code = "card_range_invalid"
    title = "There is no such card range"
    status = 422


class NoSuchRange(RefpayError):
    """The word `busiest` fits no range at the moment."""

    code = "no_busiest_range"
    title = "No card range is the busiest"
    status = 409
