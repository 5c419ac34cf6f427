"""Import an announced report: fetch it, check it, and apply it as a whole in one transaction."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from moneypath.telemetry.integrations.ledger import LedgerWrite
from refpay.clock import Clock
from refpay.db.errors import LEDGER_OUTCOMES
from refpay.db.pool import Database
from refpay.ledger.entries import EntryKind
from refpay.ledger.repository import post
from refpay.providers.report_source import ReportSource
from refpay.providers.reports import ReportAnnouncement, ReportInvalid, ReportReplayed, SettlementReport
from refpay.reconciliation import reports_repository as stored
from refpay.reconciliation.comparing import Comparison, MatchingRules, RowCount
from refpay.reconciliation.counters import ReconciliationCounters
from refpay.reconciliation.ingestion import Ingestion
from refpay.reconciliation.model import ReportState
from refpay.reconciliation.report_entries import report_entries
from refpay.reconciliation.reports_repository import KnownReport

_LOG: Final = structlog.get_logger()
# The provider may round an instant at a border of the period.
_BORDER: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The result of an import. `result` is None if the report is not new."""

    result: ReportState | None
    rows: RowCount


NOTHING_NEW: Final = ImportResult(None, RowCount())


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
        self._rules = rules
        self._clock = clock
        self._ingestion = ingestion
        self._counters = counters

    async def import_report(
        self, notice: ReportAnnouncement, known: KnownReport | None, *, overdue: bool
    ) -> ImportResult:
        """Import an announced report, unless the revision in force was announced with the same digest.

        `overdue` says that we asked for the report after it was due and it was not there. Raises
        ProviderError and DatabaseUnavailable, both before anything was changed.
        """
        if known is not None and known.digest == notice.digest:
            if known.state in (ReportState.ACCEPTED, ReportState.LATE):
                return NOTHING_NEW
            await self._restore(notice, known)
            return NOTHING_NEW
        try:
            report, digest = await self._fetch(notice)
            # Before the comparison, so that news does not show as a break; again if we die in between.
            await self._ingestion.ingest(report.lines)
            return await self._apply(notice, report, digest, overdue=overdue)
        except ReportInvalid as problem:
            return await self._refuse(notice, problem)

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

    async def _apply(
        self, notice: ReportAnnouncement, report: SettlementReport, digest: str, *, overdue: bool
    ) -> ImportResult:
        with (
            self._counters.ledger_write(None, LEDGER_OUTCOMES) as fees,
            self._counters.ledger_write(None, LEDGER_OUTCOMES) as exchanges,
        ):
            # Which of the two are posted is known only within the transaction; the others are not counted.
            writes = {EntryKind.FEE: fees, EntryKind.FX: exchanges}
            return await self._apply_counted(notice, report, digest, writes, overdue=overdue)

    async def _apply_counted(
        self,
        notice: ReportAnnouncement,
        report: SettlementReport,
        digest: str,
        writes: Mapping[EntryKind, LedgerWrite],
        *,
        overdue: bool,
    ) -> ImportResult:
        now = self._clock.now()
        provider = self._source.name
        async with self._database.transaction() as connection:
            progress = await stored.read_progress(connection, provider, lock=True)
            other = await stored.find_elsewhere(connection, provider, report)
            if other is not None:
                raise ReportReplayed(
                    f"It was served as report {notice.sequence} and has the lines of report {other}."
                )
            known = (await stored.read_known(connection, provider, [notice.sequence])).get(notice.sequence)
            before = 0 if known is None else known.revision
            state = _lateness(notice, known, overdue=overdue, now=now)
            booked = await stored.read_lines(connection, provider, notice.sequence, before)
            keys = {line.key for line in (*report.lines, *booked)}
            same = before > 0 and digest == await stored.read_revision_digest(
                connection, provider, notice.sequence, before
            )
            revision = before if same else before + 1
            taken = KnownReport.announced(notice, state, revision, digest)
            await stored.write_report(connection, provider, taken, now=now)
            if not same:
                await stored.insert_revision(
                    connection, provider, report, revision=revision, digest=digest, now=now
                )
                entries = list(report_entries(provider, report, booked, revision=revision, now=now))
                for entry in entries:
                    writes[entry.kind].kind = entry.kind
                await post(connection, *entries)
            comparison = Comparison(connection, provider, self._rules, now, progress.horizon)
            rows = await comparison.compare(keys, fresh=None if same else notice.sequence)
        if same:
            return ImportResult(None, rows)
        _LOG.info(
            "settlement_report_taken",
            provider=provider,
            sequence=notice.sequence,
            revision=revision,
            state=state.value,
            rows=len(report.lines),
        )
        return ImportResult(state, rows)

    async def _refuse(self, notice: ReportAnnouncement, problem: ReportInvalid) -> ImportResult:
        """Record that a report cannot be used."""
        now = self._clock.now()
        provider = self._source.name
        state = ReportState.REPLAYED if isinstance(problem, ReportReplayed) else ReportState.INVALID
        async with self._database.transaction() as connection:
            await stored.read_progress(connection, provider, lock=True)
            known = (await stored.read_known(connection, provider, [notice.sequence])).get(notice.sequence)
            if known is not None and (known.state, known.refused_digest) == (state, notice.digest):
                return NOTHING_NEW
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
        return ImportResult(state, RowCount())

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


def _lateness(
    notice: ReportAnnouncement, known: KnownReport | None, *, overdue: bool, now: datetime
) -> ReportState:
    """Return LATE if we asked in time and could first use the report after it was due, else ACCEPTED."""
    if known is not None and known.revision:
        return ReportState.ACCEPTED
    refused_until_now = known is not None and now > notice.due
    return ReportState.LATE if overdue or refused_until_now else ReportState.ACCEPTED
