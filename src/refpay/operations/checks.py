"""Runs the integrity checks and says what they found."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.ids import mint_id
from refpay.operations.checks_repository import (
    END_ID,
    FIRST_ID,
    Reason,
    Suspicion,
    find_boundary,
    read_late,
    read_open,
    read_stretch,
    read_touched,
)
from refpay.providers.routing import Route, read_routes

__all__ = ["CHECKS", "Checks", "Findings", "Reason", "Suspicion"]

# Which reasons break which check. Indeterminate money is no violation: it is on its way. What differs
# from a settlement report breaks `settlement_matched`, whose last success only a reconciling round can tell.
CHECKS: Final[dict[str, tuple[Reason, ...]]] = {
    "ledger_balance": (Reason.LEDGER_IMBALANCE,),
    "captures_posted": (Reason.CAPTURE_WITHOUT_POSTING, Reason.POSTING_WITHOUT_CAPTURE),
    "single_charge": (Reason.DUPLICATE_CHARGE,),
}
STRETCH_ROWS: Final = 4_000
SWEEP_SECONDS: Final = 0.1
RUSH_SECONDS: Final = 1.0
# However large the books are, a sweep takes no more rounds.
SWEEP_ROUNDS: Final = 300
# Older by so much than the settle deadline, a stretch is closed: what changes there is late, or a hand in it.
_MARGIN: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known after one round."""

    at: datetime
    suspicions: Sequence[Suspicion]
    routes: Sequence[Route]

    def violations(self, check: str) -> int:
        """Return how many findings break a check."""
        return sum(found.findings for found in self.suspicions if found.reason in CHECKS[check])


class Checks:
    """Reads the books in stretches of ids; the worker's, one process at a time.

    Every round reads the open stretch at the end, each stretch in which something is wrong, what was settled
    late, and as many others as fit into SWEEP_SECONDS: so the whole book again and again, in at most
    SWEEP_ROUNDS. When the server has counted a change where nothing ever changes, all of it is due at once,
    RUSH_SECONDS a round. Nothing is said before everything was read once.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        settle_deadline: timedelta,
        stretch_rows: int = STRETCH_ROWS,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._settle_deadline = settle_deadline
        self._stretch_rows = stretch_rows
        self._sweep_seconds = sweep_seconds
        # The first id of each stretch; the last one is open.
        self._starts: list[UUID] = [FIRST_ID]
        self._found: dict[int, Sequence[Suspicion]] = {}
        # Those that have to be read soon, and where the sweep goes on.
        self._due: set[int] = {0}
        self._complete = False
        self._next = 0
        self._touched: str | None = None
        self._settled_since: datetime | None = None

    async def run_once(self) -> Findings:
        """Run every check; raises DatabaseUnavailable."""
        now = self._clock.now()
        posted_before = now - self._settle_deadline
        async with self._database.transaction() as connection:
            touched = await read_touched(connection)
            late = await read_late(
                connection,
                since=(self._settled_since or now) - self._settle_deadline - _MARGIN,
                posted_before=posted_before,
            )
        await self._close_stretches(posted_before - _MARGIN)
        if touched != self._touched:
            self._due.update(range(len(self._starts)))
        for place in {*self._found, *(self._place_of(one) for one in late), len(self._starts) - 1}:
            await self._read(place, posted_before)
        await self._hurry(posted_before)
        await self._sweep(posted_before)
        # Only now, so that a round that failed is made up for.
        self._touched, self._settled_since = touched, now
        async with self._database.transaction() as connection:
            opened = await read_open(connection, now=now, posted_before=posted_before)
            routes = await read_routes(connection)
        return Findings(now, _added([*self._found.values(), opened]), routes)

    async def _close_stretches(self, aged: datetime) -> None:
        """Begin new stretches where the open one has grown, as long as nothing in them is on its way."""
        before = mint_id(aged)
        while True:
            async with self._database.transaction() as connection:
                boundary = await find_boundary(connection, self._starts[-1], before, rows=self._stretch_rows)
            if boundary is None:
                return
            self._due.add(len(self._starts) - 1)
            self._starts.append(boundary)

    async def _hurry(self, posted_before: datetime) -> None:
        until = self._clock.monotonic() + RUSH_SECONDS
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
            found = await read_stretch(connection, self._starts[place], end, posted_before=posted_before)
        self._due.discard(place)
        if found:
            self._found[place] = found
        else:
            self._found.pop(place, None)

    def _place_of(self, one: UUID) -> int:
        return bisect_right(self._starts, one) - 1


def _added(parts: Sequence[Sequence[Suspicion]]) -> Sequence[Suspicion]:
    """Return one suspicion for each reason, provider and currency."""
    sums: dict[tuple[Reason, str | None, str], Suspicion] = {}
    for one in (one for part in parts for one in part):
        key = (one.reason, one.provider, one.currency)
        before = sums.get(key)
        if before is not None:
            one = Suspicion(
                *key,
                before.findings + one.findings,
                before.minor_units + one.minor_units,
                before.at_risk_minor_units + one.at_risk_minor_units,
                min((at for at in (before.oldest, one.oldest) if at is not None), default=None),
            )
        sums[key] = one
    return list(sums.values())
