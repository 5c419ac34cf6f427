"""One round with one provider: what is new, what has changed, what is open, and how far we are."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

import structlog

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.providers.errors import ProviderError
from refpay.providers.report_source import ReportSource
from refpay.providers.reports import NOTICES_MAXIMUM, ReportNotice
from refpay.reconciliation import reports_repository as stored
from refpay.reconciliation.advancing import advance
from refpay.reconciliation.breaks_repository import BreakSum, read_open_keys, read_sums
from refpay.reconciliation.comparing import Comparison, RowCount, Rules
from refpay.reconciliation.evidence_repository import read_evidence
from refpay.reconciliation.hearing import Hearing, Take, take_nothing
from refpay.reconciliation.intake import Intake
from refpay.reconciliation.model import Progress
from refpay.reconciliation.reports_repository import KnownReport

_LOG: Final = structlog.get_logger()
# Pages of news in one round: more is left to the next, so that what is open is looked at meanwhile.
_PAGES: Final = 5
_REVIEW: Final = 100
_KEYS_AT_ONCE: Final = 1_000
_FAILURES_MOST: Final = 3


class Tally(Protocol):
    """Counts what rounds have done, as soon as it is committed."""

    def count_rows(self, provider: str, *, matched: int, broken: int) -> None:
        """Count rows that were compared."""
        ...

    def count_report(self, provider: str, state: str) -> None:
        """Count what became of a report."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """Where we stand with one provider."""

    progress: Progress
    open_breaks: tuple[BreakSum, ...]


@dataclass(slots=True)
class _Round:
    """What one round has tried: nothing twice, and not for long with a provider that fails."""

    tried: set[tuple[int, str]] = field(default_factory=set)
    failures: int = 0


class Reconciler:
    """Reconciles with one provider, round by round; all that it must not forget is in the database."""

    def __init__(
        self,
        database: Database,
        source: ReportSource,
        *,
        rules: Rules,
        tally: Tally,
        clock: Clock,
        take: Take = take_nothing,
    ) -> None:
        self.provider = source.name
        self._database = database
        self._source = source
        self._rules = rules
        self._tally = tally
        self._clock = clock
        self._hearing = Hearing(database, source.name, take)
        self._intake = Intake(database, source, rules=rules, clock=clock, hearing=self._hearing)
        self._silent = False
        self._asked_at: datetime | None = None
        # Where the next round goes on looking at what is known already.
        self._reviewed = self._wanted = 0
        self._open = self._awaited = ""

    async def run_once(self) -> bool:
        """Run one round; return whether the provider answered all through. Raises DatabaseUnavailable."""
        problem = await self._take_in()
        self._say(problem)
        await self._look_again()
        async with self._database.transaction() as connection:
            rows = await advance(connection, self.provider, rules=self._rules, now=self._clock.now())
        self._count(rows)
        return problem is None

    async def read_standing(self) -> Standing:
        """Return where we stand; raises DatabaseUnavailable."""
        async with self._database.transaction() as connection:
            progress = await stored.read_progress(connection, self.provider)
            return Standing(progress, tuple(await read_sums(connection, self.provider)))

    async def _take_in(self) -> str | None:
        """Take in what is new, what has to be fetched again, and a page of the rest; return what failed."""
        this = _Round()
        try:
            await self._take_news(this)
            await self._take_known(this)
        except ProviderError as problem:
            return problem.detail
        return None if this.failures == 0 else "some of its reports cannot be fetched"

    async def _take_news(self, this: _Round) -> None:
        asked_at = self._clock.now()
        async with self._database.transaction() as connection:
            after = await stored.read_newest(connection, self.provider) or 0
        for _ in range(_PAGES):
            found = await self._take_page(this, after=after, limit=NOTICES_MAXIMUM)
            if found is None:
                self._asked_at = asked_at
                break
            after = found

    async def _take_known(self, this: _Round) -> None:
        async with self._database.transaction() as connection:
            wanted = await stored.read_wanted(connection, self.provider, after=self._wanted)
        self._wanted = 0
        if wanted is not None:
            self._wanted = await self._take_page(this, after=wanted - 1, limit=_REVIEW) or 0
        self._reviewed = await self._take_page(this, after=self._reviewed, limit=_REVIEW) or 0

    async def _take_page(self, this: _Round, *, after: int, limit: int) -> int | None:
        """Take one page in; return where the next one begins, or None if this was the last."""
        notices = await self._source.notices(after=max(0, after), limit=limit)
        if not notices:
            return None
        async with self._database.transaction() as connection:
            known = await stored.read_known(connection, self.provider, [one.sequence for one in notices])
        for notice in notices:
            if (notice.sequence, notice.digest) not in this.tried:
                await self._take(this, notice, known.get(notice.sequence))
        return notices[-1].sequence if len(notices) == limit else None

    async def _take(self, this: _Round, notice: ReportNotice, known: KnownReport | None) -> None:
        this.tried.add((notice.sequence, notice.digest))
        overdue = known is None and self._asked_at is not None and self._asked_at > notice.due
        try:
            taken = await self._intake.take(notice, known, overdue=overdue)
        except ProviderError:
            # One report that cannot be had must not keep the others back.
            this.failures += 1
            if this.failures >= _FAILURES_MOST:
                raise
            return
        self._count(taken.rows)
        if taken.result is not None:
            self._tally.count_report(self.provider, taken.result)

    async def _look_again(self) -> None:
        """Compare again what is open or awaited: our own side may have moved since, or moves now."""
        async with self._database.transaction() as connection:
            provider, limit = self.provider, _KEYS_AT_ONCE
            broken = await read_open_keys(connection, provider, after=self._open, limit=limit)
            awaited = await read_open_keys(
                connection, provider, after=self._awaited, limit=limit, awaited=True
            )
            self._open = broken[-1] if len(broken) == limit else ""
            self._awaited = awaited[-1] if len(awaited) == limit else ""
            if not broken and not awaited:
                return
            evidence = await read_evidence(connection, provider, broken)
        await self._hearing.hear([theirs.line for one in evidence for theirs in one.theirs])
        async with self._database.transaction() as connection:
            progress = await stored.read_progress(connection, provider, lock=True)
            comparison = Comparison(connection, provider, self._rules, self._clock.now(), progress.horizon)
            rows = await comparison.compare({*broken, *awaited})
        self._count(rows)

    def _count(self, rows: RowCount) -> None:
        self._tally.count_rows(self.provider, matched=rows.matched, broken=rows.broken)

    def _say(self, problem: str | None) -> None:
        """Log once when the provider falls silent, and once when it answers again."""
        if problem is not None and not self._silent:
            _LOG.warning("settlement_reports_not_answered", provider=self.provider, problem=problem)
        elif problem is None and self._silent:
            _LOG.info("settlement_reports_answered", provider=self.provider)
        self._silent = problem is not None
