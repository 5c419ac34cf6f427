"""Assesses an authorization in its first transaction, within a time of its own."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NoReturn

import asyncpg

from refpay.db.pool import Connection
from refpay.risk import ranges
from refpay.risk.errors import RiskSilent, RiskUnavailable
from refpay.risk.model import Assessment, Attempt, Recent, Rule
from refpay.settings import RiskSettings

# Long against a read of few rows, short against what a shopper waits.
_ANSWER_SECONDS: Final = 1.0
TOO_LATE: Final = (TimeoutError, asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError)


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


class Screening:
    """The door to risk for those who authorize."""

    def __init__(self, settings: RiskSettings, *, silent: bool = False) -> None:
        self._settings, self._silent = settings, silent
        self._window = timedelta(seconds=settings.window_seconds)

    async def screen(self, connection: Connection, attempt: Attempt) -> Assessment:
        """Say whether an authorization is suspicious or blocked; reads only.

        When the database does not answer in time the transaction is lost: RiskSilent says that the
        amount may go without an assessment, RiskUnavailable that it may not.
        """
        if self._silent:
            self.go_without(attempt, TimeoutError())
        try:
            return (await self.screen_all(connection, [attempt]))[0]
        except TOO_LATE as problem:
            self.go_without(attempt, problem)

    async def screen_all(self, connection: Connection, attempts: Sequence[Attempt]) -> Sequence[Assessment]:
        """Say it of several at the same instant; raises one of TOO_LATE, and the transaction is lost."""
        settings = self._settings
        asked = [(one.card_range, one.amount_minor <= settings.small_amount_minor) for one in attempts]
        seen = await ranges.read_recent(
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

    def silent(self) -> "Screening":
        """Return what stands for risk when it has just kept silent: nobody is asked again."""
        return Screening(self._settings, silent=True)

    def go_without(self, attempt: Attempt, problem: BaseException) -> NoReturn:
        """Raise RiskSilent for an amount that goes on without an assessment, RiskUnavailable for another."""
        most = self._settings.fail_open_max_minor
        if attempt.amount_minor > most:
            raise RiskUnavailable(
                f"risk did not answer, and amount_minor is over {most}: {attempt.amount_minor}"
            ) from problem
        raise RiskSilent("risk did not answer within its time") from problem
