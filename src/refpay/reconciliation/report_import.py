"""Import an announced report: fetch it, check it, and apply it in parts."""

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from refpay.clock import Clock
from refpay.db.pool import Database
from refpay.providers.report_source import ReportSource
from refpay.providers.reports import ReportAnnouncement, ReportInvalid, ReportReplayed, SettlementReport
from refpay.reconciliation import reports_repository as stored
from refpay.reconciliation.comparing import MatchingRules
from refpay.reconciliation.counters import ReconciliationCounters
from refpay.reconciliation.import_parts import FetchedReport, PartsImporter
from refpay.reconciliation.ingestion import Ingestion
from refpay.reconciliation.model import ReportState
from refpay.reconciliation.reports_repository import KnownReport

_LOG: Final = structlog.get_logger()
# The provider may round an instant at a border of the period.
_BORDER: Final = timedelta(seconds=1)


class ReportImporter:
    """Imports the reports of one provider."""

    def __init__(
        self,
        database: Database,
        source: ReportSource,
        *,
        rules: MatchingRules,
        clock: Clock,
        ingestion: Ingestion,
        counters: ReconciliationCounters,
    ) -> None:
        self._database = database
        self._source = source
        self._clock = clock
        self._ingestion = ingestion
        self._counters = counters
        self._parts = PartsImporter(database, source.name, rules, clock, counters)

    async def import_report(
        self, notice: ReportAnnouncement, known: KnownReport | None, *, overdue: bool
    ) -> None:
        """Import an announced report, unless the revision in force was announced with the same digest.

        `overdue` says that we asked for the report after it was due and it was not there. What is imported is
        counted as soon as it is committed. Raises ProviderError before anything was changed, and
        DatabaseUnavailable, after which the next import of the report goes on.
        """
        if known is not None and known.digest == notice.digest:
            if known.state in (ReportState.ACCEPTED, ReportState.LATE):
                return
            await self._restore(notice, known)
            return
        try:
            report, digest = await self._fetch(notice)
            # Before the comparison, so that news does not show as a break; again if we die in between.
            await self._ingestion.ingest(report.lines)
            lines_digest = await asyncio.to_thread(report.lines_digest)
            await self._parts.import_parts(FetchedReport(notice, report, digest, lines_digest, overdue))
        except ReportInvalid as problem:
            await self._refuse(notice, problem)

    async def finish(self) -> None:
        """Finish an import whose revision is in force. Raises DatabaseUnavailable."""
        await self._parts.finish()

    async def _fetch(self, notice: ReportAnnouncement) -> tuple[SettlementReport, str]:
        body = await self._source.fetch(notice.sequence)
        digest = hashlib.sha256(body).hexdigest()
        if digest != notice.digest and digest != await self._digest_now(notice.sequence):
            raise ReportInvalid("The content does not have the announced digest.")
        # Up to 20 MB, so parsed in a thread.
        report = await asyncio.to_thread(self._source.read, body)
        if report.sequence != notice.sequence:
            raise ReportReplayed(
                f"It was served as report {notice.sequence} and says that it is {report.sequence}."
            )
        if (report.start, report.end) != (notice.start, notice.end):
            raise ReportInvalid("The report's period is not the announced one.")
        _require_period(notice, report)
        return report, digest

    async def _digest_now(self, sequence: int) -> str | None:
        """Return the digest that is announced now: the report may have been corrected since it was listed."""
        notices = await self._source.notices(after=sequence - 1, limit=1)
        return notices[0].digest if notices and notices[0].sequence == sequence else None

    async def _refuse(self, notice: ReportAnnouncement, problem: ReportInvalid) -> None:
        """Record that a report cannot be used."""
        now = self._clock.now()
        provider = self._source.name
        state = ReportState.REPLAYED if isinstance(problem, ReportReplayed) else ReportState.INVALID
        async with self._database.transaction() as connection:
            await stored.read_progress(connection, provider, lock=True)
            known = (await stored.read_known(connection, provider, [notice.sequence])).get(notice.sequence)
            if known is not None and (known.state, known.refused_digest) == (state, notice.digest):
                return
            # What was accepted of it before stays in force, and so does its period.
            before = known if known and known.revision else KnownReport.announced(notice, state, 0, None)
            refused = replace(before, state=state, refused_digest=notice.digest)
            await stored.write_report(connection, provider, refused, problem=problem.detail, now=now)
        _LOG.warning(
            "settlement_report_refused",
            provider=provider,
            sequence=notice.sequence,
            state=state.value,
            problem=problem.detail,
        )
        self._counters.count_report(provider, state)

    async def _restore(self, notice: ReportAnnouncement, known: KnownReport) -> None:
        """Record that the revision in force is served again."""
        async with self._database.transaction() as connection:
            provider = self._source.name
            await stored.read_progress(connection, provider, lock=True)
            again = KnownReport.announced(notice, ReportState.ACCEPTED, known.revision, known.digest)
            await stored.write_report(connection, provider, again, now=self._clock.now())


def _require_period(notice: ReportAnnouncement, report: SettlementReport) -> None:
    first, last = notice.start - _BORDER, notice.end + _BORDER
    if not all(first <= line.at <= last for line in report.lines):
        raise ReportInvalid("A line lies outside the report's period.")
