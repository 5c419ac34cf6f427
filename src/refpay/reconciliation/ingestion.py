"""Pass reported movements to the payments: those of operations without an outcome, and chargebacks.

What they change is up to the payments package. This module makes sure that none is left out.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from refpay.db.pool import Database, plan_by_key
from refpay.errors import RefpayError
from refpay.providers.reports import CHARGEBACKS, ReportLine
from refpay.reconciliation.evidence_repository import read_unresolved

_LOG: Final = structlog.get_logger()
# Limits how long a statement takes.
_LINES_AT_ONCE: Final = 5_000

# Applies one movement of a provider. It may be called for the same movement again.
MovementHandler = Callable[[str, ReportLine], Awaitable[None]]


async def ignore_movement(_provider: str, _line: ReportLine) -> None:
    """Do nothing; the comparison still shows the movement."""


@dataclass(frozen=True, slots=True)
class Ingestion:
    """Passes on the lines of one provider's reports before they are compared."""

    database: Database
    provider: str
    on_movement: MovementHandler

    async def ingest(self, lines: Sequence[ReportLine]) -> None:
        """Pass on the lines that matter, captures and refunds before the chargebacks of them.

        A line that cannot be applied now is left to a later round: it is compared, and shows as a break.
        """
        moved = [line for line in lines if line.kind not in CHARGEBACKS]
        unresolved: set[str] = set()
        for start in range(0, len(moved), _LINES_AT_ONCE):
            keys = [line.key for line in moved[start : start + _LINES_AT_ONCE]]
            async with self.database.transaction() as connection:
                await plan_by_key(connection)
                unresolved |= await read_unresolved(connection, self.provider, keys)
        wanted = [line for line in moved if line.key in unresolved]
        for line in (*wanted, *(line for line in lines if line.kind in CHARGEBACKS)):
            try:
                await self.on_movement(self.provider, line)
            except RefpayError as problem:
                _LOG.warning("reported_movement_not_taken", provider=self.provider, problem=problem.detail)
