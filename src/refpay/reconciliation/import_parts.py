"""Import the lines of a report part by part, each part in one transaction under the provider's lock.

The lines of a part are stored under a revision that is not in force. With the last part the revision comes
into force, and its entries are posted. Then its keys are compared. What is done is in the database, so a
process that dies loses one part at most, and the next round goes on. Until a revision is wholly compared, the
watermark stays before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import structlog

from moneypath.telemetry.integrations.ledger import LedgerWrite
from refpay.clock import Clock
from refpay.db.errors import LEDGER_OUTCOMES, TransactionConflicted
from refpay.db.pool import Connection, Database
from refpay.ledger.entries import EntryKind
from refpay.ledger.repository import post
from refpay.providers.reports import ReportAnnouncement, ReportReplayed, SettlementReport
from refpay.reconciliation import imports_repository as imports
from refpay.reconciliation import reports_repository as stored
from refpay.reconciliation.comparing import Comparison, FreshLines, MatchingRules, RowCount
from refpay.reconciliation.counters import ReconciliationCounters
from refpay.reconciliation.imports_repository import Import
from refpay.reconciliation.model import ReportState
from refpay.reconciliation.report_entries import report_entries
from refpay.reconciliation.reports_repository import KnownReport

PART_LINES: Final = 4_000
_LOG: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FetchedReport:
    """A checked report. `digest` is of its bytes, `lines_digest` of its lines alone.

    `overdue` says that we asked for it after it was due and it was not there.
    """

    notice: ReportAnnouncement
    report: SettlementReport
    digest: str
    lines_digest: str | None
    overdue: bool


@dataclass(frozen=True, slots=True)
class PartsImporter:
    """Imports the reports of one provider in parts."""

    database: Database
    provider: str
    rules: MatchingRules
    clock: Clock
    counters: ReconciliationCounters

    async def import_parts(self, fetched: FetchedReport) -> None:
        """Import a report and compare it, from where an earlier import of the same bytes ended.

        Raises DatabaseUnavailable, and ReportInvalid before any of it is in force.
        """
        if await self._is_in_force(fetched):
            await self._compare_again(fetched)
            return
        while not await self._store_part(fetched):
            pass
        await self.finish()

    async def finish(self) -> None:
        """Compare what is not compared of a revision that is in force."""
        while await self._compare_part():
            pass

    async def _is_in_force(self, fetched: FetchedReport) -> bool:
        async with self.database.transaction() as connection:
            known = await self._read_known(connection, fetched.notice)
            return known is not None and fetched.digest == await stored.read_revision_digest(
                connection, self.provider, known.sequence, known.revision
            )

    async def _store_part(self, fetched: FetchedReport) -> bool:
        """Store the next lines; return whether they were the last, and the revision is in force."""
        with (
            self.counters.ledger_write(None, LEDGER_OUTCOMES) as fees,
            self.counters.ledger_write(None, LEDGER_OUTCOMES) as exchanges,
        ):
            # Which of the two are posted is known only within the transaction; the others are not counted.
            writes = {EntryKind.FEE: fees, EntryKind.FX: exchanges}
            async with self.database.transaction() as connection:
                await stored.read_progress(connection, self.provider, lock=True)
                one = await self._open_import(connection, fetched)
                lines = fetched.report.lines[one.stored : one.stored + PART_LINES]
                await stored.insert_lines(
                    connection, self.provider, one.sequence, one.revision, lines, first=one.stored
                )
                one = replace(one, stored=one.stored + len(lines))
                await imports.advance_import(connection, self.provider, one)
                state = None
                if one.stored == len(fetched.report.lines):
                    state = await self._bring_into_force(connection, fetched, one, writes)
        if state is None:
            return False
        self.counters.count_report(self.provider, state)
        _LOG.info(
            "settlement_report_taken",
            provider=self.provider,
            sequence=one.sequence,
            revision=one.revision,
            state=state.value,
            rows=one.stored,
        )
        return True

    async def _open_import(self, connection: Connection, fetched: FetchedReport) -> Import:
        """Return the import of these bytes; begin it, and end one of other bytes that never was in force."""
        now, notice = self.clock.now(), fetched.notice
        other = await stored.find_elsewhere(connection, self.provider, notice.sequence, fetched.lines_digest)
        if other is not None:
            raise ReportReplayed(
                f"It was served as report {notice.sequence} and has the lines of report {other}."
            )
        known = await self._read_known(connection, notice)
        replaces = 0 if known is None else known.revision
        found = await imports.find_open(connection, self.provider, notice.sequence)
        if found is not None:
            if found.revision == replaces:
                raise TransactionConflicted(f"Report {notice.sequence} is not wholly compared yet.")
            if (found.digest, found.replaces) == (fetched.digest, replaces):
                return found
            await imports.end_import(connection, self.provider, found, now=now)
        return await imports.begin_import(
            connection, self.provider, notice.sequence, replaces=replaces, digest=fetched.digest, now=now
        )

    async def _bring_into_force(
        self,
        connection: Connection,
        fetched: FetchedReport,
        one: Import,
        writes: Mapping[EntryKind, LedgerWrite],
    ) -> ReportState:
        now = self.clock.now()
        known = await self._read_known(connection, fetched.notice)
        state = _lateness(fetched, known, late=now > fetched.notice.due)
        report = KnownReport.announced(fetched.notice, state, one.revision, fetched.digest)
        await stored.write_report(connection, self.provider, report, now=now)
        await stored.insert_revision(
            connection,
            self.provider,
            report,
            digest=fetched.digest,
            lines_digest=fetched.lines_digest,
            now=now,
        )
        booked = await stored.read_lines(connection, self.provider, one.sequence, one.replaces)
        entries = list(report_entries(self.provider, fetched.report, booked, revision=one.revision, now=now))
        for entry in entries:
            writes[entry.kind].kind = entry.kind
        await post(connection, *entries)
        return state

    async def _compare_part(self) -> bool:
        """Compare the next lines of a revision in force, or of what it replaces; return if there are more."""
        now = self.clock.now()
        async with self.database.transaction() as connection:
            progress = await stored.read_progress(connection, self.provider, lock=True)
            one = await imports.find_in_force(connection, self.provider)
            if one is None:
                return False
            is_own = one.compared < one.stored
            revision, first = (
                (one.revision, one.compared) if is_own else (one.replaces, one.compared - one.stored)
            )
            keys = await imports.read_keys(
                connection, self.provider, one.sequence, revision, first=first, lines=PART_LINES
            )
            fresh = FreshLines(one.sequence, first, first + len(keys)) if is_own else None
            comparison = Comparison(connection, self.provider, self.rules, now, progress.horizon)
            rows = await comparison.compare(set(keys), fresh=fresh)
            one = replace(one, compared=one.compared + len(keys))
            await imports.advance_import(connection, self.provider, one)
            more = len(keys) == PART_LINES or (is_own and one.replaces > 0)
            if not more:
                await imports.end_import(connection, self.provider, one, now=now)
        self._count(rows)
        return more

    async def _compare_again(self, fetched: FetchedReport) -> None:
        """Compare a revision that was fetched again as it is in force; then it need not be fetched."""
        provider, notice = self.provider, fetched.notice
        keys = sorted({line.key for line in fetched.report.lines})
        for start in range(0, len(keys), PART_LINES):
            async with self.database.transaction() as connection:
                progress = await stored.read_progress(connection, provider, lock=True)
                now = self.clock.now()
                comparison = Comparison(connection, provider, self.rules, now, progress.horizon)
                rows = await comparison.compare(keys[start : start + PART_LINES])
            self._count(rows)
        async with self.database.transaction() as connection:
            await stored.read_progress(connection, provider, lock=True)
            known = await self._read_known(connection, notice)
            if known is not None:
                again = KnownReport.announced(notice, ReportState.ACCEPTED, known.revision, fetched.digest)
                await stored.write_report(connection, provider, again, now=self.clock.now())

    async def _read_known(self, connection: Connection, notice: ReportAnnouncement) -> KnownReport | None:
        known = await stored.read_known(connection, self.provider, [notice.sequence])
        return known.get(notice.sequence)

    def _count(self, rows: RowCount) -> None:
        self.counters.count_rows(self.provider, matched=rows.matched, broken=rows.broken)


def _lateness(fetched: FetchedReport, known: KnownReport | None, *, late: bool) -> ReportState:
    """Return LATE if we asked in time and could first use the report after it was due, else ACCEPTED."""
    if known is not None and known.revision:
        return ReportState.ACCEPTED
    refused_until_now = known is not None and late
    return ReportState.LATE if fetched.overdue or refused_until_now else ReportState.ACCEPTED
