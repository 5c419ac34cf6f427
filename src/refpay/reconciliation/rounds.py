"""Reconcile with one provider, round by round."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from refpay.clock import Clock
from refpay.db.pool import Database, plan_by_key
from refpay.providers.errors import ProviderError
from refpay.providers.report_source import ReportSource
from refpay.providers.reports import NOTICES_MAXIMUM, ReportAnnouncement
from refpay.reconciliation import reports_repository as stored
from refpay.reconciliation.advancing import advance
from refpay.reconciliation.breaks_repository import BreakSum, read_open_keys, read_sums
from refpay.reconciliation.comparing import Comparison, MatchingRules, RowCount
from refpay.reconciliation.counters import ReconciliationCounters
from refpay.reconciliation.evidence_repository import matching_inputs, read_evidence
from refpay.reconciliation.ingestion import Ingestion, MovementHandler, ignore_movement
from refpay.reconciliation.model import Progress
from refpay.reconciliation.report_import import ReportImporter
from refpay.reconciliation.reports_repository import KnownReport

_LOG: Final = structlog.get_logger()
# Pages of new reports in one round. The rest is left to the next round, so that open breaks do not wait.
_PAGES: Final = 5
_REVIEW: Final = 100
_KEYS_AT_ONCE: Final = 1_000
_FAILURES_MAXIMUM: Final = 3


@dataclass(frozen=True, slots=True)
class ReconciliationStatus:
    """The state of reconciliation with one provider."""

    progress: Progress
    open_breaks: tuple[BreakSum, ...]


@dataclass(slots=True)
class _Round:
    """What one round has tried, so that nothing is tried twice and a failing provider is left alone."""

    tried: set[tuple[int, str]] = field(default_factory=set)
    failures: int = 0


class Reconciler:
    """Reconciles with one provider. Everything that has to survive a restart is in the database."""

    def __init__(
        self,
        database: Database,
        source: ReportSource,
        *,
        rules: MatchingRules,
        counters: ReconciliationCounters,
        clock: Clock,
        on_movement: MovementHandler = ignore_movement,
    ) -> None:
        self.provider = source.name
        self._database = database
        self._source = source
        self._rules = rules
        self._counters = counters
        self._clock = clock
        self._ingestion = Ingestion(database, source.name, on_movement)
        self._importer = ReportImporter(
            database, source, rules=rules, clock=clock, ingestion=self._ingestion, counters=counters
        )
        self._unanswered = False
        self._asked_at: datetime | None = None
        # Where the next round continues with known reports and open keys.
        self._reviewed = self._wanted = 0
        self._open = self._awaited = ""

    async def run_once(self) -> bool:
        """Run one round; return whether every request to the provider succeeded.

        Raises DatabaseUnavailable.
        """
        await self._importer.finish()
        problem = await self._import_reports()
        self._log_change(problem)
        await self._match_again()
        async with self._database.transaction() as connection:
            rows = await advance(connection, self.provider, rules=self._rules, now=self._clock.now())
        self._count(rows)
        return problem is None

    async def read_status(self) -> ReconciliationStatus:
        """Return the state of reconciliation; raises DatabaseUnavailable."""
        async with self._database.transaction() as connection:
            progress = await stored.read_progress(connection, self.provider)
            return ReconciliationStatus(progress, tuple(await read_sums(connection, self.provider)))

    async def _import_reports(self) -> str | None:
        """Import new reports, reports that have to be fetched again, and a page of known ones.

        Return what failed.
        """
        this = _Round()
        try:
            await self._import_new(this)
            await self._import_known(this)
        except ProviderError as problem:
            return problem.detail
        return None if this.failures == 0 else "some of its reports cannot be fetched"

    async def _import_new(self, this: _Round) -> None:
        asked_at = self._clock.now()
        async with self._database.transaction() as connection:
            after = await stored.read_newest(connection, self.provider) or 0
        for _ in range(_PAGES):
            found = await self._import_page(this, after=after, limit=NOTICES_MAXIMUM)
            if found is None:
                self._asked_at = asked_at
                break
            after = found

    async def _import_known(self, this: _Round) -> None:
        async with self._database.transaction() as connection:
            wanted = await stored.read_wanted(connection, self.provider, after=self._wanted)
        self._wanted = 0
        if wanted is not None:
            self._wanted = await self._import_page(this, after=wanted - 1, limit=_REVIEW) or 0
        self._reviewed = await self._import_page(this, after=self._reviewed, limit=_REVIEW) or 0

    async def _import_page(self, this: _Round, *, after: int, limit: int) -> int | None:
        """Import one page; return where the next one begins, or None if this was the last."""
        notices = await self._source.notices(after=max(0, after), limit=limit)
        if not notices:
            return None
        async with self._database.transaction() as connection:
            known = await stored.read_known(connection, self.provider, [one.sequence for one in notices])
        for notice in notices:
            if (notice.sequence, notice.digest) not in this.tried:
                await self._import_one(this, notice, known.get(notice.sequence))
        return notices[-1].sequence if len(notices) == limit else None

    async def _import_one(self, this: _Round, notice: ReportAnnouncement, known: KnownReport | None) -> None:
        this.tried.add((notice.sequence, notice.digest))
        overdue = known is None and self._asked_at is not None and self._asked_at > notice.due
        try:
            await self._importer.import_report(notice, known, overdue=overdue)
        except ProviderError:
            # One report that cannot be fetched must not delay the others.
            this.failures += 1
            if this.failures >= _FAILURES_MAXIMUM:
                raise

    async def _match_again(self) -> None:
        """Match open and awaited keys again, because our side may have changed since."""
        async with self._database.transaction() as connection:
            await plan_by_key(connection)
            provider, limit = self.provider, _KEYS_AT_ONCE
            broken = await read_open_keys(connection, provider, after=self._open, limit=limit)
            awaited = await read_open_keys(
                connection, provider, after=self._awaited, limit=limit, awaited=True
            )
            self._open = broken[-1] if len(broken) == limit else ""
            self._awaited = awaited[-1] if len(awaited) == limit else ""
            if not broken and not awaited:
                return
            evidence = matching_inputs(await read_evidence(connection, provider, broken))
        await self._ingestion.ingest([theirs.line for one in evidence for theirs in one.theirs])
        async with self._database.transaction() as connection:
            progress = await stored.read_progress(connection, provider, lock=True)
            comparison = Comparison(connection, provider, self._rules, self._clock.now(), progress.horizon)
            rows = await comparison.compare({*broken, *awaited})
        self._count(rows)

    def _count(self, rows: RowCount) -> None:
        self._counters.count_rows(self.provider, matched=rows.matched, broken=rows.broken)

    def _log_change(self, problem: str | None) -> None:
        """Log once when the provider stops answering, and once when it answers again."""
        if problem is not None and not self._unanswered:
            _LOG.warning("settlement_reports_not_answered", provider=self.provider, problem=problem)
        elif problem is None and self._unanswered:
            _LOG.info("settlement_reports_answered", provider=self.provider)
        self._unanswered = problem is not None
