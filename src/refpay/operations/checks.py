"""Runs the integrity checks and says what they found."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.operations.checks_repository import Reason, Suspicion, read_suspicions
from refpay.providers.routing import Route
from refpay.providers.routing_repository import read_routes

# Which reasons break which check. Indeterminate money is no violation: it is on its way. What differs
# from a settlement report breaks `settlement_matched`, whose last success only a reconciling round can tell.
CHECKS: Final[dict[str, tuple[Reason, ...]]] = {
    "ledger_balance": (Reason.LEDGER_IMBALANCE,),
    "captures_posted": (Reason.CAPTURE_WITHOUT_POSTING, Reason.POSTING_WITHOUT_CAPTURE),
    "single_charge": (Reason.DUPLICATE_CHARGE,),
}


@dataclass(frozen=True, slots=True)
class Findings:
    """What was true at one instant."""

    at: datetime
    suspicions: Sequence[Suspicion]
    routes: Sequence[Route]

    def violations(self, check: str) -> int:
        """Return how many findings break a check."""
        return sum(found.findings for found in self.suspicions if found.reason in CHECKS[check])


class Checks:
    """Reads the whole book; the worker's, one process at a time."""

    def __init__(self, database: Database, *, clock: Clock, settle_deadline: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._settle_deadline = settle_deadline

    async def run_once(self) -> Findings:
        """Run every check; raises DatabaseUnavailable."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            suspicions = await read_suspicions(connection, now=now, posted_before=now - self._settle_deadline)
            routes = await read_routes(connection)
        return Findings(now, suspicions, routes)
