"""Assesses an authorization in its first transaction, within a time of its own."""

from datetime import timedelta
from typing import Final

import asyncpg

from refpay.db.pool import Connection
from refpay.risk import repository
from refpay.risk.errors import RiskSilent, RiskUnavailable
from refpay.risk.model import Assessment, Attempt
from refpay.risk.rules import assess
from refpay.settings import RiskSettings

# Long against a read of few rows, short against what a shopper waits.
_ANSWER_SECONDS: Final = 1.0
_TOO_LATE: Final = (TimeoutError, asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError)


class Screening:
    """The door to risk for those who authorize."""

    def __init__(self, settings: RiskSettings) -> None:
        self._settings = settings
        self._window = timedelta(seconds=settings.window_seconds)

    async def screen(self, connection: Connection, attempt: Attempt) -> Assessment:
        """Say whether an authorization is suspicious or blocked; reads only.

        When the database does not answer in time the transaction is lost: RiskSilent says that the
        amount may go without an assessment, RiskUnavailable that it may not.
        """
        try:
            return await self._assess(connection, attempt)
        except _TOO_LATE as problem:
            most = self._settings.fail_open_max_minor
            if attempt.amount_minor > most:
                raise RiskUnavailable(
                    f"risk did not answer, and amount_minor is over {most}: {attempt.amount_minor}"
                ) from problem
            raise RiskSilent("risk did not answer within its time") from problem

    async def _assess(self, connection: Connection, attempt: Attempt) -> Assessment:
        settings = self._settings
        if attempt.amount_minor > settings.small_amount_minor:
            blocked = await repository.is_blocked(connection, attempt.card_range, seconds=_ANSWER_SECONDS)
            return assess(blocked=blocked, recent=None, settings=settings)
        blocked, recent = await repository.read_recent(
            connection,
            attempt.card_range,
            since=attempt.at - self._window,
            at_most_minor=settings.small_amount_minor,
            seconds=_ANSWER_SECONDS,
        )
        return assess(blocked=blocked, recent=recent, settings=settings)
