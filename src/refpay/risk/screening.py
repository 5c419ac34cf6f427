"""Assess authorizations in their first transaction, within a time limit."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import asyncpg

from refpay.db.pool import Connection
from refpay.risk import card_ranges
from refpay.risk.errors import RiskUnavailable
from refpay.risk.model import Assessment, AuthorizationAttempt, RecentAuthorizations, Rule
from refpay.settings import RiskSettings

# Much longer than reading a few rows takes, much shorter than a shopper waits.
_ANSWER_SECONDS: Final = 1.0
TIMEOUTS: Final = (TimeoutError, asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError)


HARMLESS: Final = Assessment()
BLOCKED: Final = Assessment(blocked=True)


def assess(*, blocked: bool, recent: RecentAuthorizations | None, settings: RiskSettings) -> Assessment:
    """Return the assessment of an authorization. `recent` is absent for amounts that no card tester risks.

    A blocked range gives no signals: a signal asks somebody to look, and somebody has looked.
    """
    if blocked:
        return BLOCKED
    # Card testing: enough small authorizations were answered, and too many declined.
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


class Screening:
    """Assesses authorizations before their providers are called."""

    def __init__(self, settings: RiskSettings) -> None:
        self._settings = settings
        self._window = timedelta(seconds=settings.window_seconds)

    async def screen(
        self, connection: Connection, attempts: Sequence[AuthorizationAttempt]
    ) -> Sequence[Assessment]:
        """Return for each attempt of one instant whether it is suspicious or blocked; reads only.

        Raises one of TIMEOUTS when the database does not answer in time; the transaction is lost then.
        """
        settings = self._settings
        asked = [(one.card_range, one.amount_minor <= settings.small_amount_minor) for one in attempts]
        seen = await card_ranges.read_recent(
            connection,
            asked,
            since=attempts[0].at - self._window,
            at_most_minor=settings.small_amount_minor,
            seconds=_ANSWER_SECONDS,
        )
        return [
            assess(blocked=blocked, recent=recent if small else None, settings=settings)
            for (_, small), (blocked, recent) in zip(asked, seen, strict=True)
        ]

    def fail_open(self, attempt: AuthorizationAttempt) -> Assessment:
        """Return the assessment of an attempt when risk did not answer.

        Raises RiskUnavailable for an amount that is too large to go without one.
        """
        most = self._settings.fail_open_max_minor
        if attempt.amount_minor > most:
            raise RiskUnavailable(
                f"risk did not answer, and amount_minor is over {most}: {attempt.amount_minor}"
            )
        return HARMLESS
