"""Run the integrity checks over payments and ledger."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.ids import mint_id
from refpay.ledger.causes import END_ID, FIRST_ID
from refpay.operations.checks_repository import (
    MoneyAtRisk,
    Reason,
    find_boundary,
    read_id_range,
    read_late,
    read_open,
    read_touched,
)
from refpay.providers.routing import Route, read_routes

__all__ = ["CHECKS", "Checks", "IntegrityReport", "MoneyAtRisk", "Reason"]

# Which reasons violate which check. Indeterminate money violates none, because it is on its way. A difference
# from a settlement report violates `settlement_matched`, which the reconciliation jobs export.
CHECKS: Final[dict[str, tuple[Reason, ...]]] = {
    "ledger_balance": (Reason.LEDGER_IMBALANCE,),
    "captures_posted": (Reason.CAPTURE_WITHOUT_POSTING, Reason.POSTING_WITHOUT_CAPTURE),
    "single_charge": (Reason.DUPLICATE_CHARGE,),
}
ID_RANGE_ROWS: Final = 4_000
SWEEP_SECONDS: Final = 0.1
CATCH_UP_SECONDS: Final = 1.0
# A sweep takes no more rounds than this, however many rows there are.
SWEEP_ROUNDS: Final = 300
# An id range is closed when it is older than the outcome deadline by this much. What changes there afterwards
# is late, or somebody changed it by hand.
_MARGIN: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class IntegrityReport:
    """The result of one round of checks."""

    at: datetime
    at_risk: Sequence[MoneyAtRisk]
    routes: Sequence[Route]

    def violations(self, check: str) -> int:
        """Return how many findings violate a check."""
        return sum(found.findings for found in self.at_risk if found.reason in CHECKS[check])


class Checks:
    """Checks payments and ledger range by range, in one process at a time.

    Every round reads the open range at the end, each range in which something is wrong, what was resolved
    late, and as many other ranges as fit into SWEEP_SECONDS. So everything is read again and again, in at
    most SWEEP_ROUNDS rounds. If the server has counted an update or delete in the ledger, which only ever
    grows, all ranges are due at once and are read for CATCH_UP_SECONDS a round. Nothing is reported before
    everything was read once.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        outcome_deadline: timedelta,
        id_range_rows: int = ID_RANGE_ROWS,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._outcome_deadline = outcome_deadline
        self._id_range_rows = id_range_rows
        self._sweep_seconds = sweep_seconds
        # The first id of each range; the last range is open.
        self._starts: list[UUID] = [FIRST_ID]
        self._found: dict[int, Sequence[MoneyAtRisk]] = {}
        # Ranges that have to be read soon, and where the sweep continues.
        self._due: set[int] = {0}
        self._complete = False
        self._next = 0
        self._touched: str | None = None
        self._resolved_since: datetime | None = None

    async def run_once(self) -> IntegrityReport:
        """Run one round; raises DatabaseUnavailable."""
        now = self._clock.now()
        posted_before = now - self._outcome_deadline
        async with self._database.transaction() as connection:
            touched = await read_touched(connection)
            late = await read_late(
                connection,
                since=(self._resolved_since or now) - self._outcome_deadline - _MARGIN,
                posted_before=posted_before,
            )
        await self._close_id_ranges(posted_before - _MARGIN)
        if touched != self._touched:
            self._due.update(range(len(self._starts)))
        for place in {*self._found, *(self._place_of(one) for one in late), len(self._starts) - 1}:
            await self._read(place, posted_before)
        await self._catch_up(posted_before)
        await self._sweep(posted_before)
        # Set at the end, so that a failed round is repeated.
        self._touched, self._resolved_since = touched, now
        async with self._database.transaction() as connection:
            opened = await read_open(connection, now=now, posted_before=posted_before)
            routes = await read_routes(connection)
        return IntegrityReport(now, _added([*self._found.values(), opened]), routes)

    async def _close_id_ranges(self, aged: datetime) -> None:
        """Split off ranges where the open one has grown, as long as nothing in them is still in progress."""
        before = mint_id(aged)
        while True:
            async with self._database.transaction() as connection:
                boundary = await find_boundary(connection, self._starts[-1], before, rows=self._id_range_rows)
            if boundary is None:
                return
            self._due.add(len(self._starts) - 1)
            self._starts.append(boundary)

    async def _catch_up(self, posted_before: datetime) -> None:
        until = self._clock.monotonic() + CATCH_UP_SECONDS
        while self._due:
            await self._read(min(self._due), posted_before)
            if self._complete and self._clock.monotonic() >= until:
                return
        self._complete = True

    async def _sweep(self, posted_before: datetime) -> None:
        until = self._clock.monotonic() + self._sweep_seconds
        least = -(-len(self._starts) // SWEEP_ROUNDS)
        for count in range(len(self._starts)):
            if count >= least and self._clock.monotonic() >= until:
                return
            self._next = (self._next + 1) % len(self._starts)
            await self._read(self._next, posted_before)

    async def _read(self, place: int, posted_before: datetime) -> None:
        end = self._starts[place + 1] if place + 1 < len(self._starts) else END_ID
        async with self._database.transaction() as connection:
            found = await read_id_range(connection, self._starts[place], end, posted_before=posted_before)
        self._due.discard(place)
        if found:
            self._found[place] = found
        else:
            self._found.pop(place, None)

    def _place_of(self, one: UUID) -> int:
        return bisect_right(self._starts, one) - 1


def _added(parts: Sequence[Sequence[MoneyAtRisk]]) -> Sequence[MoneyAtRisk]:
    """Return the sum for each reason, provider and currency."""
    sums: dict[tuple[Reason, str | None, str], MoneyAtRisk] = {}
    for one in (one for part in parts for one in part):
        key = (one.reason, one.provider, one.currency)
        before = sums.get(key)
        if before is not None:
            one = MoneyAtRisk(
                *key,
                before.findings + one.findings,
                before.minor_units + one.minor_units,
                before.at_risk_minor_units + one.at_risk_minor_units,
                min((at for at in (before.oldest, one.oldest) if at is not None), default=None),
            )
        sums[key] = one
    return list(sums.values())
