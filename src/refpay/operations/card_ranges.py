"""Block a card range for new authorizations, or unblock it. Both are audited and can be undone."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Final

from refpay.clock import Clock
from refpay.db.pool import Connection, Database
from refpay.encoding import encode
from refpay.payments.claims import Command, Reply, StoredAnswer
from refpay.payments.idempotent_actions import execute_once
from refpay.risk.card_ranges import change_range, read_blocked, read_busiest
from refpay.risk.errors import CardRangeInvalid, NoSuchRange
from refpay.risk.model import CardRange, CardRangeActivity
from refpay.settings import RiskSettings

BUSIEST: Final = "busiest"
_RANGE: Final = re.compile(r"[0-9]{6}", re.ASCII)


class CardRanges:
    """Reads and changes which card ranges are blocked."""

    def __init__(self, database: Database, settings: RiskSettings, *, clock: Clock) -> None:
        self._database, self._settings, self._clock = database, settings, clock

    async def read(self) -> bytes:
        """Return the blocked ranges and the busiest ranges of the window as JSON. Both lists are bounded."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            blocked = await read_blocked(connection)
            busiest = await self._read_busiest(connection, now)
        rules = {"window_seconds": self._settings.window_seconds, "autoblock": self._settings.autoblock}
        return encode({**rules, "blocked": blocked, "busiest": busiest})

    async def change(self, command: Command, named: str, *, blocked: bool, reason: str) -> Reply:
        """Block or unblock a range. Changes nothing if it is already so.

        `busiest` blocks the range with the most signals in the window. It unblocks the busiest of the
        blocked ranges, or the one that was blocked last if none was busy. If there is no such range, that
        is an answer. Raises CardRangeInvalid or KeyReused.
        """
        if named != BUSIEST and not _RANGE.fullmatch(named):
            raise CardRangeInvalid(f"The card range is neither six digits nor the word {BUSIEST}.")
        now = self._clock.now()

        async def execute(connection: Connection) -> StoredAnswer:
            choose = self._choose_to_block if blocked else self._choose_to_unblock
            card_range = await choose(connection, now) if named == BUSIEST else named
            after = CardRange(card_range, blocked, command.principal.name, now, reason)
            return await _change(connection, after, command.correlation_id)

        return await execute_once(self._database, command, execute, now=now, answered=NoSuchRange)

    async def _choose_to_block(self, connection: Connection, now: datetime) -> str:
        busiest = await self._read_busiest(connection, now)
        if not busiest or not busiest[0].signals:
            raise NoSuchRange(f"No card range had a signal within {self._settings.window_seconds} s.")
        return busiest[0].card_range

    async def _choose_to_unblock(self, connection: Connection, now: datetime) -> str:
        blocked = [known.card_range for known in await read_blocked(connection)]
        if not blocked:
            raise NoSuchRange("No card range is blocked.")
        busiest = [activity.card_range for activity in await self._read_busiest(connection, now)]
        return next((card_range for card_range in busiest if card_range in blocked), blocked[0])

    async def _read_busiest(self, connection: Connection, now: datetime) -> Sequence[CardRangeActivity]:
        since = now - timedelta(seconds=self._settings.window_seconds)
        small = self._settings.small_amount_minor
        return await read_busiest(connection, since=since, at_most_minor=small)


async def _change(connection: Connection, wanted: CardRange, correlation_id: str) -> StoredAnswer:
    known, changed = await change_range(connection, wanted, correlation_id)
    facts = {"card_range": wanted.card_range, "blocked": False} if known is None else asdict(known)
    return StoredAnswer.of(200, {**facts, "changed": changed})
