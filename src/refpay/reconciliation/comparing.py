"""Match a set of keys, and bring breaks and awaited lines into line with the results."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from refpay.costs import CostModel
from refpay.db.pool import Connection, plan_by_key
from refpay.reconciliation import breaks_repository as stored
from refpay.reconciliation.breaks_repository import Place
from refpay.reconciliation.evidence_repository import (
    EvidenceRows,
    matching_inputs,
    read_doubled_keys,
    read_evidence,
)
from refpay.reconciliation.matching import Matcher, MatchingInput
from refpay.reconciliation.model import Break, BreakClass, MatchResult

# Limits the arrays of a statement and how long it takes. A part of a report has several, so that PostgreSQL
# reads one while the one before is matched.
_CHUNK: Final = 1_000

_Matched = Sequence[tuple[MatchingInput, MatchResult]]


@dataclass(frozen=True, slots=True)
class MatchingRules:
    """What is agreed on: fees and rates, and how long an operation may be open after its deadline."""

    costs: CostModel
    unresolved_grace: timedelta


@dataclass(slots=True)
class RowCount:
    """Rows that were matched for the first time in their revision."""

    matched: int = 0
    broken: int = 0

    def add(self, other: "RowCount") -> None:
        """Add another count to this one."""
        self.matched += other.matched
        self.broken += other.broken


@dataclass(frozen=True, slots=True)
class FreshLines:
    """Lines of a report that are compared for the first time, at positions from `first` to before `end`."""

    sequence: int
    first: int
    end: int

    def has(self, place: tuple[int, int]) -> bool:
        """Return whether a line is one of these."""
        sequence, position = place
        return sequence == self.sequence and self.first <= position < self.end


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison with one provider at one instant, in one transaction that holds the provider's lock."""

    connection: Connection
    provider: str
    rules: MatchingRules
    now: datetime
    horizon: datetime | None

    async def compare(self, keys: Collection[str], *, fresh: FreshLines | None = None) -> RowCount:
        """Match these keys, and the charges that they refund.

        Return the rows that were matched for the first time.

        `fresh` are lines that have just come into force. Repeating a comparison changes nothing.
        """
        await plan_by_key(self.connection)
        wanted = set(keys)
        for chunk in _chunks(keys):
            wanted |= await read_doubled_keys(self.connection, self.provider, chunk)
        count = RowCount()
        chunks = iter(_chunks(wanted))
        read = await self._read(next(chunks, None))
        while read is not None:
            # Nothing that is kept of one chunk is evidence for another one, so the next one is read ahead.
            matching, reading = asyncio.to_thread(self._match, read), self._read(next(chunks, None))
            matched, read = await asyncio.gather(matching, reading)
            count.add(await self._keep(matched, fresh))
        return count

    async def _read(self, chunk: Sequence[str] | None) -> EvidenceRows | None:
        return None if chunk is None else await read_evidence(self.connection, self.provider, chunk)

    def _match(self, read: EvidenceRows) -> _Matched:
        grace, costs = self.rules.unresolved_grace, self.rules.costs
        matcher = Matcher(self.provider, self.now, self.horizon, grace, costs)
        return [(one, matcher.match(one)) for one in matching_inputs(read)]

    async def _keep(self, results: _Matched, fresh: FreshLines | None) -> RowCount:
        keys = [one.key for one, _ in results]
        opened = await self._keep_breaks(keys, [found for _, one in results for found in one.breaks])
        compared = await self._keep_awaited(keys, results)
        return _count(results, opened, compared, fresh)

    async def _keep_breaks(self, keys: Sequence[str], found: Sequence[Break]) -> Sequence[Break]:
        """Open, change and close breaks; return those that were opened."""
        known = await stored.read_open(self.connection, self.provider, keys)
        opened = []
        for one in found:
            row_id, facts = known.pop(one.id, (None, None))
            if row_id is None:
                opened.append(one)
            elif facts != one.facts:
                await stored.change_break(self.connection, row_id, one)
        await stored.insert_breaks(self.connection, self.provider, opened, now=self.now)
        if known:
            ended = [row_id for row_id, _ in known.values()]
            await stored.close_breaks(self.connection, ended, now=self.now)
        return opened

    async def _keep_awaited(
        self, keys: Sequence[str], results: Iterable[tuple[MatchingInput, MatchResult]]
    ) -> set[Place]:
        """Store which lines are awaited; return those that no longer are."""
        known = dict(await stored.read_awaited(self.connection, self.provider, keys))
        waiting = {
            (theirs.sequence, one.key) for one, result in results if result.awaiting for theirs in one.theirs
        }
        begun = sorted(waiting - set(known))
        ended = set(known) - waiting
        await stored.change_awaited(
            self.connection, self.provider, begun=begun, ended=[known[place] for place in ended], now=self.now
        )
        return ended


def _chunks(keys: Collection[str]) -> Iterator[Sequence[str]]:
    ordered = sorted(keys)
    for start in range(0, len(ordered), _CHUNK):
        yield ordered[start : start + _CHUNK]


def _count(
    results: Iterable[tuple[MatchingInput, MatchResult]],
    opened: Iterable[Break],
    compared: Collection[Place],
    fresh: FreshLines | None,
) -> RowCount:
    count = RowCount()
    for one, result in results:
        if result.awaiting:
            continue
        broken = {found.place for found in result.breaks}
        for theirs in one.theirs:
            is_fresh = fresh is not None and fresh.has(theirs.place)
            if is_fresh or (theirs.sequence, one.key) in compared:
                if theirs.place in broken:
                    count.broken += 1
                else:
                    count.matched += 1
    # A row of ours that no report has counts as compared when it is found missing.
    count.broken += sum(found.id.break_class is BreakClass.MISSING_THEIRS for found in opened)
    return count
