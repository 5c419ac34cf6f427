"""Run the integrity checks over payments and ledger."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.ids import mint_id
from refpay.ledger.causes import END_ID, FIRST_ID
from refpay.operations.checks_memory import (
    KeptChecks,
    KeptRange,
    read_database_name,
    read_kept,
    write_kept,
)
from refpay.operations.checks_plans import plan_id_ranges
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
# How much reading a process that dies may lose.
KEEP_SECONDS: Final = 5.0
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_LOG: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class IntegrityReport:
    """The result of one round of checks. No id range was last read before `read_since`."""

    at: datetime
    read_since: datetime
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

    What was read is kept in the file `kept`. The next process goes on from it, as after a pause between two
    rounds, and has every range due at once, the oldest reading first.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        outcome_deadline: timedelta,
        id_range_rows: int = ID_RANGE_ROWS,
        sweep_seconds: float = SWEEP_SECONDS,
        kept: Path | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._outcome_deadline = outcome_deadline
        self._id_range_rows = id_range_rows
        self._sweep_seconds = sweep_seconds
        # The first id of each range; the last range is open.
        self._starts: list[UUID] = [FIRST_ID]
        self._found: dict[int, Sequence[MoneyAtRisk]] = {}
        # When each range was last read. Those that are not in here have to be read before anything is told.
        self._read_at: dict[int, datetime] = {}
        # Ranges that have to be read soon, those of them whose reading the next process must not use, and
        # where the sweep continues.
        self._due: set[int] = {0}
        self._doubtful: set[int] = set()
        self._next = 0
        self._kept = kept
        self._kept_at: float | None = None
        self._told = False
        self._database_name = ""
        self._touched: str | None = None
        self._resolved_since: datetime | None = None

    async def run_once(self) -> IntegrityReport:
        """Run one round; raises DatabaseUnavailable."""
        now = self._clock.now()
        posted_before = now - self._outcome_deadline
        async with self._database.transaction() as connection:
            touched = await read_touched(connection)
            if not self._database_name:
                self._database_name = await read_database_name(connection)
                self._resume(touched, now)
            # Of the first round until it has succeeded: what it has read counts from then.
            resolved_since = self._resolved_since = self._resolved_since or now
            late = await read_late(
                connection,
                since=resolved_since - self._outcome_deadline - _MARGIN,
                posted_before=posted_before,
            )
        await self._close_id_ranges(posted_before - _MARGIN)
        if touched != self._touched:
            self._due.update(range(len(self._starts)))
            self._doubtful.update(self._due)
        self._touched = touched
        for place in {*self._found, *(self._place_of(one) for one in late), len(self._starts) - 1}:
            await self._read(place, posted_before)
        await self._catch_up(posted_before, resolved_since)
        await self._sweep(posted_before)
        # Set at the end, so that a failed round is repeated.
        self._resolved_since = now
        await self._keep(now, at_once=not self._told)
        self._told = True
        async with self._database.transaction() as connection:
            opened = await read_open(connection, now=now, posted_before=posted_before)
            routes = await read_routes(connection)
        return IntegrityReport(
            now, min(self._read_at.values()), _added([*self._found.values(), opened]), routes
        )

    async def _close_id_ranges(self, aged: datetime) -> None:
        """Split off ranges where the open one has grown, as long as nothing in them is still in progress."""
        before = mint_id(aged)
        while True:
            async with self._database.transaction() as connection:
                boundary = await find_boundary(connection, self._starts[-1], before, rows=self._id_range_rows)
            if boundary is None:
                return
            # What it has grown by has not been read.
            self._read_at.pop(len(self._starts) - 1, None)
            self._due.add(len(self._starts) - 1)
            self._starts.append(boundary)

    async def _catch_up(self, posted_before: datetime, resolved_since: datetime) -> None:
        until = self._clock.monotonic() + CATCH_UP_SECONDS
        while self._due:
            # Those that were never read first, then the oldest reading.
            await self._read(
                min(self._due, key=lambda one: (self._read_at.get(one, _NEVER), one)), posted_before
            )
            await self._keep(resolved_since)
            if self._due <= self._read_at.keys() and self._clock.monotonic() >= until:
                return

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
            await plan_id_ranges(connection)
            found = await read_id_range(connection, self._starts[place], end, posted_before=posted_before)
        self._due.discard(place)
        self._doubtful.discard(place)
        self._read_at[place] = self._clock.now()
        if found:
            self._found[place] = found
        else:
            self._found.pop(place, None)

    def _resume(self, touched: str, now: datetime) -> None:
        """Go on from what an earlier process has read, and have all of it read again."""
        kept = self._kept and read_kept(self._kept, database=self._database_name, touched=touched, now=now)
        if not kept:
            return
        self._starts = [one.start for one in kept.ranges]
        self._found = {place: one.found for place, one in enumerate(kept.ranges) if one.found}
        self._read_at = {
            place: one.read_at for place, one in enumerate(kept.ranges) if one.read_at is not None
        }
        self._due = set(range(len(self._starts)))
        self._touched, self._resolved_since = touched, kept.at
        oldest = min(self._read_at.values(), default=None)
        _LOG.info(
            "integrity_readings_resumed",
            ranges=len(self._starts),
            unread=len(self._starts) - len(self._read_at),
            at=kept.at.isoformat(),
            read_since=oldest and oldest.isoformat(),
        )

    async def _keep(self, resolved_since: datetime, *, at_once: bool = False) -> None:
        """Keep what was read, at most once in KEEP_SECONDS unless `at_once`."""
        elapsed = self._clock.monotonic()
        waits = self._kept_at is not None and elapsed < self._kept_at + KEEP_SECONDS
        if self._kept is None or (waits and not at_once):
            return
        self._kept_at = elapsed
        ranges = [
            KeptRange(
                start,
                None if place in self._doubtful else self._read_at.get(place),
                self._found.get(place, ()),
            )
            for place, start in enumerate(self._starts)
        ]
        kept = KeptChecks(self._database_name, self._touched or "", resolved_since, ranges)
        await asyncio.to_thread(write_kept, self._kept, kept)

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
