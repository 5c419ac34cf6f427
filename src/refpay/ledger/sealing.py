"""The chain over the ledger: what is sealed and how, and the months that are made beside it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.ledger.cold_storage import SEALS, read_archives, stream_live
from refpay.seals.sealing import Sealer
from refpay.seals.stored import Chain

CHECK: Final = "ledger_chain"
_MONTHS_AHEAD: Final = 3
_PARTITIONS_EVERY: Final = timedelta(hours=1)

_LOG: Final = structlog.get_logger()


async def _read_moved(connection: Any) -> Sequence[tuple[UUID, UUID]]:
    """Return the id ranges of the months in cold storage."""
    return tuple((one.first_id, one.end_id) for one in await read_archives(connection))


LEDGER: Final = Chain(
    name="ledger",
    seals=SEALS,
    seal="SELECT ledger.seal_entries($1, $2)",
    stream_entries=stream_live,
    read_moved=_read_moved,
)


class LedgerSealer:
    """Seals committed entries and creates the coming months. Two may run at the same time."""

    def __init__(self, database: Database, *, clock: Clock, folder: Path) -> None:
        self._database, self._clock = database, clock
        self._sealer = Sealer(database, LEDGER, clock=clock, folder=folder)
        self._prepared: datetime | None = None

    async def run_once(self) -> int:
        """Seal everything that can be sealed, within bounds; return the number of entries sealed."""
        now = self._clock.now()
        if self._prepared is None or abs(now - self._prepared) >= _PARTITIONS_EVERY:
            async with self._database.transaction() as connection:
                stray = await connection.fetchval("SELECT ledger.make_partitions($1, $2)", now, _MONTHS_AHEAD)
            if stray:
                _LOG.error("ledger_month_missing", entries=stray, table="ledger.entry_default")
            self._prepared = now
        return await self._sealer.run_once()
