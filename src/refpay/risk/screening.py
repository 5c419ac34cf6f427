"""Assesses an authorization in its first transaction, within a time of its own."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NoReturn

import asyncpg

from refpay.db.pool import Connection
from refpay.risk import repository
from refpay.risk.errors import RiskSilent, RiskUnavailable
from refpay.risk.model import Assessment, Attempt
from refpay.risk.rules import assess
from refpay.settings import RiskSettings

# Long against a read of few rows, short against what a shopper waits.
_ANSWER_SECONDS: Final = 1.0
TOO_LATE: Final = (TimeoutError, asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError)


class Screening:
    """The door to risk for those who authorize."""

    def __init__(self, settings: RiskSettings, *, silent: bool = False) -> None:
        self._silent = silent
        self._settings = settings
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
        seen = await repository.read_recent(
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
