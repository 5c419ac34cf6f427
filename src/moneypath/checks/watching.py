"""Keep the checks of one database running: own them, run them when due, come back when it is gone."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import NoReturn

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from moneypath.checks.database_address import read_dsn
from moneypath.checks.errors import DatabaseLost
from moneypath.checks.gauges import CheckGauges
from moneypath.checks.plan import CheckPlan, SourcePlan
from moneypath.checks.results import RunResult
from moneypath.checks.running import run
from moneypath.checks.session import Connection, holds_lock, lock_key, read_only_connection, try_lock
from moneypath.secret_files import SecretFileUnusable
from moneypath.stack.exposing import Tell
from moneypath.telemetry.catalogue.vocabulary import CheckRunOutcome


class Ownership(StrEnum):
    """Where an exporter stands with a database."""

    CONNECTING = "connecting"
    STANDBY = "standby"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often things are asked besides the checks, in seconds."""

    standby: float = 2.0
    heartbeat: float = 5.0
    retry_first: float = 0.5
    retry_most: float = 15.0


class SourceWatch:
    """The checks of one database. One exporter at a time owns them; the others show nothing."""

    def __init__(
        self,
        source: SourcePlan,
        exponents: Mapping[str, int],
        gauges: CheckGauges,
        *,
        tell: Tell,
        pace: Pace,
    ) -> None:
        self._source, self._exponents, self._gauges = source, exponents, gauges
        self._tell, self._pace = tell, pace
        self.standing = Ownership.CONNECTING
        self._told: dict[str, object] = {}

    @property
    def name(self) -> str:
        """Return the name of the secret file, by which the database is spoken of."""
        return self._source.dsn_file.name

    async def watch(self) -> NoReturn:
        """Connect again and again, with growing pauses while there is no connection."""
        pauses = wait_exponential_jitter(
            multiplier=self._pace.retry_first, max=self._pace.retry_most, jitter=self._pace.retry_first
        )
        while True:
            connecting = AsyncRetrying(
                retry=retry_if_exception_type((DatabaseLost, SecretFileUnusable)),
                wait=pauses,
                before_sleep=self._count_unreachable,
            )
            await connecting(self._hold)
            await asyncio.sleep(self._pace.retry_first * (1 + random.random()))  # noqa: S311 - spreads load only

    async def _hold(self) -> None:
        """Do all that one connection allows; raises only if there is none."""
        async with read_only_connection(read_dsn(self._source.dsn_file)) as connection:
            ended = asyncio.Event()
            connection.add_termination_listener(lambda _: ended.set())
            try:
                key = lock_key(self._source.lock_name)
                while not await try_lock(connection, key):
                    self._stand_by()
                    await _pause(ended, self._pace.standby)
                self._stands(Ownership.OWNER)
                await self._run_checks(connection, key, ended)
            except DatabaseLost as lost:
                self._lose(lost.reason)

    async def _run_checks(self, connection: Connection, key: int, ended: asyncio.Event) -> NoReturn:
        due = {check.id: monotonic() for check in self._source.checks}
        while True:
            if not await holds_lock(connection, key):
                raise DatabaseLost("the session does not hold the lock any more")
            check = min(self._source.checks, key=lambda one: due[one.id])
            wait = due[check.id] - monotonic()
            if wait > 0:
                await _pause(ended, min(wait, self._pace.heartbeat))
                continue
            # From now on, not from when it was due: what was missed is not made up for.
            due[check.id] = monotonic() + check.every_seconds
            self._show(check, await run(connection, check, self._exponents))
            if connection.is_closed():
                raise DatabaseLost("the connection is closed")

    def _show(self, check: CheckPlan, result: RunResult) -> None:
        self._gauges.show(result)
        found: dict[str, object] = {"outcome": result.outcome.value}
        found |= {"violations": result.count} if result.is_known else {}
        found |= {"reason": result.reason} if result.reason else {}
        if self._told.get(check.id) != found:
            self._tell({"event": "check_ran", "check": check.id, **found})
        self._told[check.id] = found

    def _stand_by(self) -> None:
        for check in self._source.checks:
            self._gauges.stand_by(check.id)
        self._stands(Ownership.STANDBY)

    def _lose(self, reason: str) -> None:
        for check in self._source.checks:
            self._gauges.forget(check.id)
        self._stands(Ownership.CONNECTING, reason)

    def _count_unreachable(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        for check in self._source.checks:
            self._gauges.count(check.id, CheckRunOutcome.UNREACHABLE)
        self._lose(error.reason if isinstance(error, DatabaseLost) else str(error))

    def _stands(self, standing: Ownership, reason: str = "") -> None:
        self.standing = standing
        found = {"event": standing.value, "source": self.name, **({"reason": reason} if reason else {})}
        if self._told.get("") != found:
            self._tell(found)
        self._told[""] = found


async def _pause(ended: asyncio.Event, seconds: float) -> None:
    """Wait; raises DatabaseLost as soon as the connection ends."""
    try:
        async with asyncio.timeout(seconds):
            await ended.wait()
    except TimeoutError:
        return
    raise DatabaseLost("the connection was ended")
