"""The rules themselves: pure, so that a model can be held against them."""

from typing import Final

from refpay.risk.model import Assessment, Recent, Rule
from refpay.settings import RiskSettings

HARMLESS: Final = Assessment()
BLOCKED: Final = Assessment(blocked=True)


def assess(*, blocked: bool, recent: Recent | None, settings: RiskSettings) -> Assessment:
    """Return what to say to an authorization; `recent` is absent for an amount that no card tester risks.

    A blocked range gives no signals: a signal asks somebody to look, and somebody has.
    """
    if blocked:
        return BLOCKED
    # Somebody seems to try out cards: enough small ones answered, too many declined.
    if recent is None or recent.answered < settings.answered_least:
        return HARMLESS
    if recent.declined * 100 < recent.answered * settings.declined_percent:
        return HARMLESS
    if not settings.autoblock:
        return Assessment(rule=Rule.CARD_TESTING)
    reason = (
        f"card testing: {recent.declined} of {recent.answered} small authorizations declined "
        f"within {settings.window_seconds} s"
    )
    return Assessment(blocked=True, rule=Rule.CARD_TESTING, newly_blocked=reason)
