"""Hands on what reports say of operations that have no outcome with us, and of chargebacks.

What becomes of it is the payments' business; here it is only seen to that nothing is left out.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from refpay.db.pool import Database
from refpay.errors import RefpayError
from refpay.providers.reports import CHARGEBACKS, ReportLine
from refpay.reconciliation.evidence_repository import read_unsettled

_LOG: Final = structlog.get_logger()

# Takes one movement of a provider, however often it is told of it.
Take = Callable[[str, ReportLine], Awaitable[None]]


async def take_nothing(_provider: str, _line: ReportLine) -> None:
    """Leave it to the comparison."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """Hears the lines of one provider's reports before they are compared."""

    database: Database
    provider: str
    take: Take

    async def hear(self, lines: Sequence[ReportLine]) -> None:
        """Hand on what matters, captures and refunds before the chargebacks of them.

        What cannot be taken now is left to a later round: its line is compared, and shows as a break.
        """
        moved = [line for line in lines if line.kind not in CHARGEBACKS]
        async with self.database.transaction() as connection:
            unsettled = await read_unsettled(connection, self.provider, [line.key for line in moved])
        wanted = [line for line in moved if line.key in unsettled]
        for line in (*wanted, *(line for line in lines if line.kind in CHARGEBACKS)):
            try:
                await self.take(self.provider, line)
            except RefpayError as problem:
                _LOG.warning("reported_movement_not_taken", provider=self.provider, problem=problem.detail)
